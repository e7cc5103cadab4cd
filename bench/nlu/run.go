package nlu

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Config says what is measured.
type Config struct {
	Data string // folder with the data sets
	// Dev measures on development splits, or parts of the training ones, to tune without looking at the test splits.
	Dev      bool
	Only     string    // one of the names in sets; "": all
	Progress io.Writer // gets a line for each set; nil: nobody does
}

type run struct {
	Config
	Report
}

// sets are the data sets in the order in which they are measured.
var sets = []struct {
	name    string
	measure func(*run) error
}{
	{"clinc", (*run).clinc}, {"snips", (*run).snips}, {"crosswoz", (*run).crosswoz}, {"guard", (*run).guard},
	{"stackfaq", (*run).stackFAQ}, {"xquad", (*run).xquad},
}

// Run measures. It fails when a data set is not there or cannot be read.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	r := &run{Config: cfg}
	var names []string
	for _, s := range sets {
		names = append(names, s.name)
	}
	if cfg.Only != "" && !slices.Contains(names, cfg.Only) {
		return nil, fmt.Errorf("no data set %q; there are %s", cfg.Only, strings.Join(names, ", "))
	}
	for _, s := range sets {
		if cfg.Only != "" && cfg.Only != s.name {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if cfg.Progress != nil {
			fmt.Fprintln(cfg.Progress, s.name)
		}
		if err := s.measure(r); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return &r.Report, nil
}
