package replication

import (
	"bufio"
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// ordinary gives what the generated code reads from the body of a request.
func ordinary(body []byte) (*request, error) {
	w := &wire.ProposeRequest{}
	if err := proto.Unmarshal(body, w); err != nil {
		return nil, err
	}
	r := &request{id: w.Id}
	for _, c := range w.Commands {
		buf, err := encodeCommand(c)
		if err != nil {
			return nil, err
		}
		r.commands = append(r.commands, buf)
	}
	for _, k := range w.Known {
		r.known = append(r.known, skein.Seq(k))
	}
	return r, nil
}

func TestRequestFrameIsProtobuf(t *testing.T) {
	w, err := commandToWire(ptr(sayCmd(1, 1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	buf, err := encodeCommand(w)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []*request{
		{id: 1},
		{id: 1 << 60, commands: [][]byte{buf}},
		{id: 7, commands: [][]byte{buf, buf, buf}, known: []skein.Seq{0, 1 << 40, 3}},
	} {
		frame, err := want.appendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := wire.ReadBody(bufio.NewReader(bytes.NewReader(frame)), wire.MaxNodeFrame)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := ordinary(body)
		if err != nil {
			t.Fatalf("request %d: %v", want.id, err)
		}
		ours := &request{}
		if err := ours.parse(body); err != nil {
			t.Fatal(err)
		}
		for _, got := range []*request{theirs, ours} {
			if !sameRequest(got, want) {
				t.Errorf("request %d: got %+v, want %+v", want.id, got, want)
			}
		}
		if id, err := idOf(body); err != nil || id != want.id {
			t.Errorf("id: got %d, %v, want %d", id, err, want.id)
		}
	}
}

func sameRequest(a, b *request) bool {
	return a.id == b.id && slices.EqualFunc(a.commands, b.commands, bytes.Equal) && slices.Equal(a.known, b.known)
}

func ptr[T any](v T) *T { return &v }

// FuzzRequest: what a peer sends is read as the generated code reads it, or refused.
func FuzzRequest(f *testing.F) {
	req := request{id: 3, commands: [][]byte{{10, 1, 'x'}, {}}, known: []skein.Seq{5, 0}}
	frame, _ := req.appendTo(nil)
	f.Add(frame[1:])
	f.Add([]byte{8, 1, 0x20, 7}) // not packed
	f.Fuzz(func(t *testing.T, body []byte) {
		got := &request{}
		if got.parse(body) != nil {
			return
		}
		w := &wire.ProposeRequest{}
		if err := proto.Unmarshal(body, w); err != nil {
			if _, bad := got.proposal(); bad == nil && len(got.commands) > 0 {
				t.Errorf("accepted what the generated code refuses: %v", err)
			}
			return
		}
		if got.id != w.Id || len(got.commands) != len(w.Commands) {
			t.Errorf("got id %d and %d commands, want %d and %d", got.id, len(got.commands), w.Id, len(w.Commands))
		}
		for i, c := range got.commands {
			theirs := &wire.Command{}
			if err := proto.Unmarshal(c, theirs); err != nil || !proto.Equal(theirs, w.Commands[i]) {
				t.Errorf("command %d: got %v, %v, want %v", i, theirs, err, w.Commands[i])
			}
		}
	})
}

func TestOutboxGathers(t *testing.T) {
	o := newOutbox()
	one := func(b byte, n int) appender {
		return func(buf []byte) ([]byte, error) { return append(buf, bytes.Repeat([]byte{b}, n)...), nil }
	}
	for _, b := range []byte("abc") {
		if room, err := o.add(one(b, 1)); !room || err != nil {
			t.Fatalf("add: got %v, %v", room, err)
		}
	}
	if _, err := o.add(func(buf []byte) ([]byte, error) { return append(buf, 'x'), errFrame }); err == nil {
		t.Error("the error of a frame is lost")
	}
	if buf, n := o.take(); string(buf) != "abc" || n != 3 {
		t.Errorf("got %q, %d frames, want abc, 3", buf, n)
	}
	if room, _ := o.add(one('d', maxWaiting)); !room {
		t.Error("a large frame is refused by an empty outbox")
	}
	if room, _ := o.add(one('e', 1)); room || !o.full() {
		t.Error("a full outbox takes more")
	}
	if buf, n := o.take(); len(buf) != maxWaiting || n != 1 {
		t.Errorf("got %d bytes, %d frames, want %d, 1", len(buf), n, maxWaiting)
	}
	select {
	case <-o.room:
	default:
		t.Error("nobody is told of the room")
	}
}
