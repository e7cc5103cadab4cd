package session

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skein-mesh/skein"
)

// TestProperties drives a session with random commands and checks after each what must hold whatever comes.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var st *State
		var log []Event
		var now Now
		replies := map[skein.TurnID]string{}
		for range rapid.IntRange(1, 120).Draw(t, "commands") {
			now.Clock += Committed(rapid.SampledFrom([]int{0, 1e8, 3e8, 16e9}).Draw(t, "tick"))
			now.Calendar += Calendar(rapid.SampledFrom([]int{0, 60e3, 4e6}).Draw(t, "calendar"))
			cmd := Command{Session: "eu~p", Body: randomBody(t, st)}
			if st != nil && rapid.IntRange(0, 9).Draw(t, "expect") > 0 {
				cmd.Expect = st.Seq
			}
			before := show(st)
			committed := open(st)
			events, res := Apply(st, cmd, now)
			if got := show(st); got != before {
				t.Fatalf("%#v changed its input:\n%s\n%s", cmd.Body, before, got)
			}
			if (res.Err != nil || res.Duplicate) && len(events) > 0 {
				t.Fatalf("%#v: refused or known, with events", cmd.Body)
			}
			for i := range events {
				if k := events[i].Kind; k == Retried || k == Dropped {
					checkOperator(t, st, &events[i])
				}
			}
			checkPhase(t, st, res.State, events, now)
			st = res.State
			log = append(log, events...)
			check(t, st, log, replies)
			if committed != nil && !st.Phase.Gone() {
				if after, ok := st.Turn(committed.ID); ok && !strings.HasPrefix(after.Reply, committed.Reply) {
					t.Fatalf("%#v: committed %q, now %q", cmd.Body, committed.Reply, after.Reply)
				}
			}
		}
		if st != nil {
			if got, want := show(Replay(nil, log)), show(st); got != want {
				t.Fatalf("the log replays to\n%s\nnot to\n%s", got, want)
			}
		}
	})
}

// show prints a state with its turns.
func show(st *State) string {
	if st == nil {
		return "none"
	}
	n := *st
	n.Turns = nil
	turns := make([]Turn, len(st.Turns))
	for i, t := range st.Turns {
		turns[i] = *t
	}
	return fmt.Sprintf("%+v %+v", n, turns)
}

// open copies the open turn.
func open(st *State) *Turn {
	if st == nil {
		return nil
	}
	t, ok := st.OpenTurn()
	if !ok {
		return nil
	}
	c := *t
	return &c
}

// lastDead gives the newest dead turn.
func lastDead(st *State) *Turn {
	if st == nil {
		return nil
	}
	for i := len(st.Turns) - 1; i >= 0; i-- {
		if st.Turns[i].Status == Dead {
			return st.Turns[i]
		}
	}
	return nil
}

// checkOperator: only a dead turn is retried or dropped, and only the last one comes back.
func checkOperator(t *rapid.T, before *State, ev *Event) {
	was, ok := before.Turn(ev.Turn)
	if !ok || !was.Letter() || was.Attempt != ev.Attempt {
		t.Fatalf("%s of %+v", ev.Kind, was)
	}
	if ev.Kind == Retried && before.Turns[len(before.Turns)-1].ID != ev.Turn {
		t.Fatalf("turn %s is not the last one and was retried", ev.Turn)
	}
}

// checkPhase: a phase is never taken back, a closed session gets no turn, one that is gone holds nothing, and only a closed
// session of an age is purged.
func checkPhase(t *rapid.T, before, after *State, events []Event, now Now) {
	if before == nil || after == nil {
		return
	}
	if after.Phase < before.Phase {
		t.Fatalf("%s after %s", after.Phase, before.Phase)
	}
	for i := range events {
		switch k := events[i].Kind; {
		case before.Phase != PhaseOpen && (k == Accepted || k == Started || k == Retried), before.Phase.Gone() && k != Erased:
			t.Fatalf("%s in a session that is %s", k, before.Phase)
		case k == Purged && now.Calendar-before.Last < Calendar(time.Hour/time.Millisecond):
			t.Fatalf("purged at %d, last used at %d", now.Calendar, before.Last)
		}
	}
	if after.Phase.Gone() {
		rest := *after
		rest.ID, rest.Subject, rest.Home, rest.Epoch, rest.Seq, rest.Phase, rest.Last = "", "", "", 0, 0, 0, 0
		if !reflect.DeepEqual(rest, State{}) || after.Phase == PhaseErased && after.Subject != "" {
			t.Fatalf("%s, and still there: %+v", after.Phase, after)
		}
	}
}

