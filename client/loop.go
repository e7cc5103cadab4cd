package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
)

// loop owns a session: what it waits for, and the legs that may bring it. main is the leg that answered last;
// trials are legs that have not answered yet. Whoever answers first becomes main and the others end.
type loop struct {
	s *Session
	c *Client

	opening chan<- error // waits for the first Opened; nil afterwards
	turn    *Turn
	asked   *question

	opened bool
	seen   skein.Seq // newest sequence number

	main   *leg
	trials []*leg // at most 1 + maxHedges
	place  Node   // of the last main leg

	contact   time.Time // last frame of main, or when it was first missed
	hedged    time.Time // when the newest trial began
	good      time.Time // last progress: the patience counts from here
	retryAt   time.Time // zero: nothing is put off
	elsewhere bool      // the retry goes to another node if there is one
	fulls     int       // nodes asked beside main that were full, since the request began
	tries     int       // since the last progress
	away      int       // answers since the last progress that the session's home cannot be reached
	lastErr   error
}

func newLoop(s *Session, opening chan<- error) *loop {
	return &loop{s: s, c: s.c, opening: opening}
}

// run is the session's goroutine; legs are goroutines of the client and end with the session's context.
func (l *loop) run() {
	defer close(l.s.ended)
	defer l.s.cancel(ErrClosed)
	timer := time.NewTimer(0)
	defer timer.Stop()
	l.begin(nil)
	for l.s.ctx.Err() == nil {
		l.settle()
		if at, ok := l.wake(); ok {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case <-l.s.ctx.Done():
		case f := <-l.s.calls:
			f(l)
		case ev := <-l.s.events:
			l.take(ev)
		case <-timer.C:
			l.onTime(time.Now())
		case <-l.turnDone():
			l.finishTurn(l.cut(l.turn.ctx))
		case <-l.questionDone():
			l.finishQuestion(result{err: l.cut(l.asked.ctx)})
		}
	}
	l.finishAll(ErrClosed)
	for _, g := range l.legs() {
		g.cancel()
	}
}

func (l *loop) turnDone() <-chan struct{} {
	if l.turn == nil {
		return nil
	}
	return l.turn.ctx.Done()
}

func (l *loop) questionDone() <-chan struct{} {
	if l.asked == nil {
		return nil
	}
	return l.asked.ctx.Done()
}

// cut is the error of a call whose context ended: with the last fault, which may have been the reason to wait.
func (l *loop) cut(ctx context.Context) error {
	if l.lastErr == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), l.lastErr)
}

func (l *loop) busy() bool { return l.opening != nil || l.turn != nil || l.asked != nil }

func (l *loop) legs() []*leg {
	if l.main == nil {
		return l.trials
	}
	return append([]*leg{l.main}, l.trials...)
}

// wake gives the next moment at which time alone changes something.
func (l *loop) wake() (time.Time, bool) {
	var at time.Time
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if !l.retryAt.IsZero() {
		sooner(l.retryAt)
	}
	for _, g := range l.trials {
		sooner(g.last.Add(trialStall))
	}
	if l.busy() {
		sooner(l.good.Add(l.c.cfg.Patience))
		if l.mayHedge() {
			sooner(l.stallAt())
		}
	}
	return at, !at.IsZero()
}

func (l *loop) mayHedge() bool {
	limit := maxHedges
	if l.main == nil {
		limit++ // the first trial stands in for the main leg
	}
	return l.retryAt.IsZero() && len(l.trials) < limit
}

// stallAt is when silence has lasted long enough to ask another node.
func (l *loop) stallAt() time.Time {
	from, stall := l.contact, minStall
	if l.hedged.After(from) {
		from = l.hedged
	}
	switch {
	case l.turn == nil:
		stall = openStall
	case l.main == nil:
		stall += 100 * time.Millisecond // a first answer also needs a handshake
	}
	if g := l.main; g != nil && g.ch != nil {
		stall = max(stall, 2*g.ch.rtt()+50*time.Millisecond)
	}
	return from.Add(stall)
}

func (l *loop) onTime(now time.Time) {
	if l.busy() && !now.Before(l.good.Add(l.c.cfg.Patience)) {
		l.finishAll(l.exhausted())
		return
	}
	for _, g := range slices.Clone(l.trials) {
		if !now.Before(g.last.Add(trialStall)) {
			l.lose(g, fmt.Errorf("%s is silent", g.addr))
		}
	}
	switch {
	case !l.retryAt.IsZero() && !now.Before(l.retryAt):
		l.retryAt = time.Time{}
		l.retry()
	case l.busy() && l.mayHedge() && !now.Before(l.stallAt()):
		l.hedged = now
		l.launch()
	}
}

func (l *loop) exhausted() error {
	if l.lastErr == nil {
		return ErrUnreachable
	}
	if _, ok := errors.AsType[*skein.Error](l.lastErr); ok {
		return l.lastErr
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, l.lastErr)
}

// settle makes sure that something will happen: a session without a leg gets one, at once when somebody
// waits and with jitter when nobody does; an idle session leaves a node that drains, with jitter too.
func (l *loop) settle() {
	held := l.main != nil && (l.busy() || !l.main.goaway)
	if held || len(l.trials) > 0 || !l.retryAt.IsZero() || !l.busy() && !l.opened {
		return
	}
	pause := backoff(l.tries, firstBackoff, maxBackoff)
	if !l.busy() {
		pause = rand.N(min(250*time.Millisecond<<min(l.tries, 10), idleBackoff))
	}
	l.tries++
	l.retryAt = time.Now().Add(pause)
}

// retry does what had been put off.
func (l *loop) retry() {
	if l.main != nil && len(l.trials) == 0 && !l.busy() && !l.main.goaway {
		return
	}
	if l.main == nil || l.elsewhere || l.main.goaway {
		l.elsewhere = false
		if l.launch() || l.main == nil {
			return
		}
	}
	for _, f := range l.pending() {
		if l.main != nil {
			l.send(l.main, f)
		}
	}
	l.contact = time.Now()
}
