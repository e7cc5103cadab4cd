package mesh

import (
	"context"
	"sync"
)

// tasks owns the goroutines of one Run: it starts none before open and none after wait.
type tasks struct {
	mu      sync.Mutex // guards ctx and stopped
	ctx     context.Context
	stopped bool
	wg      sync.WaitGroup
}

func (t *tasks) open(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ctx = ctx
}

// spawn starts f, and reports false when no task may start.
func (t *tasks) spawn(f func(ctx context.Context)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil || t.stopped || t.ctx.Err() != nil {
		return false
	}
	ctx := t.ctx
	t.wg.Go(func() { f(ctx) })
	return true
}

// wait returns when every task has ended.
func (t *tasks) wait() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.wg.Wait()
}