func check(t *rapid.T, st *State, log []Event, replies map[skein.TurnID]string) {
	for i := range log {
		if log[i].Seq != skein.Seq(i+1) {
			t.Fatalf("event %d has number %d", i+1, log[i].Seq)
		}
	}
	if st == nil {
		return
	}
	if int(st.Seq) != len(log) {
		t.Fatalf("seq %d after %d events", st.Seq, len(log))
	}
	if len(st.Turns) > KeptTurns {
		t.Fatalf("%d turns kept", len(st.Turns))
	}
	seen := map[skein.TurnID]bool{}
	for i := range st.Turns {
		turn := st.Turns[i]
		if turn.Status.Open() && i != len(st.Turns)-1 {
			t.Fatalf("turn %s is open behind a newer one", turn.ID)
		}
		if seen[turn.ID] {
			t.Fatalf("turn %s is there twice", turn.ID)
		}
		seen[turn.ID] = true
		if turn.Status != Completed {
			continue
		}
		if was, ok := replies[turn.ID]; ok && was != turn.Reply {
			t.Fatalf("the reply to %s changed from %q to %q", turn.ID, was, turn.Reply)
		}
		replies[turn.ID] = turn.Reply
	}
}

func randomBody(t *rapid.T, st *State) Body {
	id := skein.TurnID{Client: rapid.SampledFrom([]skein.ClientID{"a", "b", "key.c"}).Draw(t, "client"), Counter: rapid.Uint64Range(0, 12).Draw(t, "counter")}
	run := Run{Turn: id, Attempt: rapid.Map(rapid.IntRange(0, 3), func(n int) skein.Attempt { return skein.Attempt(n) }).Draw(t, "attempt")}
	reply := ""
	if turn := open(st); turn != nil && rapid.IntRange(0, 4).Draw(t, "hit") > 0 { // mostly what makes sense
		run, reply = Run{Turn: turn.ID, Attempt: turn.Attempt}, turn.Reply
	}
	text := rapid.SampledFrom([]string{"", "x", "yz"}).Draw(t, "text")
	runner := skein.Runner{Node: rapid.SampledFrom([]skein.NodeID{"eu-a", "eu-b"}).Draw(t, "runner"), Incarnation: 1}
	call := Call{ID: rapid.SampledFrom([]string{"c1", "c2"}).Draw(t, "call"), Tool: "t", Result: text}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return Open{Subject: rapid.SampledFrom([]skein.Subject{"ann", "bob"}).Draw(t, "subject"), Home: "eu"}
	case 1, 2:
		a := Accept{Turn: id, Subject: "ann", Text: text, Runner: runner}
		if rapid.Bool().Draw(t, "quick") {
			a.Reply = &Reply{Text: text, Memory: []byte(text)}
		}
		return a
	case 3:
		return Start{Turn: run.Turn, Attempt: run.Attempt + 1, Runner: runner}
	case 4, 5:
		at := len(reply) + rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(t, "offset")
		return Progress{Run: run, Offset: at, Text: text, Mode: rapid.SampledFrom([]string{"", "prefill"}).Draw(t, "mode")}
	case 6:
		return Intend{Run: run, Call: call}
	case 7:
		return Outcome{Run: run, Call: call}
	case 8:
		return Fail{Run: run, Reason: text, Final: rapid.Bool().Draw(t, "final")}
	}
	if dead := lastDead(st); dead != nil && rapid.Bool().Draw(t, "operator") {
		run = Run{Turn: dead.ID, Attempt: dead.Attempt}
		if rapid.IntRange(0, 2).Draw(t, "stale") == 0 {
			run.Attempt--
		}
	}
	switch rapid.IntRange(0, 11).Draw(t, "rare") {
	case 2:
		return Close{Subject: rapid.SampledFrom([]skein.Subject{"", "ann", "bob"}).Draw(t, "closer"), Reason: text}
	case 3:
		return Archive{}
	case 4:
		return Purge{MinAge: time.Hour, Archived: rapid.Bool().Draw(t, "archived")}
	case 5:
		if rapid.IntRange(0, 3).Draw(t, "erase") == 0 {
			return Erase{}
		}
	case 0:
		return Retry{Run: run}
	case 1:
		return Drop{Run: run}
	}
	if rapid.IntRange(0, 3).Draw(t, "renew") == 0 {
		return Renew{Run: run}
	}
	return Complete{Run: run, Reply: Reply{Text: rapid.SampledFrom([]string{reply, "", "other"}).Draw(t, "head") + text, Memory: []byte(text)}}
}

