package gateway

import (
	"context"
	"sync"
)

// gate counts what is inside and lets nobody in while it is shut.
type gate struct {
	mu sync.Mutex
	// mu guards the fields below
	inside int
	shut   bool
	empty  chan struct{} // closed when the last one leaves; nil while nobody waits
}

// enter reports whether the caller is inside now; then it must leave.
func (g *gate) enter() bool { return g.enterUpTo(0) }

// enterUpTo is enter with at most limit inside; 0: any number.
func (g *gate) enterUpTo(limit int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut || limit > 0 && g.inside >= limit {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// set shuts or opens the gate.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
}

// wait returns when nobody is inside, or with the cause of ctx.
func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.inside == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
