package turn

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// TestTurnsOfEndedSessions: a closed session repeats its replies and takes no turn; an erased one says nothing more, also at a
// desk that has its text at hand.
func TestTurnsOfEndedSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		a, b := start(t, m, "n1"), start(t, m, "n2")
		a.open(t)
		first := a.ask(t.Context(), message(1, "hi"))
		if h := b.ask(t.Context(), message(1, "hi")); h.reply != first.reply || h.reply == "" {
			t.Fatalf("elsewhere: %+v, want %q", h, first.reply)
		}
		order := func(body session.Body) {
			t.Helper()
			if res, err := m.Propose(t.Context(), session.Command{Session: chat, Body: body}); err != nil || res[0].Err != nil {
				t.Fatalf("%T: %v, %+v", body, err, res)
			}
		}
		order(session.Close{Reason: "operator"})
		if h := a.ask(t.Context(), message(1, "hi")); h.reply != first.reply {
			t.Errorf("repeat in a closed session: %+v, want %q", h, first.reply)
		}
		for _, desk := range []*bench{a, b} { // b still thinks it open
			if h := desk.ask(t.Context(), message(2, "ho")); !errors.Is(h.err, skein.ErrSessionClosed) {
				t.Errorf("turn in a closed session: %v, want session_closed", h.err)
			}
		}
		order(session.Erase{})
		for _, desk := range []*bench{a, b} {
			for n, text := range map[uint64]string{1: "hi", 3: "new"} {
				if h := desk.ask(t.Context(), message(n, text)); !errors.Is(h.err, skein.ErrSessionGone) || h.text != "" {
					t.Errorf("turn %d of an erased session: %+v, want session_gone", n, h)
				}
			}
			_, _, err := desk.desk.Open(t.Context(), session.Opening{Session: chat, Subject: "ann", Create: true})
			if !errors.Is(err, skein.ErrSessionGone) {
				t.Errorf("open: %v, want session_gone", err)
			}
		}
	})
}

// TestEraseFencesTheRunner: what a runner still says is refused, and its client hears that the session is gone.
func TestEraseFencesTheRunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newMemory(), "n1")
		b.open(t)
		done := make(chan heard, 1)
		go func() { done <- b.ask(t.Context(), message(1, "long")) }()
		synctest.Wait()
		if _, ok := b.memory.states[chat].OpenTurn(); !ok {
			t.Fatal("the turn is not open")
		}
		if _, err := b.memory.Propose(t.Context(), session.Command{Session: chat, Body: session.Erase{}}); err != nil {
			t.Fatal(err)
		}
		if h := <-done; !errors.Is(h.err, skein.ErrSessionGone) {
			t.Errorf("got %+v, want session_gone", h)
		}
	})
}
