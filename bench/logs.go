package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/skein-mesh/skein/bench/logs"
)

// mostRounds bounds the rounds over the log stores; one takes about half a minute.
const mostRounds = 101

// filledLog is how many entries of 1 KiB the log has that is reopened and cut.
const filledLog = 100_000

func runLogs(ctx context.Context, args []string, out, progress io.Writer) error {
	cfg, asJSON, err := logsFlags(args)
	if err != nil {
		return err
	}
	cfg.Progress = progress
	report, err := logs.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if asJSON {
		return report.WriteJSON(out)
	}
	return report.WriteTable(out)
}

func logsFlags(args []string) (cfg logs.Config, asJSON bool, err error) {
	flags := flag.NewFlagSet("logs", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	rounds := flags.Int("rounds", 5, "")
	seconds := flags.Int("seconds", 1, "")
	module := flags.String("raftwal", "raftwal", "")
	flags.BoolVar(&asJSON, "json", false, "")
	if err := flags.Parse(args); err != nil {
		return cfg, false, fmt.Errorf("%w\n%w", err, errUsage)
	}
	switch {
	case flags.NArg() > 0:
		return cfg, false, fmt.Errorf("%q is not a flag\n%w", flags.Arg(0), errUsage)
	case *rounds < 1 || *rounds > mostRounds:
		return cfg, false, fmt.Errorf("--rounds %d: want 1 to %d\n%w", *rounds, mostRounds, errUsage)
	case *seconds < 1 || *seconds > mostSeconds:
		return cfg, false, fmt.Errorf("--seconds %d: want 1 to %d\n%w", *seconds, mostSeconds, errUsage)
	case *module == "":
		return cfg, false, fmt.Errorf("--raftwal is empty: want the directory of the module\n%w", errUsage)
	}
	return logs.Config{Rounds: *rounds, Each: time.Duration(*seconds) * time.Second, Filled: filledLog, Module: *module}, asJSON, nil
}
