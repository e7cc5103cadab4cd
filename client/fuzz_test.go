package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// script is a carrier whose nodes all say the same bytes and then nothing.
type script struct{ says []byte }

func (s *script) open(context.Context, netip.AddrPort) (channel, error) {
	return &saying{r: bytes.NewReader(s.says), stopped: make(chan struct{})}, nil
}
func (s *script) keep(channel) {}

type saying struct {
	r       *bytes.Reader
	stopped chan struct{} // closed by stop, which is called at most once
}

func (c *saying) Read(p []byte) (int, error) {
	if c.r.Len() > 0 {
		return c.r.Read(p)
	}
	<-c.stopped
	return 0, io.EOF
}
func (c *saying) Write(p []byte) (int, error) { return len(p), nil }
func (c *saying) Close() error                { return nil }
func (c *saying) stop()                       { close(c.stopped) }
func (c *saying) rtt() time.Duration          { return 0 }

func frames(t testing.TB, fs ...*wire.ServerFrame) []byte {
	t.Helper()
	var buf []byte
	for _, f := range fs {
		var err error
		if buf, err = wire.AppendFrame(buf, f); err != nil {
			t.Fatal(err)
		}
	}
	return buf
}

// FuzzServer feeds a session whatever a node may say. What it hands out is checked as a user would: pieces follow
// each other, and a reply that comes begins with them.
func FuzzServer(f *testing.F) {
	id := wire.Ref(skein.TurnID{Client: "fuzz", Counter: 1})
	opened := &wire.ServerFrame{Body: &wire.ServerFrame_Opened{Opened: &wire.Opened{Session: "eu~s", Seq: 1, Gateway: "eu-a"}}}
	done := func(reply string) *wire.ServerFrame {
		return &wire.ServerFrame{Body: &wire.ServerFrame_Completed{Completed: &wire.Completed{Id: id, Reply: reply, Attempt: 1}}}
	}
	list := &wire.ServerFrame{Body: &wire.ServerFrame_Peers{Peers: &wire.Peers{Peers: []*wire.Peer{
		{Node: "eu-b", Zone: "b", Addresses: []string{"10.0.0.2:1", "not an address", "0.0.0.0:1"}},
	}}}}
	away := &wire.ServerFrame{Body: &wire.ServerFrame_GoAway{GoAway: &wire.GoAway{}}}
	f.Add(frames(f, opened, list, piece(id, 0, "he"), piece(id, 1, "el"), done("hello")))
	f.Add(frames(f, opened, away, piece(id, 0, "he"), done("other")))
	f.Add(frames(f, opened, piece(id, 9, "hole"), errorFrame(id, skein.CodeDraining, time.Hour)))
	f.Add(frames(f, done("too early")))
	f.Add(frames(f, opened, errorFrame(nil, skein.CodeForbidden, 0)))
	f.Add(frames(f, opened, &wire.ServerFrame{}, piece(nil, -1, "")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 1})
	f.Fuzz(func(t *testing.T, says []byte) {
		if len(says) > 4096 {
			t.Skip()
		}
		synctest.Test(t, func(t *testing.T) {
			node := Node{QUIC: netip.MustParseAddrPort("10.0.0.1:1")}
			c, err := newClient(Config{Service: service, Instance: "fuzz", Nodes: []Node{node}, Patience: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.carrier = &script{says}
			s, err := c.Open(t.Context(), "s", Options{})
			if err != nil {
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			turn, err := s.SendID(ctx, skein.TurnID{Client: "fuzz", Counter: 1}, "hi")
			if err != nil {
				return
			}
			var got []byte
			for {
				p, err := turn.Next(t.Context())
				if err != nil {
					if !errors.Is(err, io.EOF) {
						return
					}
					break
				}
				if p.Offset != len(got) || p.Text == "" {
					t.Fatalf("piece %+v after %d bytes", p, len(got))
				}
				got = append(got, p.Text...)
			}
			if r, err := turn.Reply(t.Context()); err != nil || r.Text != string(got) {
				t.Fatalf("reply %q, %v, pieces %q", r.Text, err, got)
			}
		})
	})
}

func FuzzTake(f *testing.F) {
	f.Add("hello", []byte{0, 2, 1, 3, 4, 1})
	f.Add("hello", []byte{3, 2})
	f.Fuzz(func(t *testing.T, reply string, cuts []byte) {
		turn := newTurn(t.Context(), skein.TurnID{Client: "f", Counter: 1}, "")
		var got string
		for i := 0; i+1 < len(cuts); i += 2 {
			from := min(int(cuts[i]), len(reply))
			to := min(from+int(cuts[i+1]), len(reply))
			if _, err := turn.take(Piece{Offset: from, Text: reply[from:to]}); err != nil && from <= turn.offset() {
				t.Fatalf("true piece %d to %d refused: %v", from, to, err)
			}
		}
		if err := turn.complete(Reply{Text: reply}); err != nil {
			t.Fatal(err)
		}
		for _, p := range turn.pieces {
			got += p.Text
		}
		if got != reply {
			t.Fatalf("pieces %q, want %q", got, reply)
		}
	})
}
