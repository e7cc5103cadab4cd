package replication

import (
	"context"
	"errors"
	"os"
	"testing"
)

func TestCloseWithoutRun(t *testing.T) {
	f := newFabric()
	dir := t.TempDir()
	open := func() *Group {
		t.Helper()
		g, err := Open(Config{Node: "a1", Dir: dir, Layer: f.up("a1", "a"), Peers: peers{f, "a1"}})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g := open()
	if err := g.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	if err := g.Run(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("run after close: got %v, want %v", err, os.ErrClosed)
	}
	g = open() // the lock is free
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := g.Run(ctx); err != nil {
		t.Errorf("run: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("close after run: %v", err)
	}
}
