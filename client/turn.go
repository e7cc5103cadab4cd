package client

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
)

// Piece is text of a reply. Pieces follow each other without holes or repeats, and none is ever taken back.
type Piece struct {
	Offset  int // bytes of the reply before Text
	Text    string
	Attempt skein.Attempt
	Mode    string // set where an attempt went on behind another's text: "prefill", "prompted", "replayed"
}

// Reply is the answer to a turn.
type Reply struct {
	Text     string // whole
	Node     skein.NodeID
	Region   skein.Region
	Zone     skein.Zone
	Via      skein.NodeID // the node that the client was connected to
	Attempts int          // runs that the mesh needed
	Source   string       // what answered, as in "flow:refund"
	Latency  time.Duration
	Seq      skein.Seq // of the completed event
}

// Turn is one message and its reply.
type Turn struct {
	id      skein.TurnID
	text    string
	ctx     context.Context // bounds the turn, not one call: the session's loop watches it
	started time.Time

	mu      sync.Mutex // guards the fields below
	buf     []byte     // the reply so far
	pieces  []Piece    // at least one byte each, so buf's limit bounds them
	next    int        // piece that Next gives
	changed chan struct{}
	done    bool
	reply   Reply
	err     error
}

func newTurn(ctx context.Context, id skein.TurnID, text string) *Turn {
	return &Turn{id: id, text: text, ctx: ctx, started: time.Now(), changed: make(chan struct{})}
}

// ID gives the id that makes the turn idempotent; Session.SendID asks with it for the same reply again.
func (t *Turn) ID() skein.TurnID { return t.id }

// Next waits for the next piece of the reply; io.EOF follows the last. Once ctx ends it gives up waiting, and the
// turn goes on.
func (t *Turn) Next(ctx context.Context) (Piece, error) {
	for {
		t.mu.Lock()
		if t.next < len(t.pieces) {
			p := t.pieces[t.next]
			t.next++
			t.mu.Unlock()
			return p, nil
		}
		done, err, changed := t.done, t.err, t.changed
		t.mu.Unlock()
		if done && err == nil {
			err = io.EOF
		}
		if done {
			return Piece{}, err
		}
		if err := wait(ctx, changed); err != nil {
			return Piece{}, err
		}
	}
}

// Reply waits for the whole reply. It does not touch what Next gives.
func (t *Turn) Reply(ctx context.Context) (Reply, error) {
	for {
		t.mu.Lock()
		done, reply, err, changed := t.done, t.reply, t.err, t.changed
		t.mu.Unlock()
		if done {
			return reply, err
		}
		if err := wait(ctx, changed); err != nil {
			return Reply{}, err
		}
	}
}

func wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errGap says that a node left bytes out; the rest is asked for again.
var errGap = fmt.Errorf("a piece begins behind the end of the reply")

// take adds a piece: bytes that are known are compared and dropped. fresh says that some were new.
func (t *Turn) take(p Piece) (fresh bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return false, nil
	}
	have := len(t.buf)
	switch {
	case p.Offset < 0 || p.Offset > have:
		return false, errGap
	case p.Offset+len(p.Text) > maxReply:
		return false, skein.Fault(skein.CodeTooLarge, "a reply has at most %d bytes", maxReply)
	}
	known := min(have-p.Offset, len(p.Text))
	if string(t.buf[p.Offset:p.Offset+known]) != p.Text[:known] {
		return false, fmt.Errorf("turn %s: %w, in bytes %d to %d", t.id, ErrRetracted, p.Offset, p.Offset+known)
	}
	if known == len(p.Text) {
		return false, nil
	}
	p.Offset, p.Text = have, p.Text[known:]
	t.buf = append(t.buf, p.Text...)
	t.pieces = append(t.pieces, p)
	t.signal()
	return true, nil
}

// complete ends the turn with the whole reply, which begins with all that was handed out.
func (t *Turn) complete(r Reply) error {
	have := t.offset()
	if len(r.Text) < have {
		return fmt.Errorf("turn %s: %w: the whole reply has %d bytes, %d were shown", t.id, ErrRetracted, len(r.Text), have)
	}
	if _, err := t.take(Piece{Text: r.Text, Attempt: skein.Attempt(r.Attempts)}); err != nil {
		return err
	}
	r.Latency = time.Since(t.started)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.done {
		t.done, t.reply = true, r
		t.signal()
	}
	return nil
}

func (t *Turn) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.done {
		t.done, t.err = true, err
		t.signal()
	}
}

func (t *Turn) offset() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.buf)
}

// signal wakes the waiters; t.mu is held.
func (t *Turn) signal() {
	close(t.changed)
	t.changed = make(chan struct{})
}
