package replication

import (
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

func text(t *rapid.T, name string) string { return rapid.StringN(0, 12, -1).Draw(t, name) }

func bytesOf(t *rapid.T, name string) []byte {
	if b := rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, name); len(b) > 0 {
		return b
	}
	return nil
}

func timeOf(t *rapid.T, name string) time.Time {
	return fromMillis(rapid.Int64Range(0, 1<<45).Draw(t, name))
}

func turnIDOf(t *rapid.T) skein.TurnID {
	return skein.TurnID{Client: skein.ClientID(text(t, "client")), Counter: rapid.Uint64().Draw(t, "counter")}
}

func runnerOf(t *rapid.T) skein.Runner {
	return skein.Runner{Node: skein.NodeID(text(t, "node")), Incarnation: skein.Incarnation(rapid.Uint64().Draw(t, "incarnation"))}
}

func placeOf(t *rapid.T) skein.Place {
	return skein.Place{Node: skein.NodeID(text(t, "node")), Region: skein.Region(text(t, "region")), Zone: skein.Zone(text(t, "zone"))}
}

func callOf(t *rapid.T) session.Call {
	return session.Call{ID: text(t, "id"), Tool: text(t, "tool"), Key: text(t, "key"), Args: text(t, "args"),
		Done: rapid.Bool().Draw(t, "done"), Result: text(t, "result"), Error: text(t, "error")}
}

func turnOf(t *rapid.T) *session.Turn {
	turn := &session.Turn{
		ID: turnIDOf(t), Text: text(t, "text"), Status: session.Status(rapid.IntRange(1, 4).Draw(t, "status")),
		Attempt: skein.Attempt(rapid.Uint32().Draw(t, "attempt")), Failures: rapid.Uint32().Draw(t, "failures"),
		Runner: runnerOf(t), Place: placeOf(t), Seq: skein.Seq(rapid.Uint64().Draw(t, "seq")),
		Reply: text(t, "reply"), Source: text(t, "source"), Reason: text(t, "reason"),
		LeaseUntil: session.Committed(rapid.Int64().Draw(t, "lease")), NotBefore: session.Committed(rapid.Int64().Draw(t, "not before")),
		At: timeOf(t, "at"), DoneAt: timeOf(t, "done at"),
		Dropped: rapid.Bool().Draw(t, "dropped"), Retried: skein.Attempt(rapid.Uint32().Draw(t, "retried")),
	}
	for range rapid.IntRange(0, 3).Draw(t, "calls") {
		turn.Calls = append(turn.Calls, callOf(t))
		turn.Continuations = append(turn.Continuations, session.Continuation{
			Attempt: skein.Attempt(rapid.Uint32().Draw(t, "attempt")), Offset: rapid.IntRange(0, 1<<30).Draw(t, "offset"), Mode: text(t, "mode")})
	}
	return turn
}

func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &session.State{
			ID: skein.SessionID(text(t, "id")), Subject: skein.Subject(text(t, "subject")), Assistant: text(t, "assistant"),
			Home: skein.Region(text(t, "home")), Epoch: skein.Epoch(rapid.Uint64().Draw(t, "epoch")),
			Seq: skein.Seq(rapid.Uint64().Draw(t, "seq")), Memory: bytesOf(t, "memory"), Count: rapid.Uint64().Draw(t, "count"),
			Phase: session.Phase(rapid.IntRange(0, 3).Draw(t, "phase")), Last: session.Calendar(rapid.Int64().Draw(t, "last")), Archived: rapid.Bool().Draw(t, "archived"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "turns") {
			want.Turns = append(want.Turns, turnOf(t))
			want.Marks = append(want.Marks, session.Mark{Client: skein.ClientID(text(t, "client")),
				Counter: rapid.Uint64().Draw(t, "counter"), Seq: skein.Seq(rapid.Uint64().Draw(t, "seq"))})
		}
		w := &wire.SessionState{}
		through(t, stateToWire(want), w)
		if got := stateFromWire(w); !reflect.DeepEqual(got, want) {
			t.Errorf("state:\ngot  %+v\nwant %+v", got, want)
		}
	})
}

func TestEventRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := session.Event{
			Session: skein.SessionID(text(t, "session")), Seq: skein.Seq(rapid.Uint64().Draw(t, "seq")),
			Kind: session.Kind(rapid.IntRange(1, 16).Draw(t, "kind")), At: timeOf(t, "at"), Clock: session.Committed(rapid.Int64().Draw(t, "clock")),
			Turn: turnIDOf(t), Attempt: skein.Attempt(rapid.Uint32().Draw(t, "attempt")), Runner: runnerOf(t), Place: placeOf(t),
			Text: text(t, "text"), Offset: rapid.IntRange(0, 1<<30).Draw(t, "offset"), Mode: text(t, "mode"), Memory: bytesOf(t, "memory"),
			Source: text(t, "source"), Call: callOf(t), Subject: skein.Subject(text(t, "subject")), Assistant: text(t, "assistant"),
			Home: skein.Region(text(t, "home")), Calendar: session.Calendar(rapid.Int64().Draw(t, "calendar")),
		}
		w := &wire.Event{}
		through(t, eventToWire(&want), w)
		if got := eventFromWire(w); !reflect.DeepEqual(got, want) {
			t.Errorf("event:\ngot  %+v\nwant %+v", got, want)
		}
	})
}

func TestCommandRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run := session.Run{Turn: turnIDOf(t), Attempt: skein.Attempt(rapid.Uint32().Draw(t, "attempt"))}
		reply := session.Reply{Text: text(t, "reply"), Memory: bytesOf(t, "memory"), Source: text(t, "source")}
		bodies := []session.Body{
			session.Open{Subject: skein.Subject(text(t, "subject")), Assistant: text(t, "assistant"), Home: skein.Region(text(t, "home"))},
			session.Accept{Turn: run.Turn, Subject: "s", Text: text(t, "text"), Runner: runnerOf(t), Place: placeOf(t)},
			session.Accept{Turn: run.Turn, Subject: "s", Text: text(t, "text"), Runner: runnerOf(t), Place: placeOf(t), Reply: &reply},
			session.Start{Turn: run.Turn, Attempt: run.Attempt, Runner: runnerOf(t), Place: placeOf(t)},
			session.Progress{Run: run, Offset: rapid.IntRange(0, 1<<30).Draw(t, "offset"), Text: text(t, "piece"), Mode: text(t, "mode")},
			session.Intend{Run: run, Call: callOf(t)},
			session.Outcome{Run: run, Call: callOf(t)},
			session.Complete{Run: run, Reply: reply},
			session.Fail{Run: run, Reason: text(t, "reason"), Final: rapid.Bool().Draw(t, "final")},
			session.Renew{Run: run},
			session.Retry{Run: run},
			session.Drop{Run: run},
			session.Close{Subject: skein.Subject(text(t, "closer")), Reason: text(t, "reason")},
			session.Archive{},
			session.Purge{MinAge: time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "age")) * time.Millisecond, Archived: rapid.Bool().Draw(t, "archived")},
			session.Erase{},
		}
		want := session.Command{Session: skein.SessionID(text(t, "session")), Expect: skein.Seq(rapid.Uint64().Draw(t, "expect")),
			At: timeOf(t, "at"), Body: rapid.SampledFrom(bodies).Draw(t, "body")}
		sent, err := commandToWire(&want)
		if err != nil {
			t.Fatal(err)
		}
		w := &wire.Command{}
		through(t, sent, w)
		if got := commandFromWire(w); !reflect.DeepEqual(got, want) {
			t.Errorf("command:\ngot  %+v\nwant %+v", got, want)
		}
	})
}

