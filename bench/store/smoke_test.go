package store

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// TestSystems runs every system for a moment: it starts, takes records, holds all of them, stops and leaves no file.
func TestSystems(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three replicas of every system and takes about 15 s")
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	report, err := Run(t.Context(), Config{
		Clients: []int{4}, Warmup: 100 * time.Millisecond, Measure: 300 * time.Millisecond, Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range contenders() {
		r, ok := report.find(c.name, 4)
		if !ok || r.PerSecond <= 0 || r.P50 <= 0 || r.P99 < r.P50 {
			t.Errorf("%s: got %+v", c.name, r)
		}
	}
	if report.Ratios.Etcd <= 0 || report.Ratios.NATS <= 0 {
		t.Errorf("ratios: got %+v", report.Ratios)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestStartIsRefused shows that a system that cannot use its directory says so.
func TestStartIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	for _, c := range contenders() {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("late"))
			defer cancel()
			file := t.TempDir() + "/file"
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := c.start(ctx, file, 1)
			if err == nil {
				t.Fatalf("it runs in a file: %v", s.stop())
			}
			t.Log(err)
		})
	}
}
