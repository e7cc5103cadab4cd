// Command bench measures Skein on one machine, against other systems and on public data. README.md says what is compared and how.
//
//	go run . store [--clients N] [--seconds S] [--json]
//	go run . logs [--rounds N] [--seconds S] [--json]
//	go run . nlu -data DIR [-dev] [-only SET]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/skein-mesh/skein/bench/store"
)

const usage = `usage: bench store [--clients N] [--seconds S] [--json]
       bench logs [--rounds N] [--seconds S] [--raftwal DIR] [--json]
       bench nlu -data DIR [-dev] [-only SET]`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errUsage wraps what is wrong with the command line.
var errUsage = errors.New(usage)

// run executes one command line: the report goes to out, progress to progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "store":
			return runStore(ctx, args[1:], out, progress)
		case "logs":
			return runLogs(ctx, args[1:], out, progress)
		case "nlu":
			return runNLU(ctx, args[1:], out, progress)
		}
	}
	return errUsage
}

func runStore(ctx context.Context, args []string, out, progress io.Writer) error {
	cfg, asJSON, err := storeFlags(args)
	if err != nil {
		return err
	}
	cfg.Progress = progress
	report, err := store.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if asJSON {
		return report.WriteJSON(out)
	}
	return report.WriteTable(out)
}

// Bounds of the flags. A leader of ours queues at most 4096 proposals.
const (
	mostClients = 4096
	mostSeconds = 3600
)

func storeFlags(args []string) (cfg store.Config, asJSON bool, err error) {
	flags := flag.NewFlagSet("store", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	clients := flags.Int("clients", 0, "")
	seconds := flags.Int("seconds", 5, "")
	flags.BoolVar(&asJSON, "json", false, "")
	if err := flags.Parse(args); err != nil {
		return cfg, false, fmt.Errorf("%w\n%w", err, errUsage)
	}
	given := false
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == "clients" })
	switch {
	case flags.NArg() > 0:
		return cfg, false, fmt.Errorf("%q is not a flag\n%w", flags.Arg(0), errUsage)
	case given && (*clients < 1 || *clients > mostClients):
		return cfg, false, fmt.Errorf("--clients %d: want 1 to %d\n%w", *clients, mostClients, errUsage)
	case *seconds < 1 || *seconds > mostSeconds:
		return cfg, false, fmt.Errorf("--seconds %d: want 1 to %d\n%w", *seconds, mostSeconds, errUsage)
	}
	cfg = store.Config{Clients: []int{1, 64, 512}, Measure: time.Duration(*seconds) * time.Second, Warmup: 2 * time.Second}
	if given {
		cfg.Clients = []int{*clients}
	}
	return cfg, asJSON, nil
}
