package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
)

// Of a burst: an open loop, in which turns come when they are due, whether those before them are answered or not.
const (
	burstLead     = 3 * time.Second // at the lower rate before the burst
	burstTail     = 2               // seconds behind it, at least
	burstStep     = time.Millisecond
	burstSlice    = 250 * time.Millisecond // percentiles are of the answers of such a time
	burstTarget   = 380 * time.Millisecond // of the 99th percentile
	burstReturns  = 30 * time.Second       // behind the end, for turns that were told to come back
	maxBenchRate  = 1_000_000
	maxBurstQueue = 4_000_000 // turns that are due and find no session free
)

// due is one turn that is to be sent.
type due struct {
	at   time.Duration // since the beginning
	back bool          // it was told to come back then
}

// sent is what became of one.
type sent struct {
	due
	end   time.Duration
	after time.Duration // it was told to come back after so long; 0: it was answered
	err   error
}

// burst is one open loop.
type burst struct {
	sessions    []*client.Session
	rate, peak  float64 // turns a second
	from, until time.Duration
	length      time.Duration
	began       time.Time

	mu      sync.Mutex // guards the fields below
	returns []due
	log     []sent
	acked   [][]skein.TurnID // by session
}

func (b *bench) checkRate() error {
	lead := int(burstLead.Seconds())
	switch {
	case b.rate < 0 || b.rate > maxBenchRate:
		return fmt.Errorf("--rate %d: want 0 to %d", b.rate, maxBenchRate)
	case b.burst < 0 || b.burst > maxBenchRate:
		return fmt.Errorf("--burst %d: want 0 to %d", b.burst, maxBenchRate)
	case b.burst > 0 && b.rate == 0:
		return fmt.Errorf("--burst %d: want --rate as well, for the time before and behind it", b.burst)
	case b.burst > 0 && b.burstSeconds < 1:
		return fmt.Errorf("--burst-seconds %d: want at least 1", b.burstSeconds)
	case b.burst > 0 && b.seconds < lead+b.burstSeconds+burstTail:
		return fmt.Errorf("--seconds %d: want at least %d: %d before the burst, %d of it and %d behind it",
			b.seconds, lead+b.burstSeconds+burstTail, lead, b.burstSeconds, burstTail)
	}
	return nil
}

// runOpen runs the open loop, and reads the histories.
func (b *bench) runOpen(ctx context.Context, sessions []*client.Session) (printer, error) {
	o := &burst{sessions: sessions, rate: float64(b.rate), peak: float64(b.burst), length: time.Duration(b.seconds) * time.Second}
	if b.burst > 0 {
		o.from, o.until = burstLead, burstLead+time.Duration(b.burstSeconds)*time.Second
	}
	all, unsent := o.run(ctx)
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	r := o.result()
	r.Due, r.Unsent = all, unsent
	return r, o.check(ctx, r)
}

// rateAt gives the turns a second at a time.
func (b *burst) rateAt(t time.Duration) float64 {
	switch {
	case t >= b.length:
		return 0
	case t >= b.from && t < b.until:
		return b.peak
	}
	return b.rate
}

// run sends the turns, and gives how many were due and how many of these were not sent.
func (b *burst) run(ctx context.Context) (all, unsent int) {
	b.acked = make([][]skein.TurnID, len(b.sessions))
	work := make([]chan due, len(b.sessions))
	free := make(chan int, len(b.sessions))
	var workers sync.WaitGroup
	for i := range b.sessions {
		work[i] = make(chan due, 1)
		free <- i
		workers.Go(func() {
			for turn := 0; ; turn++ {
				d, ok := <-work[i]
				if !ok {
					return
				}
				b.send(ctx, i, turn, d)
				free <- i
			}
		})
	}
	b.began = time.Now()
	var queue []due
	owed, last := 0.0, time.Duration(0)
	tick := time.NewTicker(burstStep)
	defer tick.Stop()
	for ctx.Err() == nil {
		now := time.Since(b.began)
		owed += b.rateAt(now) * (now - last).Seconds()
		for last = now; owed >= 1; owed-- {
			all++
			queue = append(queue, due{at: now})
		}
		queue = append(queue, b.returning(now)...)
		queue = assign(queue, free, work)
		if now >= b.length && (now >= b.length+burstReturns || len(queue) == 0 && b.waiting() == 0 && len(free) == len(b.sessions)) || len(queue) > maxBurstQueue {
			break
		}
		<-tick.C
	}
	for i := range work {
		close(work[i])
	}
	workers.Wait()
	return all, len(queue) + b.waiting()
}

// assign gives turns to sessions that are free, and keeps the rest.
func assign(queue []due, free <-chan int, work []chan due) []due {
	for n := range queue {
		select {
		case i := <-free:
			work[i] <- queue[n]
		default:
			return queue[n:]
		}
	}
	return nil
}

// returning takes the turns that come back now.
func (b *burst) returning(now time.Duration) []due {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, _ := slices.BinarySearchFunc(b.returns, now, func(d due, t time.Duration) int { return cmp.Compare(d.at, t) })
	back := slices.Clone(b.returns[:n])
	b.returns = slices.Delete(b.returns, 0, n)
	return back
}

func (b *burst) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.returns)
}

// send runs one turn. One that is sent away comes back as another turn, of whichever session is free then.
func (b *burst) send(ctx context.Context, i, n int, d due) {
	ctx, cancel := context.WithTimeout(ctx, benchTurnLimit)
	defer cancel()
	s := sent{due: d}
	turn, err := b.sessions[i].Send(ctx, benchMessage(i, n))
	if err == nil {
		_, err = turn.Reply(ctx)
	}
	s.end = time.Since(b.began)
	if e, ok := errors.AsType[*skein.Error](err); ok && e.Code == skein.CodeOverloaded && e.RetryAfter > 0 {
		s.after = e.RetryAfter
	} else {
		s.err = err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, s)
	switch {
	case s.after > 0:
		back := due{at: s.end + s.after, back: true}
		at, _ := slices.BinarySearchFunc(b.returns, back.at, func(d due, t time.Duration) int { return cmp.Compare(d.at, t) })
		b.returns = slices.Insert(b.returns, at, back)
	case err == nil:
		b.acked[i] = append(b.acked[i], turn.ID())
	}
}
