package cli

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// steadyTick is how often turns that are due are handed out.
const steadyTick = 2 * time.Millisecond

// steady sends turns at a fixed rate, whatever becomes of them: a turn's latency counts from the moment at which it
// was due, so that a mesh that stands still is not asked less.
type steady struct {
	rate  int // turns per second
	begun time.Time

	mu     sync.Mutex // guards the fields below
	done   []steadyTurn
	failed int

	overdue atomic.Int64 // turns that found no idle session and were not sent
}

type steadyTurn struct {
	due  time.Time
	took time.Duration
}

// openSteady opens as many sessions as the rate needs when a turn takes a quarter of a second.
func openSteady(ctx context.Context, m *meshfile.File, rate int) ([]*client.Session, []*client.Client, error) {
	b := bench{sessions: max(64, rate/4), conns: 32}
	clients, err := b.dial(ctx, m)
	if err != nil {
		return nil, clients, err
	}
	sessions, err := b.open(ctx, clients)
	return sessions, clients, err
}

// run sends turns until ctx ends and waits for those under way.
func (s *steady) run(ctx context.Context, sessions []*client.Session) {
	s.begun = time.Now()
	due := make(chan time.Time) // unbuffered: whoever takes it is idle
	var workers sync.WaitGroup
	for i, sess := range sessions {
		workers.Go(func() {
			turn := 0
			for t := range due {
				s.turn(sess, benchMessage(i, turn), t)
				turn++
			}
		})
	}
	tick := time.NewTicker(steadyTick)
	defer tick.Stop()
	for sent := int64(0); ctx.Err() == nil; {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		want := int64(time.Since(s.begun).Seconds() * float64(s.rate))
		for ; sent < want; sent++ {
			select {
			case due <- s.begun.Add(time.Duration(float64(sent) / float64(s.rate) * float64(time.Second))):
			default:
				s.overdue.Add(1)
			}
		}
	}
	close(due)
	workers.Wait()
}

// turn sends one message; its latency counts from due.
func (s *steady) turn(sess *client.Session, text string, due time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), benchTurnLimit)
	defer cancel()
	_, err := benchTurn(ctx, sess, text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed++
		return
	}
	s.done = append(s.done, steadyTurn{due, time.Since(due)})
}

// between summarizes the turns that were due in a time.
func (s *steady) between(from, to time.Time) *benchResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	var took []time.Duration
	for _, t := range s.done {
		if !t.due.Before(from) && t.due.Before(to) {
			took = append(took, t.took)
		}
	}
	return summarize(took, s.failed, max(to.Sub(from), time.Millisecond))
}