func TestLimits(t *testing.T) {
	st := &State{}
	must := func(b Body) Result {
		t.Helper()
		_, r := Apply(st, Command{Session: "eu~l", Body: b}, Now{})
		return r
	}
	st = nil
	st = must(Open{Subject: "ann"}).State
	id := skein.TurnID{Client: "a", Counter: 1}
	run := Run{Turn: id, Attempt: 1}
	big := func(n int) string { return strings.Repeat("x", n) }
	if r := must(Accept{Turn: id, Subject: "ann", Text: big(MaxText + 1)}); skein.CodeOf(r.Err) != skein.CodeTooLarge {
		t.Errorf("a long message: %v, want too_large", r.Err)
	}
	st = must(Accept{Turn: id, Subject: "ann", Text: big(MaxText)}).State
	tests := []struct {
		name string
		body Body
		want skein.Code
	}{
		{"reply", Complete{Run: run, Reply: Reply{Text: big(MaxReply + 1)}}, skein.CodeTooLarge},
		{"memory", Complete{Run: run, Reply: Reply{Memory: make([]byte, MaxMemory+1)}}, skein.CodeTooLarge},
		{"piece", Progress{Run: run, Text: big(MaxReply + 1)}, skein.CodeTooLarge},
		{"mode", Progress{Run: run, Text: "x", Mode: big(65)}, skein.CodeMalformed},
		{"arguments", Intend{Run: run, Call: Call{ID: "c", Args: big(MaxPayload + 1)}}, skein.CodeTooLarge},
		{"call without id", Intend{Run: run}, skein.CodeMalformed},
		{"no body", nil, skein.CodeMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, r := Apply(st, Command{Session: "eu~l", Body: tt.body}, Now{})
			if got := skein.CodeOf(r.Err); r.Err == nil || got != tt.want {
				t.Errorf("got %v, want %s", r.Err, tt.want)
			}
			if r.State != st {
				t.Error("a refusal comes with the state as it stood")
			}
		})
	}
	for i := range MaxCalls {
		st = must(Intend{Run: run, Call: Call{ID: fmt.Sprint(i)}}).State
	}
	if r := must(Intend{Run: run, Call: Call{ID: "one more"}}); skein.CodeOf(r.Err) != skein.CodeTooLarge {
		t.Errorf("call %d: %v, want too_large", MaxCalls+1, r.Err)
	}
	st = must(Fail{Run: run, Reason: big(MaxReason-1) + "é"}).State
	if got, want := st.Turns[0].Reason, big(MaxReason-1); got != want {
		t.Errorf("the reason was cut to %d bytes, %q at its end; want %d", len(got), got[len(got)-2:], len(want))
	}
}

func TestKindNames(t *testing.T) {
	for k := Opened; k <= Dropped; k++ {
		if got := KindOf(k.String()); got != k || k.String() == "unknown" {
			t.Errorf("%d is %s, which reads as %d", k, k, got)
		}
	}
	if a, b := KindOf(""), KindOf("unknown"); a != 0 || b != 0 {
		t.Errorf("no kinds: got %d and %d", a, b)
	}
}

func BenchmarkApply(b *testing.B) {
	_, r := Apply(nil, Command{Session: "eu~b", Body: Open{Subject: "ann"}}, Now{})
	st := r.State
	b.ReportAllocs()
	for n := uint64(1); b.Loop(); n++ {
		cmd := Command{Session: "eu~b", Expect: st.Seq, Body: Accept{
			Turn: skein.TurnID{Client: "a", Counter: n}, Subject: "ann", Text: "where is my order", Reply: &Reply{Text: "On its way."},
		}}
		_, r := Apply(st, cmd, Now{})
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		st = r.State
	}
}

func BenchmarkApplyProgress(b *testing.B) {
	_, r := Apply(nil, Command{Session: "eu~b", Body: Open{Subject: "ann"}}, Now{})
	id := skein.TurnID{Client: "a", Counter: 1}
	_, r = Apply(r.State, Command{Session: "eu~b", Body: Accept{Turn: id, Subject: "ann", Text: "a story"}}, Now{})
	st := r.State
	b.ReportAllocs()
	for b.Loop() {
		at := len(st.Turns[0].Reply)
		_, r := Apply(st, Command{Session: "eu~b", Body: Progress{Run: Run{Turn: id, Attempt: 1}, Offset: at, Text: "Once upon a time"}}, Now{})
		if r.Err != nil { // the reply is full: tell it again
			st.Turns[0].Reply = ""
			continue
		}
		st = r.State
	}
}
