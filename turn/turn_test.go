package turn

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const chat = skein.SessionID("eu~chat")

type bench struct {
	*memory
	*script
	desk *Desk
	stop func()
}

func start(t *testing.T, m *memory, node skein.NodeID) *bench {
	t.Helper()
	b := &bench{memory: m, script: &script{}}
	b.desk = New(Config{Store: m, Answerer: b.script, Self: skein.Runner{Node: node, Incarnation: 1}, Place: skein.Place{Node: node, Region: "eu", Zone: "a"}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.desk.Run(ctx) }()
	b.stop = func() { cancel(); <-done }
	t.Cleanup(b.stop)
	return b
}

func (b *bench) open(t *testing.T) {
	t.Helper()
	st, _, err := b.desk.Open(t.Context(), session.Opening{Session: chat, Subject: "ann", Create: true})
	if err != nil || st.ID != chat {
		t.Fatalf("open: %v, %v", st, err)
	}
}

func message(n uint64, text string) session.Message {
	return session.Message{Session: chat, Subject: "ann", Turn: skein.TurnID{Client: "c", Counter: n}, Text: text}
}

// heard is what a client was told.
type heard struct {
	text     string
	reply    string
	accepted []skein.Attempt
	modes    []string
	signs    int
	err      error
}

func (b *bench) ask(ctx context.Context, m session.Message) heard {
	var h heard
	h.err = b.desk.Turn(ctx, m, func(u session.Update) error {
		switch u.Kind {
		case session.UpdateAccepted:
			h.accepted = append(h.accepted, u.Attempt)
		case session.UpdatePiece:
			if u.Text == "" {
				h.signs++
			}
			if u.Offset != m.Offset+len(h.text) {
				return errors.New("a piece with a hole before it")
			}
			h.text += u.Text
			if u.Mode != "" {
				h.modes = append(h.modes, u.Mode)
			}
		case session.UpdateCompleted:
			h.reply = u.Text
		}
		return nil
	})
	return h
}

func TestQuickTurnIsOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newMemory(), "n1")
		b.open(t)
		before := b.commits
		got := b.ask(t.Context(), message(1, "hi"))
		if got.err != nil || got.reply != "quick hi." || got.text != got.reply {
			t.Errorf("got %+v", got)
		}
		if n := b.commits - before; n != 1 {
			t.Errorf("%d commits, want 1", n)
		}
		again := b.ask(t.Context(), message(1, "hi"))
		if again.reply != got.reply || len(b.list()) != 1 {
			t.Errorf("repeat: %+v after %d answers, want the stored reply", again, len(b.list()))
		}
		if other := b.ask(t.Context(), message(1, "ho")); !errors.Is(other.err, skein.ErrTurnConflict) {
			t.Errorf("other text: %v, want a turn conflict", other.err)
		}
		next := b.ask(t.Context(), message(2, "hi"))
		if next.reply != "quick hi.." {
			t.Errorf("memory: got %q", next.reply)
		}
	})
}

func TestStaleNodeAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b1, b2 := start(t, m, "n1"), start(t, m, "n2")
		b1.open(t)
		b1.ask(t.Context(), message(1, "a"))
		b2.ask(t.Context(), message(2, "b"))
		got := b1.ask(t.Context(), message(3, "c")) // n1 has not seen turn 2
		if got.reply != "quick c..." {
			t.Errorf("got %q, want the memory of both nodes' turns", got.reply)
		}
	})
}

func TestLongTurnStreamsCommittedText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newMemory(), "n1")
		b.delay = 10 * time.Millisecond
		b.open(t)
		got := b.ask(t.Context(), message(1, "long"))
		if got.err != nil || got.text != sentence || got.reply != sentence {
			t.Errorf("got %+v", got)
		}
		ks := b.kinds(chat)
		if ks[1] != session.Accepted || ks[len(ks)-1] != session.Done || !slices.Contains(ks, session.Progressed) {
			t.Errorf("events %v", ks)
		}
	})
}

func TestClientGoesAwayTurnCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newMemory(), "n1")
		b.open(t)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if got := b.ask(ctx, message(1, "long")); got.err == nil {
			t.Error("the follower went on")
		}
		if err := b.desk.Idle(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := message(1, "long")
		m.Offset = 5
		got := b.ask(t.Context(), m)
		if got.text != sentence[5:] || got.reply != sentence || len(b.list()) != 1 {
			t.Errorf("after return: %+v, %d answers", got, len(b.list()))
		}
	})
}

func TestTakenOverTurnGoesOnInMidSentence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b1, b2 := start(t, m, "n1"), start(t, m, "n2")
		b1.open(t)
		client := make(chan heard)
		go func() { client <- b2.ask(t.Context(), message(1, "long")) }() // runs at n2
		time.Sleep(300 * time.Millisecond)
		res, err := m.Propose(t.Context(), session.Command{Session: chat, Body: session.Start{
			Turn: message(1, "").Turn, Attempt: 2, Runner: b1.desk.cfg.Self, Place: b1.desk.cfg.Place}})
		if err != nil || res[0].Err != nil {
			t.Fatal(err, res[0].Err)
		}
		if err := b1.desk.Adopt(t.Context(), chat, res[0].State.Seq); err != nil {
			t.Fatal(err)
		}
		got := <-client
		if got.err != nil || got.text != sentence || !slices.Equal(got.accepted, []skein.Attempt{1, 2}) || !slices.Equal(got.modes, []string{"prefill"}) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestOutsideEffectHappensOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b := start(t, m, "n1")
		b.open(t)
		got := b.ask(t.Context(), message(1, "tool"))
		if got.err != nil || got.reply != `done {"id":"RF1"}` {
			t.Errorf("got %+v", got)
		}
		want := []session.Kind{session.Opened, session.Accepted, session.Intended, session.Happened, session.Done}
		if ks := m.kinds(chat); !slices.Equal(ks, want) {
			t.Errorf("events %v, want %v", ks, want)
		}
	})
}

func TestFailureWaitsForNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newMemory(), "n1")
		b.open(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got := b.ask(ctx, message(1, "broken"))
		if !errors.Is(got.err, context.DeadlineExceeded) || got.signs == 0 {
			t.Errorf("got %+v, want signs of life until the client gave up", got)
		}
		turn, ok := b.states[chat].OpenTurn()
		if !ok || turn.Status != session.Waiting || !strings.Contains(turn.Reason, "away") {
			t.Errorf("turn %+v", turn)
		}
	})
}

func TestFinalErrorIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newMemory(), "n1")
		b.open(t)
		if got := b.ask(t.Context(), message(1, "hopeless")); !errors.Is(got.err, skein.ErrTurnDead) {
			t.Errorf("got %+v, want dead", got)
		}
		if got := b.ask(t.Context(), message(2, "hi")); got.err != nil {
			t.Errorf("next turn: %v", got.err)
		}
	})
}

func TestNoSignsOfLifeWithoutQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newMemory(), "n1")
		b.open(t)
		time.AfterFunc(200*time.Millisecond, func() { b.lose(true) })
		time.AfterFunc(5*time.Second, func() { b.lose(false) })
		got := b.ask(t.Context(), message(1, "long"))
		if got.reply != sentence {
			t.Errorf("got %+v", got)
		}
		if got.signs > 20 {
			t.Errorf("%d signs of life, most without a quorum", got.signs)
		}
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newMemory(), "n1")
		ctx := t.Context()
		b.desk.cfg.Knows = func(id string) bool { return id == "shop" }
		stranger := session.Opening{Session: chat, Subject: "ann", Create: true, Assistant: "bank"}
		if _, _, err := b.desk.Open(ctx, stranger); skein.CodeOf(err) != skein.CodeUnknownAssistant {
			t.Errorf("unknown assistant: %v", err)
		}
		_, _, err := b.desk.Open(ctx, session.Opening{Session: chat, Subject: "ann"})
		if !errors.Is(err, skein.ErrUnknownSession) {
			t.Errorf("resume of nothing: %v", err)
		}
		b.open(t)
		if _, _, err = b.desk.Open(ctx, session.Opening{Session: chat, Subject: "bob", Create: true}); !errors.Is(err, skein.ErrForbidden) {
			t.Errorf("another subject: %v", err)
		}
		m := message(1, "hi")
		m.Subject = "bob"
		if got := b.ask(ctx, m); !errors.Is(got.err, skein.ErrForbidden) {
			t.Errorf("another subject's turn: %v", got.err)
		}
		if got := b.ask(ctx, message(1, strings.Repeat("x", session.MaxText+1))); skein.CodeOf(got.err) != skein.CodeTooLarge {
			t.Errorf("long text: %v", got.err)
		}
		b.desk.SetDraining(true)
		if got := b.ask(ctx, message(1, "hi")); !errors.Is(got.err, skein.ErrDraining) {
			t.Errorf("draining: %v", got.err)
		}
	})
}

func TestSecondTurnWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b1, b2 := start(t, m, "n1"), start(t, m, "n2")
		b1.open(t)
		first := make(chan heard)
		go func() { first <- b1.ask(t.Context(), message(1, "long")) }()
		time.Sleep(100 * time.Millisecond)
		second := b2.ask(t.Context(), session.Message{Session: chat, Subject: "ann", Turn: skein.TurnID{Client: "d", Counter: 1}, Text: "hi"})
		if second.err != nil || second.reply != "quick hi.." {
			t.Errorf("second: %+v", second)
		}
		if got := <-first; got.reply != sentence {
			t.Errorf("first: %+v", got)
		}
	})
}

// lagging reads an old state; proposals go through.
type lagging struct {
	*memory
	old *session.State
}

func (l lagging) Read(context.Context, skein.SessionID, skein.Seq) (*session.State, error) {
	return l.old, nil
}

func TestFreshOpenIsNotStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b := start(t, m, "n1")
		b.open(t)
		old := m.states[chat]
		b.ask(t.Context(), message(1, "hi"))
		late := New(Config{Store: lagging{m, old}, Answerer: b.script, Self: skein.Runner{Node: "n2", Incarnation: 1}})
		for _, o := range []session.Opening{{Fresh: true}, {Fresh: true, Create: true}} {
			o.Session, o.Subject = chat, "ann"
			st, created, err := late.Open(t.Context(), o)
			if err != nil || created || len(st.Marks) != 1 || st.Marks[0].Counter != 1 {
				t.Errorf("create %v: %+v, %v, %v; want the mark of turn 1", o.Create, st, created, err)
			}
		}
	})
}
