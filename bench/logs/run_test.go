package logs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/bench/logload"
)

// TestRun takes two short rounds over the stores of this module: what they give back is checked by logload.
func TestRun(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var progress, table strings.Builder
	r, err := Run(t.Context(), Config{Rounds: 2, Each: time.Millisecond, Filled: 3000, Progress: &progress})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Stores) != 2 || r.Stores[0].Name != "segments" || r.Stores[1].Name != "bbolt" {
		t.Fatalf("got %+v", r.Stores)
	}
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"segments (raft 1.8.0)", "append of 64, p99 us", "cut half off the front"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	if got := strings.Count(progress.String(), "\n"); got != 4 {
		t.Errorf("%d lines of progress, want 4", got)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestNoModule(t *testing.T) {
	_, err := Run(t.Context(), Config{Rounds: 1, Each: time.Millisecond, Filled: 100, Module: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "run this in the directory bench") {
		t.Errorf("got %v", err)
	}
}

func TestMedian(t *testing.T) {
	pass := func(x float64) logload.Figures {
		return logload.Figures{Term: x, Reopen: -x, Appends: []logload.Append{{Entries: 8, P50: x, P99: 2 * x}}}
	}
	m := median([]logload.Figures{pass(3), pass(1), pass(2)})
	if m.Term != 2 || m.Reopen != -2 || m.Appends[0] != (logload.Append{Entries: 8, P50: 2, P99: 4}) {
		t.Errorf("got %+v", m)
	}
}
