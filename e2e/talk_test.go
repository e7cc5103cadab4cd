package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
)

// goesOnWithin is how long a conversation may stand still when its node dies.
const goesOnWithin = 2 * time.Second

// talk is one conversation: a client of its own that asks until it is told to stop.
type talk struct {
	name  string
	ask   func(turn int) (text, want string) // want: the whole reply, or "" when only its presence is known
	slow  time.Duration                      // what the answer itself may take without a word
	turns []asked

	mu    sync.Mutex // guards moves
	moves []client.Move

	client  *client.Client
	session *client.Session
}

// asked is one turn as its client saw it.
type asked struct {
	id     skein.TurnID
	text   string
	want   string
	pieces string
	reply  client.Reply
	gap    time.Duration // the longest silence
	err    error
}

func (t *talk) moved(m client.Move) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moves = append(t.moves, m)
}

func (t *talk) open(d *dev, first skein.NodeID) error {
	var err error
	if t.client, err = d.client(first, t.moved); err != nil {
		return fmt.Errorf("%s: dial: %w", t.name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if t.session, err = t.client.Open(ctx, "eu~"+t.name, client.Options{}); err != nil {
		return fmt.Errorf("%s: open: %w", t.name, err)
	}
	return nil
}

// run asks until stop closes; the turn under way then is still waited for.
func (t *talk) run(stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		text, want := t.ask(i)
		a := t.one(text, want)
		t.turns = append(t.turns, a)
		if a.err != nil {
			return
		}
	}
}

func (t *talk) one(text, want string) asked {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a := asked{text: text, want: want}
	last := time.Now()
	turn, err := t.session.Send(ctx, text)
	if err != nil {
		a.err = err
		return a
	}
	a.id = turn.ID()
	for {
		p, err := turn.Next(ctx)
		a.gap = max(a.gap, time.Since(last))
		last = time.Now()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			a.err = err
			return a
		}
		if p.Offset != len(a.pieces) {
			a.err = fmt.Errorf("piece at %d behind %d bytes", p.Offset, len(a.pieces))
			return a
		}
		a.pieces += p.Text
	}
	a.reply, a.err = turn.Reply(ctx)
	return a
}

// check compares what the client saw with what was said and with the session's history, and gives every fault.
func (t *talk) check(d *dev) []error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", t.name, fmt.Sprintf(format, args...)))
	}
	for _, a := range t.turns {
		switch {
		case a.err != nil:
			fault("turn %s: %v", a.id, a.err)
		case a.pieces != a.reply.Text:
			fault("turn %s: pieces %q, reply %q", a.id, a.pieces, a.reply.Text)
		case a.want != "" && a.reply.Text != a.want:
			fault("turn %s: got %q, want %q", a.id, a.reply.Text, a.want)
		case a.gap > goesOnWithin+t.slow:
			fault("turn %s: nothing for %v", a.id, a.gap)
		}
	}
	for _, m := range t.moves {
		if m.Took > goesOnWithin {
			fault("moved %s to %s in %v", m.From.ID, m.To.ID, m.Took)
		}
	}
	past, err := history(d, skein.SessionID("eu~"+t.name))
	if err != nil {
		fault("history: %v", err)
		return faults
	}
	for _, a := range t.turns {
		if a.id.Client == "" {
			continue
		}
		h := past[a.id]
		if len(h.accepted) != 1 || h.accepted[0] != a.text {
			fault("turn %s is accepted %d times in the history", a.id, len(h.accepted))
		}
		if a.err == nil && (len(h.completed) != 1 || h.completed[0] != a.reply.Text) {
			fault("turn %s is completed %d times in the history", a.id, len(h.completed))
		}
	}
	return faults
}

// passed is what a history says of one turn.
type passed struct {
	accepted  []string
	completed []string
	attempts  int
}

// history reads a session from the beginning with a client of its own.
func history(d *dev, id skein.SessionID) (map[skein.TurnID]passed, error) {
	c, err := d.client("", nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := c.Open(ctx, string(id), client.Options{Resume: true})
	if err != nil {
		return nil, err
	}
	out := make(map[skein.TurnID]passed)
	for after := skein.Seq(0); ; {
		events, next, err := s.History(ctx, after, 500)
		if err != nil {
			return nil, err
		}
		for _, ev := range events {
			h := out[ev.Turn]
			switch ev.Kind {
			case "accepted":
				h.accepted = append(h.accepted, ev.Text)
				h.attempts++
			case "attempt":
				h.attempts++
			case "completed":
				h.completed = append(h.completed, ev.Text)
			}
			out[ev.Turn] = h
		}
		if next == 0 {
			return out, nil
		}
		after = next
	}
}

// leave sends a long turn and goes away after its first piece; the id is that of the turn.
func (t *talk) leave() (skein.TurnID, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	text, _ := t.ask(0)
	turn, err := t.session.Send(ctx, text)
	if err != nil {
		return skein.TurnID{}, err
	}
	if p, err := turn.Next(ctx); err != nil || strings.TrimSpace(p.Text) == "" {
		return turn.ID(), fmt.Errorf("first piece %q: %w", p.Text, err)
	}
	return turn.ID(), t.client.Close()
}
