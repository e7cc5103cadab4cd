package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is a closed loop: each client writes a record, waits for the answer and writes the next.
type load struct {
	clients         int
	warmup, measure time.Duration
}

// sample is what the clients saw.
type sample struct {
	written   int             // acknowledged records, those of the warm-up and of the end included
	completed int             // of them, within the measured time
	took      []time.Duration // of every write that began within the measured time
}

// window is the measured time.
type window struct{ from, to time.Time }

func (w window) has(t time.Time) bool { return !t.Before(w.from) && t.Before(w.to) }

// grace is how long the last writes may take once the time is over; a store that needs longer hangs.
const grace = 30 * time.Second

// run drives s. Every write that has begun is waited for, so that none has an unknown outcome.
func (l load) run(ctx context.Context, s system) (sample, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*grace+l.warmup+l.measure, fmt.Errorf("the store hangs: not done %v after its time", grace))
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	var prepared sync.WaitGroup
	prepared.Add(l.clients)
	begin := make(chan struct{})
	var w window // set before begin is closed
	samples := make([]sample, l.clients)
	for i := range l.clients {
		g.Go(func() error {
			write, err := s.writer(ctx, i)
			prepared.Done()
			if err != nil {
				return fmt.Errorf("prepare client %d: %w", i, err)
			}
			<-begin
			if err := samples[i].loop(ctx, write, w); err != nil {
				return fmt.Errorf("client %d, record %d: %w", i, samples[i].written+1, err)
			}
			return nil
		})
	}
	prepared.Wait()
	w.from = time.Now().Add(l.warmup)
	w.to = w.from.Add(l.measure)
	close(begin)
	if err := g.Wait(); err != nil {
		return sample{}, err
	}
	return merge(samples), nil
}

func (s *sample) loop(ctx context.Context, write func(context.Context) error, w window) error {
	s.took = make([]time.Duration, 0, 1<<12)
	for start := time.Now(); start.Before(w.to); {
		if err := write(ctx); err != nil {
			return err
		}
		end := time.Now()
		s.add(w, start, end)
		start = end
	}
	return nil
}

// add notes a write. Its latency counts when it began within the window, however late it ended: to leave out
// those that the end cut off would flatter the slow ones.
func (s *sample) add(w window, start, end time.Time) {
	s.written++
	if w.has(end) {
		s.completed++
	}
	if w.has(start) {
		s.took = append(s.took, end.Sub(start))
	}
}

func merge(samples []sample) sample {
	var all sample
	for _, s := range samples {
		all.written += s.written
		all.completed += s.completed
		all.took = append(all.took, s.took...)
	}
	return all
}
