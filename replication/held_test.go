package replication

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// anyCommand draws a command that often fits the session, and often does not.
func anyCommand(t *rapid.T, st *session.State) session.Command {
	seq, attempt := skein.Seq(0), skein.Attempt(1)
	turn := skein.TurnID{Client: "c", Counter: rapid.Uint64Range(1, 6).Draw(t, "counter")}
	offset := 0
	if st != nil {
		seq = st.Seq
		if open, ok := st.OpenTurn(); ok && rapid.Bool().Draw(t, "fits") {
			turn, attempt, offset = open.ID, open.Attempt, len(open.Reply)
		}
	}
	run := session.Run{Turn: turn, Attempt: attempt}
	call := session.Call{ID: "1", Tool: "tool", Key: "k", Args: "{}"}
	reply := session.Reply{Text: rapid.SampledFrom([]string{"", "yes", "yes, and no"}).Draw(t, "reply"), Memory: bytesOf(t, "memory"), Source: "flow:x"}
	bodies := []session.Body{
		session.Open{Subject: "s", Assistant: "shop", Home: "eu"},
		session.Accept{Turn: turn, Subject: "s", Text: "hello", Runner: skein.Runner{Node: "a1", Incarnation: 1}, Place: skein.Place{Node: "a1"}},
		session.Accept{Turn: turn, Subject: "s", Text: "hello", Reply: &reply},
		session.Start{Turn: turn, Attempt: attempt + 1, Runner: skein.Runner{Node: "b1", Incarnation: 2}},
		session.Progress{Run: run, Offset: offset, Text: "yes", Mode: rapid.SampledFrom([]string{"", "prefill"}).Draw(t, "mode")},
		session.Intend{Run: run, Call: call},
		session.Outcome{Run: run, Call: session.Call{ID: "1", Tool: "tool", Done: true, Result: "{}"}},
		session.Complete{Run: run, Reply: session.Reply{Text: "yes, and no", Source: "model:m"}},
		session.Fail{Run: run, Reason: "broken", Final: rapid.Bool().Draw(t, "final")},
		session.Renew{Run: run}, session.Retry{Run: run}, session.Drop{Run: run}, session.Close{Subject: "s"},
	}
	expect := rapid.SampledFrom([]skein.Seq{0, seq, seq, seq + 1}).Draw(t, "expect")
	return session.Command{Session: "eu~x", Expect: expect, At: time.Now(), Body: rapid.SampledFrom(bodies).Draw(t, "body")}
}

// TestProposerComputesWhatTheLeaderHas: the state that a proposer makes from its own copy and the committed time is
// the one that the leader made from the log.
func TestProposerComputesWhatTheLeaderHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &Group{held: newHeld(), log: discardLog()}
		var there *session.State
		clock, calendar, small := session.Committed(0), session.Calendar(0), 0
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			clock += session.Committed(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "elapsed"))
			a, err := newAttempted([]session.Command{anyCommand(t, there)})
			if err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(t, "forgets") == 0 {
				g.held.drop("eu~x")
			}
			a.held = []*session.State{g.held.get("eu~x")}
			known := skein.Seq(0)
			if a.held[0] != nil {
				known = a.held[0].Seq
			}

			w := &wire.Command{}
			through(t, mustCommand(t, &a.commands[0]), w) // as the leader reads it
			calendar += session.Calendar(rapid.Int64Range(0, 1<<30).Draw(t, "days"))
			_, want := session.Apply(there, commandFromWire(w), session.Now{Clock: clock, Calendar: calendar})
			there = want.State
			answer := &wire.CommandResult{}
			through(t, stepToWire(&want, known), answer)
			if known > 0 && answer.State == nil {
				small++
			}

			got, err := g.step(t.Context(), a, 0, answer)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got.Err) != fmt.Sprint(want.Err) || got.Duplicate != want.Duplicate || !sameState(got.State, want.State) {
				t.Fatalf("result:\ngot  %+v %v\nwant %+v %v", got.State, got.Err, want.State, want.Err)
			}
		}
		t.Logf("%d small answers", small)
	})
}

