package turn

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// advance passes committed time.
func (m *memory) advance(by time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock += session.Committed(by)
}

// must commits one command as an operator or the group's leader does.
func (m *memory) must(t *testing.T, body session.Body) *session.State {
	t.Helper()
	res, err := m.Propose(t.Context(), session.Command{Session: chat, Body: body})
	if err != nil || res[0].Err != nil {
		t.Fatal(err, res[0].Err)
	}
	return res[0].State
}

// A client that sends a dead turn again after an operator's retry follows it, also at a node that has only seen it die.
func TestRetriedTurnIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b1, b2 := start(t, m, "n1"), start(t, m, "n2")
		b1.open(t)
		dead := message(1, "hopeless")
		for range 2 {
			if got := b1.ask(t.Context(), dead); !errors.Is(got.err, skein.ErrTurnDead) {
				t.Errorf("got %+v, want dead", got)
			}
		}
		m.must(t, session.Retry{Run: session.Run{Turn: dead.Turn, Attempt: 1}})
		b2.mend()
		follower, other := make(chan heard), make(chan heard)
		go func() { follower <- b1.ask(t.Context(), dead) }()
		go func() { other <- b1.ask(t.Context(), message(2, "hi")) }()
		time.Sleep(time.Second)
		st := m.must(t, session.Start{Turn: dead.Turn, Attempt: 2, Runner: b2.desk.cfg.Self, Place: b2.desk.cfg.Place})
		if err := b2.desk.Adopt(t.Context(), chat, st.Seq); err != nil {
			t.Fatal(err)
		}
		if got := <-follower; got.err != nil || got.reply != "quick hopeless." || !slices.Equal(got.accepted, []skein.Attempt{1, 2}) || got.signs == 0 {
			t.Errorf("after the retry: %+v", got)
		}
		if got := <-other; got.err != nil || got.reply != "quick hi.." {
			t.Errorf("the turn behind it: %+v", got)
		}
	})
}

// A turn that waits for one that dies goes on.
func TestDeadTurnBlocksNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b := start(t, m, "n1")
		b.open(t)
		first, second := make(chan heard), make(chan heard)
		go func() { first <- b.ask(t.Context(), message(1, "broken")) }()
		time.Sleep(100 * time.Millisecond)
		go func() { second <- b.ask(t.Context(), message(2, "hi")) }()
		time.Sleep(time.Second)
		turn := message(1, "").Turn
		m.advance(time.Minute)
		m.must(t, session.Start{Turn: turn, Attempt: 2, Runner: skein.Runner{Node: "n2", Incarnation: 1}})
		m.must(t, session.Fail{Run: session.Run{Turn: turn, Attempt: 2}, Reason: "away", Final: true})
		if got := <-first; !errors.Is(got.err, skein.ErrTurnDead) {
			t.Errorf("the first: %+v, want dead", got)
		}
		if got := <-second; got.err != nil || got.reply != "quick hi." {
			t.Errorf("the second: %+v", got)
		}
		m.must(t, session.Drop{Run: session.Run{Turn: turn, Attempt: 2}})
		if got := b.ask(t.Context(), message(1, "broken")); !errors.Is(got.err, skein.ErrTurnDead) {
			t.Errorf("dropped: %+v, want dead", got)
		}
	})
}
