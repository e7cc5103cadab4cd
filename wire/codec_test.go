package wire

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

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

// fill sets every field of m, once for each choice of a oneof.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() == protoreflect.MessageKind && depth == 0 {
			continue
		}
		switch {
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			fill(m.Mutable(f).List().AppendMutable().Message(), depth-1)
		case f.IsList():
			m.Mutable(f).List().Append(scalar(f))
		case f.Kind() == protoreflect.MessageKind:
			fill(m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, scalar(f))
		}
	}
}

func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string(f.Name()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(f.Name()))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(f.Number()))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(f.Number()))
	default:
		return protoreflect.ValueOfUint32(uint32(f.Number()))
	}
}

// TestCodecsKnowEveryField: a message that was changed and generated with one codec only would lose what is new.
func TestCodecsKnowEveryField(t *testing.T) {
	for _, file := range []protoreflect.FileDescriptor{File_client_proto, File_store_proto} {
		for i := range file.Messages().Len() {
			kind, err := protoregistry.GlobalTypes.FindMessageByName(file.Messages().Get(i).FullName())
			if err != nil {
				t.Fatal(err)
			}
			checkFields(t, kind)
			for j := range kind.Descriptor().Oneofs().Len() {
				for k := range kind.Descriptor().Oneofs().Get(j).Fields().Len() {
					checkFields(t, kind, kind.Descriptor().Oneofs().Get(j).Fields().Get(k))
				}
			}
		}
	}
}

// checkFields holds the codecs against each other for a message with all fields, and of its oneof the given one.
func checkFields(t *testing.T, kind protoreflect.MessageType, chosen ...protoreflect.FieldDescriptor) {
	t.Helper()
	m := kind.New()
	fill(m, 3)
	for _, f := range chosen {
		if f.Kind() == protoreflect.MessageKind {
			fill(m.Mutable(f).Message(), 3)
		} else {
			m.Set(f, scalar(f))
		}
	}
	want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
	if err != nil {
		t.Fatal(err)
	}
	ours, ok := kind.New().Interface().(coded)
	if !ok {
		t.Errorf("%s has no codec of its own: run make generate", kind.Descriptor().Name())
		return
	}
	if err := ours.UnmarshalVT(want); err != nil || !proto.Equal(ours, m.Interface()) {
		t.Errorf("%s is read as %v, %v, want %v: run make generate", kind.Descriptor().Name(), ours, err, m.Interface())
	}
	got := make([]byte, ours.SizeVT())
	if _, err := ours.MarshalToSizedBufferVT(got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is written as %x, %v, want %x: run make generate", kind.Descriptor().Name(), got, err, want)
	}
}
