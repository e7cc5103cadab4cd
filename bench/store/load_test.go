package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeStore takes a fixed time for a record, in virtual time.
type fakeStore struct {
	takes  time.Duration
	fails  int64 // the record that is refused; 0: none
	loses  int   // records that it acknowledges and does not hold
	holds  atomic.Int64
	leads  atomic.Int64 // changes with every question when it is positive
	closed atomic.Bool
}

var errFake = errors.New("no space")

func (f *fakeStore) writer(context.Context, int) (func(context.Context) error, error) {
	return func(ctx context.Context) error {
		select {
		case <-time.After(f.takes):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if f.holds.Add(1) == f.fails {
			return errFake
		}
		return nil
	}, nil
}

func (f *fakeStore) count(context.Context) (int, error) { return int(f.holds.Load()) - f.loses, nil }
func (f *fakeStore) stop() error                        { f.closed.Store(true); return nil }

func (f *fakeStore) leader(context.Context) string {
	if f.leads.Load() > 0 {
		return fmt.Sprintf("n%d", f.leads.Add(1))
	}
	return "n1"
}

func TestLoadIsClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{takes: 10 * time.Millisecond}
		s, err := load{clients: 8, warmup: time.Second, measure: 2 * time.Second}.run(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		// 8 clients, 100 records a second each, for 3 s; in the measured 2 s the first to end is one that began before.
		if s.written != 2400 || s.completed != 1600 || len(s.took) != 1600 {
			t.Errorf("got written %d, completed %d, latencies %d, want 2400, 1600, 1600", s.written, s.completed, len(s.took))
		}
		for _, d := range s.took {
			if d != f.takes {
				t.Fatalf("latency: got %v, want %v", d, f.takes)
			}
		}
	})
}

func TestLoadEndsAtAHungStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{takes: time.Hour}
		_, err := load{clients: 3, warmup: time.Second, measure: time.Second}.run(t.Context(), f)
		if err == nil || !strings.Contains(err.Error(), "hangs") {
			t.Errorf("got %v, want an error that says that the store hangs", err)
		}
	})
}

// TestRunRefuses shows that no figure is given for a store that failed in some way.
func TestRunRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fake  *fakeStore
		start error
		want  string
	}{
		{"does not start", &fakeStore{}, errFake, "fake with 4 clients: start: no space"},
		{"refuses a write", &fakeStore{takes: time.Millisecond, fails: 7}, nil, "no space"},
		{"loses a record", &fakeStore{takes: time.Millisecond, loses: 1}, nil, "were acknowledged"},
		{"is too slow", &fakeStore{takes: 10 * time.Second}, nil, "no record was acknowledged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			synctest.Test(t, func(t *testing.T) {
				_, err := Run(t.Context(), fakeConfig(tt.fake, tt.start))
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if tt.start == nil && !tt.fake.closed.Load() {
					t.Error("the store was left running")
				}
			})
		})
	}
}

func TestRunReports(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{takes: 10 * time.Millisecond}
		f.leads.Store(1)
		cfg := fakeConfig(f, nil)
		var progress strings.Builder
		cfg.Progress = &progress
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if want := (Result{"fake", 4, 400, 10, 10}); len(r.Results) != 1 || r.Results[0] != want {
			t.Errorf("got %+v, want one result %+v", r.Results, want)
		}
		if got := strings.Join(r.notes, "\n"); !strings.Contains(got, "the leader changed") || !strings.Contains(got, "load average") {
			t.Errorf("notes do not tell of the change of leader and of the load:\n%s", got)
		}
		if !strings.Contains(progress.String(), "fake, 4 clients: 400 records/s") {
			t.Errorf("progress: got %q", progress.String())
		}
	})
}

func fakeConfig(f *fakeStore, start error) Config {
	return Config{
		Clients: []int{4}, Warmup: 100 * time.Millisecond, Measure: time.Second,
		contenders: []contender{{"fake", func(context.Context, string, int) (system, error) {
			if start != nil {
				return nil, start
			}
			return f, nil
		}}},
	}
}