// through encodes and decodes, as disk and network do.
func through(t *rapid.T, from, to proto.Message) {
	buf, err := proto.Marshal(from)
	if err == nil {
		err = proto.Unmarshal(buf, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// eachText calls f for every text of a message, and gives how many there are.
func eachText(m protoreflect.Message, f func(protoreflect.Message, protoreflect.FieldDescriptor)) (n int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch d := fields.Get(i); {
		case d.Kind() == protoreflect.StringKind:
			f(m, d)
			n++
		case d.Kind() == protoreflect.MessageKind && m.Has(d):
			n += eachText(m.Get(d).Message(), f)
		}
	}
	return n
}

func TestCommandsWithoutAStoredForm(t *testing.T) {
	if _, err := commandToWire(&session.Command{Session: "eu~x"}); skein.CodeOf(err) != skein.CodeMalformed {
		t.Errorf("no body: got %v, want malformed", err)
	}
	w, err := commandToWire(&session.Command{Session: "eu~x", Body: session.Progress{Text: "\xe9\x9e"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := encodeCommand(w); skein.CodeOf(err) != skein.CodeMalformed {
		t.Errorf("half a character: got %v, want malformed", err)
	}
	accept := func() *wire.Command {
		return &wire.Command{Session: "eu~x", Body: &wire.Command_Accept{Accept: &wire.CmdAccept{Id: &wire.TurnRef{}, Runner: &wire.Runner{},
			Place: &wire.Where{}, Reply: &wire.CmdReply{}}}}
	}
	if n := eachText(accept().ProtoReflect(), func(protoreflect.Message, protoreflect.FieldDescriptor) {}); n != 10 {
		t.Errorf("texts of an accept: got %d, want 10", n)
	}
	for i := range 10 {
		c, n := accept(), 0
		eachText(c.ProtoReflect(), func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
			if n++; n == i+1 {
				m.Set(f, protoreflect.ValueOfString("\xff"))
			}
		})
		bad, err := c.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := encodeCommand(c); skein.CodeOf(err) != skein.CodeMalformed {
			t.Errorf("accept, text %d: got %v, want malformed", i, err)
		}
		if _, err := decodeCommand(bad); err == nil {
			t.Errorf("accept, text %d: read", i)
		}
	}
	if got, want := eventToWire(&session.Event{Text: "a\xe9\x9e"}).Text, "a\uFFFD"; got != want {
		t.Errorf("cut reason: got %q, want %q", got, want)
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	c, err := encodeCommand(&wire.Command{Session: "eu~x"})
	if err != nil {
		f.Fatal(err)
	}
	good := encodeEnvelope(0, 3, [][]byte{c, c})
	f.Add([]byte{})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(encodeEnvelope(0, 3, nil))
	f.Fuzz(func(t *testing.T, buf []byte) {
		e, err := decodeEnvelope(buf, 3)
		if err != nil {
			return
		}
		m := machine{group: 3, store: memoryStore(t), fatal: func(err error) { t.Error(err) }, stop: make(chan struct{})}
		if res, err := m.applyLog(&raft.Log{Index: 1, Term: 1, Data: buf}); err != nil || len(res) != len(e.Commands) {
			t.Errorf("apply: got %d results, %v, want %d", len(res), err, len(e.Commands))
		}
	})
}

func TestCorruptEnvelopeIsFatal(t *testing.T) {
	good := encodeEnvelope(0, 0, nil)
	flipped := append([]byte(nil), encodeEnvelope(0, 0, [][]byte{{}})...)
	flipped[len(flipped)-1] ^= 1
	for name, data := range map[string][]byte{"empty": nil, "cut": good[:8], "flipped": flipped, "other group": encodeEnvelope(0, 9, nil), "version": append([]byte{9}, good[1:]...)} {
		var fatal error
		m := machine{store: memoryStore(t), fatal: func(err error) { fatal = err }, stop: make(chan struct{})}
		responses := m.ApplyBatch([]*raft.Log{{Index: 1, Data: data}, {Index: 2, Data: good}})
		if fatal == nil {
			t.Errorf("%s: not fatal", name)
		}
		if at := m.store.mark(); at.index != 0 {
			t.Errorf("%s: went on to index %d", name, at.index)
		}
		if _, ok := responses[1].(error); !ok {
			t.Errorf("%s: the next entry was answered %v", name, responses[1])
		}
	}
}
