package turn

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// memory is a group of one: what session.Apply says, at once or after a delay.
type memory struct {
	delay time.Duration // of each commit

	mu      sync.Mutex // guards the fields below
	states  map[skein.SessionID]*session.State
	events  []session.Event
	clock   session.Committed
	changed chan struct{}
	lost    bool // no quorum: proposals wait
	commits int
	fault   func(session.Command) error // refuses a proposal before it is applied
}

func newMemory() *memory {
	return &memory{states: make(map[skein.SessionID]*session.State), changed: make(chan struct{})}
}

func (m *memory) Propose(ctx context.Context, cmds ...session.Command) ([]session.Result, error) {
	if m.delay > 0 {
		select {
		case <-time.After(m.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	for {
		m.mu.Lock()
		if !m.lost {
			break
		}
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer m.mu.Unlock()
	var out []session.Result
	for _, c := range cmds {
		if m.fault != nil {
			if err := m.fault(c); err != nil {
				return nil, err
			}
		}
		evs, res := session.Apply(m.states[c.Session], c, session.Now{Clock: m.clock})
		if len(evs) > 0 {
			m.states[c.Session] = res.State
			m.events = append(m.events, evs...)
		}
		out = append(out, res)
	}
	m.commits++
	m.wakeLocked()
	return out, nil
}

func (m *memory) wakeLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) Read(ctx context.Context, id skein.SessionID, after skein.Seq) (*session.State, error) {
	for {
		m.mu.Lock()
		st, changed := m.states[id], m.changed
		m.mu.Unlock()
		switch {
		case st == nil:
			return nil, skein.ErrUnknownSession
		case st.Seq > after:
			return st, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *memory) History(_ context.Context, id skein.SessionID, after skein.Seq, limit int) ([]session.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []session.Event
	for _, ev := range m.events {
		if ev.Session == id && ev.Seq > after && ev.Kind.Kept() && len(out) < limit {
			out = append(out, ev)
		}
	}
	return out, nil
}

func (m *memory) QuorumOf(skein.SessionID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.lost
}

func (m *memory) lose(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = on
	m.wakeLocked()
}

func (m *memory) kinds(id skein.SessionID) []session.Kind {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []session.Kind
	for _, ev := range m.events {
		if ev.Session == id {
			out = append(out, ev.Kind)
		}
	}
	return out
}

// script is an Answerer that does what the text says.
type script struct {
	mu     sync.Mutex // guards the fields below
	calls  []string
	mended bool // what was hopeless is answered
}

func (s *script) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mended = true
}

func (s *script) isMended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mended
}

func (s *script) did(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, what)
}

func (s *script) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

const sentence = "one two three four five six seven eight "

func (s *script) Answer(ctx context.Context, q Question, a *Attempt) (Answer, error) {
	s.did(q.Text)
	mem := append(slices.Clone(q.Memory), '.')
	switch q.Text {
	case "long":
		text := q.Committed
		for i := len(text); i < len(sentence); i++ {
			mode := ""
			if i == len(q.Committed) && i > 0 {
				mode = "prefill"
			}
			if err := a.Piece(ctx, sentence[i:i+1], mode); err != nil {
				return Answer{}, err
			}
			text += sentence[i : i+1]
			select {
			case <-time.After(20 * time.Millisecond):
			case <-a.ctx.Done():
				return Answer{}, context.Cause(a.ctx)
			}
		}
		return Answer{Text: text, Memory: mem, Source: "model"}, nil
	case "tool":
		call, err := a.Call(ctx, session.Call{ID: "1", Tool: "refund", Key: "k1"}, func(context.Context) (string, error) {
			s.did("effect")
			return `{"id":"RF1"}`, nil
		})
		return Answer{Text: "done " + call.Result, Memory: mem}, err
	case "broken":
		return Answer{}, skein.Fault(skein.CodeInternal, "the model is away")
	case "hopeless":
		if !s.isMended() {
			return Answer{}, ErrFinal
		}
	}
	return Answer{Text: "quick " + q.Text + string(mem), Memory: mem, Source: "flow"}, nil
}
