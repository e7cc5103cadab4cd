package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

func TestLimiter(t *testing.T) {
	l, err := newLimiter("turns", Limits{TurnsPerSecond: 2}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	for i, tt := range []struct {
		subject skein.Subject
		after   time.Duration
		wait    time.Duration // 0: allowed
	}{
		{"ann", 0, 0}, {"ann", 0, 0}, {"ann", 0, 0}, {"ann", 0, 0}, // the burst is twice the rate
		{"ann", 0, 500 * time.Millisecond},
		{"bob", 0, 0},
		{"ann", 200 * time.Millisecond, 300 * time.Millisecond}, // a refused turn costs nothing
		{"ann", 500 * time.Millisecond, 0},
		{"ann", 500 * time.Millisecond, 500 * time.Millisecond},
	} {
		err := l.allow(tt.subject, now.Add(tt.after))
		fault, refused := errors.AsType[*skein.Error](err)
		if refused != (tt.wait > 0) || refused && (fault.Code != skein.CodeRateLimited || fault.RetryAfter != tt.wait) {
			t.Errorf("%d: %s after %s: %v, want a wait of %s", i, tt.subject, tt.after, err, tt.wait)
		}
	}
	if none, _ := newLimiter("turns", Limits{}); none.allow("ann", now) != nil {
		t.Error("no limit limits")
	}
}

func TestGate(t *testing.T) {
	var g gate
	for i, want := range []bool{true, true, false} {
		if got := g.enterUpTo(2); got != want {
			t.Fatalf("entry %d of two at most: %v", i+1, got)
		}
	}
	g.set(true)
	if g.enter() {
		t.Error("entered a shut gate")
	}
	late, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	if err := g.wait(late); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait with somebody inside: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- g.wait(t.Context()) }()
	g.leave()
	g.leave()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	g.set(false)
	if !g.enter() {
		t.Error("an open gate is shut")
	}
}

func TestOutbox(t *testing.T) {
	o := newOutbox()
	big := make([]byte, maxOutbox)
	if err := o.push(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	full, cancel := context.WithCancel(t.Context())
	pushed := make(chan error)
	for range 2 {
		go func() { pushed <- o.push(full, []byte("x")) }()
	}
	select {
	case err := <-pushed:
		t.Fatalf("pushed into a full box: %v", err)
	case <-o.wake:
	}
	if msgs, open := o.take(); len(msgs) != 1 || !open {
		t.Errorf("took %d messages, open %v", len(msgs), open)
	}
	for range 2 { // room for one is room for the next
		if err := <-pushed; err != nil {
			t.Error(err)
		}
	}
	o.push(t.Context(), big)
	cancel()
	if err := o.push(full, []byte("x")); err == nil {
		t.Error("pushed into a full box after the end of the context")
	}
	o.close()
	if msgs, open := o.take(); len(msgs) != 3 || open {
		t.Errorf("took %d messages, open %v", len(msgs), open)
	}
}
