package wire

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
)

// coded is a message with both codecs.
type coded interface {
	proto.Message
	generated
	UnmarshalVT([]byte) error
}

// FuzzCodecs: a message that both codecs read is the same message, and both write it as the same bytes. Replicas compare
// hashes over such bytes.
func FuzzCodecs(f *testing.F) {
	kinds := []func() coded{
		func() coded { return &Event{} }, func() coded { return &Envelope{} }, func() coded { return &SessionState{} },
		func() coded { return &SessionHeader{} }, func() coded { return &ProposeResponse{} }, func() coded { return &ReadResponse{} },
		func() coded { return &ServerFrame{} }, func() coded { return &ClientFrame{} },
	}
	id := Ref(skein.TurnID{Client: "c", Counter: 1 << 40})
	accept := &CmdAccept{Id: id, Subject: "s", Text: "现", Runner: &Runner{Node: "n", Incarnation: 1}, Place: &Where{}, Reply: &CmdReply{Text: "r", Memory: []byte{0, 255}}}
	for kind, m := range []proto.Message{
		&Event{Session: "eu~x", Seq: 1 << 60, AtMs: -1, Call: &Call{Id: "1", Done: true}},
		&Envelope{Group: 7, Commands: []*Command{{Session: "eu~x", Body: &Command_Accept{accept}}, {Body: &Command_Tick{&CmdTick{ElapsedNs: 5}}}, {}}},
		&SessionState{Turns: []*StoredTurn{{Calls: []*Call{{}}, Continuations: []*Continuation{{Mode: "m"}}}}, Marks: []*Mark{{Client: "c"}}},
		&SessionHeader{},
		&ProposeResponse{Id: 1, Results: []*CommandResult{{Sum: 1 << 31, Clock: -5}}, Error: &Error{Code: 3, Id: id}},
		&ReadResponse{State: &SessionState{Id: "x"}, Events: []*Event{{}, {Seq: 1}}},
		&ServerFrame{Body: &ServerFrame_Peers{&Peers{Peers: []*Peer{{Addresses: []string{"", "a"}}}}}},
		&ClientFrame{Body: &ClientFrame_Turn{&Turn{Id: id, Text: "t"}}},
	} {
		buf, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(kind), buf)
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		ours, theirs := kinds[int(kind)%len(kinds)](), kinds[int(kind)%len(kinds)]()
		if ours.UnmarshalVT(data) != nil || proto.Unmarshal(data, theirs) != nil {
			return
		}
		plain := kinds[int(kind)%len(kinds)]()
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, plain) != nil || !proto.Equal(plain, theirs) {
			return // fields that nobody knows are kept in one form or another
		}
		if !proto.Equal(ours, theirs) {
			t.Fatalf("read:\ngot  %v\nwant %v", ours, theirs)
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(theirs)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, ours.SizeVT())
		if _, err := ours.MarshalToSizedBufferVT(got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("written: %v\ngot  %x\nwant %x", err, got, want)
		}
	})
}
