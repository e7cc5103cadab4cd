package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein/bench/logload"
	"github.com/skein-mesh/skein/replication/seglog"
)

// Config is what Run measures.
type Config struct {
	Rounds   int           // passes over every store; the report has their medians
	Each     time.Duration // for each size of append in a pass
	Filled   int           // entries of the log that is reopened and cut, at least 100
	Progress io.Writer     // takes a line a pass
	Module   string        // directory of the module with raft-wal; empty: leave out what is in it
}

// sizes are the entries of an append.
var sizes = []int{1, 8, 64}

// contender is one store; pass measures it in a directory.
type contender struct {
	name, raft string
	pass       func(ctx context.Context, plan logload.Plan) (logload.Figures, error)
}

var entry = logload.Entry[raft.Log]{
	Make: func(index uint64, data []byte) *raft.Log { return &raft.Log{Index: index, Term: 1, Data: data} },
	Data: func(l *raft.Log) []byte { return l.Data },
}

func openSegments(dir string) (logload.Store, error) {
	s, err := seglog.Open(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	return logload.Adapt(s, entry), nil
}

func openBoltIn(dir string) (logload.Store, error) {
	s, err := openBolt(filepath.Join(dir, "log.db"))
	if err != nil {
		return nil, err
	}
	return logload.Adapt(s, entry), nil
}

func here(open logload.Open) func(context.Context, logload.Plan) (logload.Figures, error) {
	return func(_ context.Context, plan logload.Plan) (logload.Figures, error) { return logload.Run(open, plan) }
}

// Run measures the stores. The error names the one that failed; there is no report then.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	contenders := []contender{{"segments", "1.8.0", here(openSegments)}, {"bbolt", "1.8.0", here(openBoltIn)}}
	if cfg.Module != "" {
		program, remove, err := build(ctx, cfg.Module)
		if err != nil {
			return nil, err
		}
		defer remove()
		contenders = append(contenders, contender{"raft-wal", "1.7.3", program.measure("raft-wal")},
			contender{"raft-boltdb", "1.7.3", program.measure("raft-boltdb")})
	}
	passes := make([][]logload.Figures, len(contenders))
	for round := range cfg.Rounds {
		for k := range contenders {
			at := (k + round) % len(contenders) // nobody is always first
			f, err := cfg.pass(ctx, contenders[at])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", contenders[at].name, err)
			}
			passes[at] = append(passes[at], f)
			fmt.Fprintf(cfg.Progress, "round %d of %d: %s done\n", round+1, cfg.Rounds, contenders[at].name)
		}
	}
	report := &Report{}
	for i, c := range contenders {
		report.Stores = append(report.Stores, Store{Name: c.name, Raft: c.raft, Figures: median(passes[i])})
	}
	return report, nil
}

func (cfg Config) pass(ctx context.Context, c contender) (f logload.Figures, err error) {
	if err := ctx.Err(); err != nil {
		return f, err
	}
	dir, err := os.MkdirTemp("", "skein-bench-logs-")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return c.pass(ctx, logload.Plan{Dir: dir, Appends: sizes, Each: cfg.Each, Filled: cfg.Filled})
}

// program is the path of the built command of the other module.
type program string

// build makes the command of the module with raft-wal.
func build(ctx context.Context, module string) (program, func(), error) {
	if _, err := os.Stat(filepath.Join(module, "go.mod")); err != nil {
		return "", nil, fmt.Errorf("module of raft-wal: %w; run this in the directory bench, or name the module with --raftwal", err)
	}
	dir, err := os.MkdirTemp("", "skein-bench-raftwal-")
	if err != nil {
		return "", nil, err
	}
	remove := func() { os.RemoveAll(dir) }
	path := filepath.Join(dir, "raftwal")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("build %s: %w\n%s", module, err, out)
	}
	return program(path), remove, nil
}

func (p program) measure(store string) func(context.Context, logload.Plan) (logload.Figures, error) {
	return func(ctx context.Context, plan logload.Plan) (f logload.Figures, err error) {
		text, err := json.Marshal(plan)
		if err != nil {
			return f, err
		}
		var out, faults bytes.Buffer
		cmd := exec.CommandContext(ctx, string(p), store, string(text))
		cmd.Stdout, cmd.Stderr = &out, &faults
		if err := cmd.Run(); err != nil {
			return f, fmt.Errorf("%w\n%s", err, faults.Bytes())
		}
		if err := json.Unmarshal(out.Bytes(), &f); err != nil {
			return f, fmt.Errorf("its figures: %w", err)
		}
		return f, nil
	}
}

// median takes each figure's median over the passes.
func median(passes []logload.Figures) logload.Figures {
	of := func(get func(logload.Figures) float64) float64 {
		all := make([]float64, len(passes))
		for i, f := range passes {
			all[i] = get(f)
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	m := logload.Figures{
		Term:     of(func(f logload.Figures) float64 { return f.Term }),
		Reopen:   of(func(f logload.Figures) float64 { return f.Reopen }),
		CutBack:  of(func(f logload.Figures) float64 { return f.CutBack }),
		CutFront: of(func(f logload.Figures) float64 { return f.CutFront }),
	}
	for i, a := range passes[0].Appends {
		m.Appends = append(m.Appends, logload.Append{Entries: a.Entries,
			P50: of(func(f logload.Figures) float64 { return f.Appends[i].P50 }),
			P99: of(func(f logload.Figures) float64 { return f.Appends[i].P99 })})
	}
	return m
}
