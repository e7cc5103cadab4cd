package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/skein-mesh/skein/bench/nlu"
)

// runNLU measures the understanding on the data sets in a folder. It fails when a figure is below its floor.
func runNLU(ctx context.Context, args []string, out, progress io.Writer) error {
	cfg, err := nluFlags(args)
	if err != nil {
		return err
	}
	cfg.Progress = progress
	report, err := nlu.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if err := report.WriteTable(out); err != nil {
		return err
	}
	if missed := report.Missed(); len(missed) > 0 {
		return fmt.Errorf("%d figures are below their floor", len(missed))
	}
	return nil
}

func nluFlags(args []string) (cfg nlu.Config, err error) {
	flags := flag.NewFlagSet("nlu", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.Data, "data", "", "")
	flags.BoolVar(&cfg.Dev, "dev", false, "")
	flags.StringVar(&cfg.Only, "only", "", "")
	switch err := flags.Parse(args); {
	case err != nil:
		return cfg, fmt.Errorf("%w\n%w", err, errUsage)
	case flags.NArg() > 0:
		return cfg, fmt.Errorf("%q is not a flag\n%w", flags.Arg(0), errUsage)
	case cfg.Data == "":
		return cfg, fmt.Errorf("-data: want the folder with the data sets\n%w", errUsage)
	}
	return cfg, nil
}
