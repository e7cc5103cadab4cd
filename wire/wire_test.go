package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
)

func TestFrameRoundTrip(t *testing.T) {
	id := Ref(skein.TurnID{Client: "c", Counter: 7})
	want := []*ServerFrame{
		{Body: &ServerFrame_Opened{Opened: &Opened{Session: "eu~s", Seq: 3, HighWater: 9, OpenTurn: id}}},
		{},
		{Body: &ServerFrame_Piece{Piece: &Piece{Id: id, Offset: 5, Text: strings.Repeat("那款鞋", 9000)}}},
		{Body: &ServerFrame_Error{Error: FromError(skein.ErrDraining)}},
	}
	var buf []byte
	for _, f := range want {
		var err error
		if buf, err = AppendFrame(buf, f); err != nil {
			t.Fatal(err)
		}
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(buf), "byte by byte": &slow{buf}} {
		in := bufio.NewReader(r)
		for i, w := range want {
			got := &ServerFrame{}
			if err := ReadFrame(in, got, MaxServerFrame); err != nil {
				t.Fatalf("%s: frame %d: %v", name, i, err)
			}
			if !proto.Equal(got, w) {
				t.Errorf("%s: frame %d: got %v, want %v", name, i, got, w)
			}
		}
		if err := ReadFrame(in, &ServerFrame{}, MaxServerFrame); err != io.EOF {
			t.Errorf("%s: at the end: %v, want io.EOF", name, err)
		}
	}
}

func TestWhole(t *testing.T) {
	buf, err := AppendFrame(nil, &ServerFrame{Body: &ServerFrame_Piece{Piece: &Piece{Text: strings.Repeat("x", 300)}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		n    int // bytes at hand
		want bool
	}{{0, false}, {1, false}, {2, false}, {len(buf) - 1, false}, {len(buf), true}, {len(buf) + 1, true}} {
		r := bufio.NewReader(bytes.NewReader(append(bytes.Clone(buf), 0)[:tt.n]))
		r.Peek(1) //nolint:errcheck // fills the buffer
		if got := Whole(r); got != tt.want {
			t.Errorf("%d of %d bytes: got %v, want %v", tt.n, len(buf), got, tt.want)
		}
	}
}

// slow gives one byte a read.
type slow struct{ b []byte }

func (s *slow) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	p[0], s.b = s.b[0], s.b[1:]
	return 1, nil
}

func TestReadFrameRefuses(t *testing.T) {
	tests := []struct {
		name  string
		bytes []byte
		code  skein.Code // 0: not an Error
		is    error
	}{
		{"cut in the length", []byte{0x80}, 0, io.ErrUnexpectedEOF},
		{"cut in the body", []byte{5, 1}, 0, io.ErrUnexpectedEOF},
		{"cut before the body", []byte{5}, 0, io.ErrUnexpectedEOF},
		{"a length that promises much", []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, skein.CodeTooLarge, nil},
		{"a length of more than 64 bits", bytes.Repeat([]byte{0xff}, 12), 0, nil},
		{"one byte over the limit", []byte{0x81, 0x80, 0x02}, skein.CodeTooLarge, nil},
		{"not protobuf", []byte{2, 0xff, 0xff}, skein.CodeMalformed, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := ReadFrame(bufio.NewReader(bytes.NewReader(tt.bytes)), &ClientFrame{}, MaxClientFrame)
			if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("got %v, want an error that is not the clean end", err)
			}
			if e, ok := errors.AsType[*skein.Error](err); ok != (tt.code != 0) || ok && e.Code != tt.code {
				t.Errorf("got %v, want code %d", err, tt.code)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %v", err, tt.is)
			}
		})
	}
}

func TestWriteFrame(t *testing.T) {
	var w writes
	if err := WriteFrame(&w, &ClientFrame{Body: &ClientFrame_Open{Open: &Open{Session: "eu~s"}}}); err != nil || w != 1 {
		t.Errorf("%d writes, %v; want one", w, err)
	}
	if err := WriteFrame(&w, &ClientFrame{Body: &ClientFrame_Open{Open: &Open{Session: "\xff"}}}); err == nil || w != 1 {
		t.Errorf("text that is not UTF-8: %d writes, %v; want an error and none", w, err)
	}
}

type writes int

func (w *writes) Write(p []byte) (int, error) { *w++; return len(p), nil }

func TestFault(t *testing.T) {
	tests := []struct {
		in   error
		want error
	}{
		{&skein.Error{Code: skein.CodeRateLimited, Detail: "slow down", RetryAfter: 1500 * time.Millisecond}, &skein.Error{Code: skein.CodeRateLimited, Detail: "slow down", RetryAfter: 1500 * time.Millisecond}},
		{fmt.Errorf("at home: %w", skein.ErrNoQuorum), &skein.Error{Code: skein.CodeNoQuorum}},
		{errors.New("a path that nobody outside may see"), &skein.Error{Code: skein.CodeInternal}},
		{&skein.Error{Code: skein.CodeDraining, RetryAfter: -time.Second}, &skein.Error{Code: skein.CodeDraining}},
		{&skein.Error{Code: skein.CodeDraining, RetryAfter: 1000 * time.Hour}, &skein.Error{Code: skein.CodeDraining, RetryAfter: 24 * time.Hour}},
	}
	for _, tt := range tests {
		got, ok := FromError(tt.in).Fault().(*skein.Error)
		if want := tt.want.(*skein.Error); !ok || *got != *want {
			t.Errorf("%v became %+v, want %+v", tt.in, got, want)
		}
	}
	if FromError(nil) != nil || (*Error)(nil).Fault() != nil {
		t.Error("no error becomes one")
	}
	if got := skein.CodeOf((&Error{Code: 1<<16 + uint32(skein.CodeForbidden)}).Fault()); got != skein.CodeInternal {
		t.Errorf("a code out of range became %s, want internal", got)
	}
	id := skein.TurnID{Client: "c", Counter: 3}
	if got := Ref(id).TurnID(); got != id {
		t.Errorf("turn id %s, want %s", got, id)
	}
	if got := (*TurnRef)(nil).TurnID(); got != (skein.TurnID{}) {
		t.Errorf("no turn id became %s", got)
	}
	p := skein.Place{Node: "eu-a", Region: "eu", Zone: "a"}
	if got := FromPlace(p).Place(); got != p {
		t.Errorf("place %+v, want %+v", got, p)
	}
}

func FuzzReadFrame(f *testing.F) {
	good, err := AppendFrame(nil, &ClientFrame{Body: &ClientFrame_Turn{Turn: &Turn{Id: &TurnRef{Client: "c", Counter: 1}, Text: "hi"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append(good, good...))
	f.Add([]byte{0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			got := &ClientFrame{}
			if err := ReadFrame(r, got, MaxClientFrame); err != nil {
				return
			}
			again, err := AppendFrame(nil, got)
			if err != nil {
				t.Fatalf("a frame that was read cannot be written: %v", err)
			}
			back := &ClientFrame{}
			if err := ReadFrame(bufio.NewReader(bytes.NewReader(again)), back, 2*MaxClientFrame); err != nil || !proto.Equal(got, back) {
				t.Fatalf("got %v back, %v; want %v", back, err, got)
			}
		}
	})
}
