package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

// Config is what Run measures.
type Config struct {
	Clients         []int         // numbers of clients, one after the other
	Warmup, Measure time.Duration // for each figure: the first is not counted
	Progress        io.Writer     // takes a line a figure, and the state of the machine

	contenders []contender // nil: all of them
}

// startTimeout is for a system to be ready, checkTimeout to count its records.
const (
	startTimeout = time.Minute
	checkTimeout = time.Minute
)

// Run measures every system at every number of clients, one system at a time. The error names the system that did
// not start, lost a record or failed a write; there is no report then.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.contenders == nil {
		cfg.contenders = contenders()
	}
	if cfg.Progress == nil {
		cfg.Progress = io.Discard
	}
	before, err := machine()
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(cfg.Progress, "before:", before)
	report := &Report{notes: []string{"before: " + before}}
	for _, clients := range cfg.Clients {
		for _, c := range cfg.contenders {
			result, note, err := cfg.figure(ctx, c, clients)
			if err != nil {
				return nil, fmt.Errorf("%s with %d clients: %w", c.name, clients, err)
			}
			fmt.Fprintf(cfg.Progress, "%s, %d clients: %.0f records/s, p50 %.2f ms, p99 %.2f ms%s\n",
				c.name, clients, result.PerSecond, result.P50, result.P99, note)
			report.Results = append(report.Results, result)
			if note != "" {
				report.notes = append(report.notes, fmt.Sprintf("%s, %d clients%s", c.name, clients, note))
			}
		}
	}
	after := "after: load average " + loadAverage()
	fmt.Fprintln(cfg.Progress, after)
	report.notes = append(report.notes, after)
	report.conclude()
	return report, nil
}

// figure measures one system at one number of clients, in a directory of its own.
func (cfg Config) figure(ctx context.Context, c contender, clients int) (r Result, note string, err error) {
	dir, err := os.MkdirTemp("", "skein-bench-")
	if err != nil {
		return r, "", err
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(dir))
		debug.FreeOSMemory() // so that nothing of this one weighs on the next
	}()
	starting, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %v", startTimeout))
	defer cancel()
	s, err := c.start(starting, dir, clients)
	if err != nil {
		return r, "", fmt.Errorf("start: %w", err)
	}
	defer func() {
		if stop := s.stop(); stop != nil {
			err = errors.Join(err, fmt.Errorf("stop: %w", stop))
		}
	}()
	led := s.leader(ctx)
	seen, err := load{clients: clients, warmup: cfg.Warmup, measure: cfg.Measure}.run(ctx, s)
	if err != nil {
		return r, "", err
	}
	if now := s.leader(ctx); now != led {
		note = fmt.Sprintf(" (the leader changed in mid-run: %s, then %s)", led, now)
	}
	if err := verify(ctx, s, seen.written); err != nil {
		return r, "", err
	}
	r, err = seen.result(cfg.Measure)
	r.System, r.Clients = c.name, clients
	return r, note, err
}

// verify compares what the store holds with what it has acknowledged.
func verify(ctx context.Context, s system, want int) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	got, err := s.count(ctx)
	if err != nil {
		return fmt.Errorf("count the records: %w", err)
	}
	if got != want {
		return fmt.Errorf("the store holds %d records, %d were acknowledged", got, want)
	}
	return nil
}

// pollEvery is how often something that gives no signal is asked for again.
const pollEvery = 20 * time.Millisecond

// errStopped wraps the reason why a part of a system has ended by itself.
var errStopped = errors.New("it has stopped")

// until waits for ready. It gives the cause of ctx and the last thing that was missing when that does not happen,
// and does not wait for what has stopped.
func until(ctx context.Context, ready func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil || errors.Is(err, errStopped) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// replicaDir gives the directory of a replica.
func replicaDir(dir, name string) string { return filepath.Join(dir, name) }
