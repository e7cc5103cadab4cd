package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// fake is Sessions over session.Apply in memory. It answers "you said: TEXT" in pieces of a word; a text that
// begins with "hold" gets its first piece, then waits for release; "die" is a dead turn.
type fake struct {
	place   skein.Place
	release chan struct{}
	cutOff  atomic.Bool // from its group: no signs of life
	wg      sync.WaitGroup

	mu      sync.Mutex
	states  map[skein.SessionID]*session.State
	events  map[skein.SessionID][]session.Event
	changed chan struct{}
	calls   int // of Turn
}

func newFake(node, region string) *fake {
	return &fake{
		place:   skein.Place{Node: skein.NodeID(node), Region: skein.Region(region), Zone: "a"},
		release: make(chan struct{}), changed: make(chan struct{}),
		states: map[skein.SessionID]*session.State{}, events: map[skein.SessionID][]session.Event{},
	}
}

func (f *fake) apply(c session.Command) session.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.At = time.Unix(1_800_000_000, 0)
	evs, res := session.Apply(f.states[c.Session], c, session.Now{})
	if res.Err != nil {
		return res
	}
	f.states[c.Session] = res.State
	for _, e := range evs {
		if e.Kind.Kept() {
			f.events[c.Session] = append(f.events[c.Session], e)
		}
	}
	if len(evs) > 0 {
		close(f.changed)
		f.changed = make(chan struct{})
	}
	return res
}

func (f *fake) look(id skein.SessionID) (*session.State, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.states[id], f.changed
}

func (f *fake) Open(_ context.Context, o session.Opening) (*session.State, bool, error) {
	st, _ := f.look(o.Session)
	if st == nil && !o.Create {
		return nil, false, skein.Fault(skein.CodeUnknownSession, "%s was never opened", o.Session)
	}
	a := o.Assistant
	if a == "" {
		a = "shop"
	}
	if a == "nobody" {
		return nil, false, skein.Fault(skein.CodeUnknownAssistant, "no assistant nobody")
	}
	res := f.apply(session.Command{Session: o.Session, Body: session.Open{Subject: o.Subject, Assistant: a, Home: f.place.Region}})
	return res.State, res.Err == nil && !res.Duplicate, res.Err
}

func (f *fake) Turn(ctx context.Context, m session.Message, emit func(session.Update) error) error {
	f.mu.Lock()
	f.calls++
	f.mu.Unlock()
	res := f.apply(session.Command{Session: m.Session, Body: session.Accept{
		Turn: m.Turn, Subject: m.Subject, Text: m.Text, Runner: skein.Runner{Node: f.place.Node, Incarnation: 1}, Place: f.place,
	}})
	if res.Err != nil {
		return res.Err
	}
	if !res.Duplicate {
		f.mu.Lock() // for the race detector, which sees no order across a socket between this and wait
		f.wg.Go(func() { f.work(m) })
		f.mu.Unlock()
	}
	reached, accepted := m.Offset, false
	for {
		st, changed := f.look(m.Session)
		t, ok := st.Turn(m.Turn)
		if !ok {
			return skein.ErrReplyExpired
		}
		u := session.Update{Turn: m.Turn, Seq: t.Seq, Attempt: t.Attempt, Place: t.Place}
		if !accepted {
			accepted = true
			u.Kind = session.UpdateAccepted
			if err := emit(u); err != nil {
				return err
			}
		}
		if len(t.Reply) > reached {
			u.Kind, u.Offset, u.Text = session.UpdatePiece, reached, t.Reply[reached:]
			if err := emit(u); err != nil {
				return err
			}
			reached = len(t.Reply)
		}
		switch t.Status {
		case session.Completed:
			u.Kind, u.Offset, u.Text, u.Source = session.UpdateCompleted, 0, t.Reply, t.Source
			return emit(u)
		case session.Dead:
			return skein.Fault(skein.CodeTurnDead, "%s", t.Reason)
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-time.After(lifeSign):
				u.Kind, u.Offset, u.Text = session.UpdatePiece, reached, ""
				if f.cutOff.Load() {
					continue
				}
				if err := emit(u); err != nil {
					return err
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// work answers a turn, whether anybody follows it or not.
func (f *fake) work(m session.Message) {
	run := session.Run{Turn: m.Turn, Attempt: 1}
	if m.Text == "die" {
		f.apply(session.Command{Session: m.Session, Body: session.Fail{Run: run, Reason: "it died", Final: true}})
		return
	}
	reply := ""
	for i, w := range strings.SplitAfter("you said: "+m.Text, " ") {
		f.apply(session.Command{Session: m.Session, Body: session.Progress{Run: run, Offset: len(reply), Text: w}})
		reply += w
		if i == 0 && strings.HasPrefix(m.Text, "hold") {
			<-f.release
		}
	}
	f.apply(session.Command{Session: m.Session, Body: session.Complete{Run: run, Reply: session.Reply{Text: reply, Source: "flow:echo"}}})
}

func (f *fake) History(_ context.Context, o session.Opening, after skein.Seq, limit int) ([]session.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.states[o.Session]
	switch {
	case st == nil:
		return nil, skein.Fault(skein.CodeUnknownSession, "%s was never opened", o.Session)
	case st.Subject != o.Subject:
		return nil, skein.Fault(skein.CodeForbidden, "%s belongs to another subject", o.Session)
	}
	var out []session.Event
	for _, e := range f.events[o.Session] {
		if e.Seq > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (f *fake) Close(_ context.Context, o session.Opening, expect skein.Seq) (*session.State, error) {
	res := f.apply(session.Command{Session: o.Session, Expect: expect, Body: session.Close{Subject: o.Subject, Reason: "client"}})
	return res.State, res.Err
}

// said gives all that a subject's sessions said, two events a page.
func (f *fake) said(_ context.Context, q session.Query) (session.Findings, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out session.Findings
	for _, id := range slices.Sorted(maps.Keys(f.states)) {
		if f.states[id].Subject != q.Subject {
			continue
		}
		for _, e := range f.events[id] {
			if key := fmt.Sprintf("%s %d", id, e.Seq); key > q.After {
				if len(out.Said) == min(q.Limit, 2) {
					return out, nil
				}
				out.Said, out.Next = append(out.Said, session.Said{Opened: f.events[id][0].At, Event: e}), key
			}
		}
	}
	out.Next = ""
	return out, nil
}

// wait returns when the turns that have begun have ended.
func (f *fake) wait() {
	f.turnCalls() // takes the lock, see Turn
	f.wg.Wait()
}

func (f *fake) sessions() []skein.SessionID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.states))
}

func (f *fake) turnCalls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}