func mustCommand(t *rapid.T, c *session.Command) *wire.Command {
	w, err := commandToWire(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sameState compares what is stored of two states.
func sameState(a, b *session.State) bool {
	return reflect.DeepEqual(stateFromWire(stateToWire(a)), stateFromWire(stateToWire(b)))
}

// TestSumSeesEveryField: a copy that differs anywhere is noticed.
func TestSumSeesEveryField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		make := func() *session.State {
			return &session.State{ID: "eu~x", Subject: "s", Assistant: "a", Home: "eu", Epoch: 1, Seq: 9, Memory: []byte("m"), Count: 2,
				Turns: []*session.Turn{{Text: strings.Repeat("x", 600), Reply: "r", Calls: []session.Call{{ID: "1"}}, Continuations: []session.Continuation{{Mode: "m"}},
					At: time.UnixMilli(5), DoneAt: time.UnixMilli(6)}},
				Marks: []session.Mark{{Client: "c", Counter: 1, Seq: 2}}}
		}
		a, b := make(), make()
		if a.Sum() != b.Sum() {
			t.Fatal("equal states have different sums")
		}
		v := reflect.ValueOf(b).Elem()
		path := "state"
		for v.Kind() == reflect.Struct || v.Kind() == reflect.Slice && v.Type() != reflect.TypeFor[[]byte]() {
			if v.Kind() == reflect.Slice {
				v = reflect.Indirect(v.Index(0))
				continue
			}
			if v.Type() == reflect.TypeFor[time.Time]() {
				break
			}
			i := rapid.IntRange(0, v.NumField()-1).Draw(t, "field")
			path += "." + v.Type().Field(i).Name
			v = v.Field(i)
		}
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Slice:
			v.SetBytes([]byte("n"))
		case reflect.Struct:
			v.Set(reflect.ValueOf(v.Interface().(time.Time).Add(time.Millisecond)))
		default:
			v.SetUint(v.Uint() + 1)
		}
		if a.Sum() == b.Sum() {
			t.Errorf("%s: the sum does not change with it", path)
		}
	})
}

// TestHeldStateThatIsWrong: a node whose copy differs reads the leader's, and answers from that.
func TestHeldStateThatIsWrong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "d1")
		c.propose(c.leader(), openCmd(1))
		out := c.nodes["d1"]
		if r := c.propose(out, sayCmd(1, 1, 1))[0]; r.State.Seq != 3 {
			t.Fatalf("first turn: got %+v", r.State)
		}
		st := *out.held.get(sid(1))
		wrong := *st.Turns[0]
		wrong.Reply = "what nobody said"
		st.Turns = []*session.Turn{&wrong}
		out.held.drop(sid(1))
		out.held.put(&st)
		r := c.propose(out, sayCmd(1, 2, 3))[0]
		if r.State.Seq != 5 || len(r.State.Turns) != 2 || r.State.Turns[0].Reply == st.Turns[0].Reply {
			t.Errorf("got %+v, want the leader's state", r.State)
		}
		if got := out.held.get(sid(1)); got.Sum() != r.State.Sum() {
			t.Error("the wrong copy is still held")
		}
	})
}

func TestHeldIsBounded(t *testing.T) {
	h := newHeld()
	large := strings.Repeat("x", 1<<20)
	for i := range 100 {
		h.put(&session.State{ID: sid(i), Seq: 1, Turns: []*session.Turn{{Reply: large}}})
	}
	if n := h.states.lru.Len(); h.states.bytes > heldBytes || n > 32 || n < 16 {
		t.Errorf("large states: got %d in %d bytes, want about 31", n, h.states.bytes)
	}
	h.put(&session.State{ID: sid(99), Seq: 2})
	h.put(&session.State{ID: sid(99), Seq: 1})
	if got := h.get(sid(99)); got.Seq != 2 {
		t.Errorf("an older state replaced a newer one: got %d", got.Seq)
	}
	for i := range 100 {
		h.drop(sid(i))
	}
	if h.states.bytes != 0 {
		t.Errorf("bytes of nothing: got %d", h.states.bytes)
	}
}
