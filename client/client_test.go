package client

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

const roundTrip = 20 * time.Millisecond

// bed is a client with one session on a mesh of three zones in virtual time.
type bed struct {
	*testing.T
	mesh  *fakeMesh
	c     *Client
	s     *Session
	moves chan Move
}

func onMesh(t *testing.T, zones string, f func(b *bed)) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{latency: roundTrip / 2, nodes: map[string]simnet.PacketReceiver{}, cut: map[string]bool{}}
		b := &bed{T: t, moves: make(chan Move, 100)}
		b.mesh = newMesh(t, n, strings.Split(zones, "")...)
		b.c = b.dial(b.mesh.config(b.moves))
		s, err := b.c.Open(t.Context(), "s1", Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.s = s
		f(b)
		if err := b.c.Close(); err != nil {
			b.Error(err)
		}
	})
}

func (b *bed) dial(cfg Config) *Client {
	b.Helper()
	c, err := Dial(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func (b *bed) send(text string) *Turn {
	b.Helper()
	t, err := b.s.Send(b.Context(), text)
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// read collects all pieces and checks that they follow each other.
func (b *bed) read(t *Turn, want string) Reply {
	b.Helper()
	var got strings.Builder
	for {
		p, err := t.Next(b.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatalf("after %d bytes: %v", got.Len(), err)
		}
		if p.Offset != got.Len() || p.Text == "" {
			b.Fatalf("piece of %d bytes at %d, want it at %d", len(p.Text), p.Offset, got.Len())
		}
		got.WriteString(p.Text)
	}
	r, err := t.Reply(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if got.String() != want || r.Text != want {
		b.Fatalf("pieces %q, reply %q, want %q", got.String(), r.Text, want)
	}
	return r
}

// until reads pieces until n bytes are there.
func (b *bed) until(t *Turn, n int) (got string) {
	b.Helper()
	for len(got) < n {
		p, err := t.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		got += p.Text
	}
	return got
}

// move waits for the session to move.
func (b *bed) move() Move {
	b.Helper()
	select {
	case mv := <-b.moves:
		return mv
	case <-time.After(time.Minute):
		b.Fatal("the session did not move")
		return Move{}
	}
}

func (b *bed) here() *fakeNode { return b.mesh.node(b.s.Node().ID) }

func TestTurn(t *testing.T) {
	onMesh(t, "abc", func(b *bed) {
		if got := b.s.ID(); got != "eu~s1" {
			b.Errorf("id %q, want eu~s1", got)
		}
		r := b.read(b.send("hello"), "echo hello")
		n := b.s.Node()
		if r.Node != n.ID || r.Zone != n.Zone || r.Via != n.ID || r.Attempts != 1 || r.Source != "echo" || n.Zone == "" {
			b.Errorf("reply %+v at node %+v", r, n)
		}
		b.read(b.send("slow 100"), story(100))
		if want := 1000 * time.Millisecond; r.Latency > want {
			b.Errorf("latency %s, want at most %s", r.Latency, want)
		}
		if len(b.moves) != 0 {
			b.Errorf("%d moves without a reason", len(b.moves))
		}
		if got, want := b.mesh.turns, 2; len(got) != want {
			b.Errorf("turns sent: %q, want %d", got, want)
		}
	})
}

func TestMove(t *testing.T) {
	tests := []struct {
		name string
		hurt func(b *bed, n *fakeNode)
	}{
		{"killed", func(_ *bed, n *fakeNode) { n.kill() }},
		{"cut off", func(b *bed, n *fakeNode) { b.mesh.net.setCut(n.QUIC, true) }},
		{"hung", func(_ *bed, n *fakeNode) { n.set(func() { n.mute = true }) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onMesh(t, "aabc", func(b *bed) {
				b.read(b.send("hello"), "echo hello") // a ticket and the zones are known now
				old := b.here()
				turn := b.send("slow 200")
				head := b.until(turn, 50)
				tt.hurt(b, old)
				tail, err := turn.Reply(b.Context())
				if err != nil || tail.Text != story(200) || !strings.HasPrefix(tail.Text, head) {
					b.Fatalf("reply %q, %v", tail.Text, err)
				}
				mv := b.move()
				if mv.From.ID != old.ID || mv.To.ID == old.ID || mv.To.Zone == old.Zone {
					b.Errorf("moved %+v, want away from %s and its zone", mv, old.ID)
				}
				if mv.Took > 300*time.Millisecond {
					b.Errorf("without contact for %s, want at most 300 ms", mv.Took)
				}
				if len(b.moves) != 0 {
					b.Errorf("another move: %+v", b.move())
				}
				b.read(b.send("again"), "echo again")
				if len(b.moves) != 0 {
					b.Errorf("it went back: %+v", b.move())
				}
			})
		})
	}
}

func TestMoveInEarlyData(t *testing.T) {
	onMesh(t, "ab", func(b *bed) {
		b.read(b.send("hello"), "echo hello")
		old := b.here()
		turn := b.send("slow 100")
		b.until(turn, 20)
		old.kill()
		if _, err := turn.Reply(b.Context()); err != nil {
			b.Fatal(err)
		}
		// stall 150 ms + one round trip, in which the turn itself travelled; a full handshake would add one more
		if mv, limit := b.move(), minStall+50*time.Millisecond+roundTrip+roundTrip/2; mv.Took > limit {
			b.Errorf("without contact for %s, want at most %s: no early data", mv.Took, limit)
		}
	})
}

func TestMoveToNodeWithOtherTicketKeys(t *testing.T) {
	onMesh(t, "a", func(b *bed) {
		b.read(b.send("hello"), "echo hello")
		old := b.here()
		b.mesh.keys[0]++ // as if the epoch's keys had not reached the new node
		b.mesh.start("eu-b9", "b", 8)
		b.c.book.add([]Node{{QUIC: b.mesh.nodes[1].QUIC}})
		turn := b.send("slow 100")
		b.until(turn, 20)
		old.kill()
		if r, err := turn.Reply(b.Context()); err != nil || r.Text != story(100) {
			b.Fatalf("reply %q, %v", r.Text, err)
		}
		if mv := b.move(); mv.To.ID != "eu-b9" {
			b.Errorf("moved to %s, want eu-b9", mv.To.ID)
		}
	})
}

func TestSecondNodeDeadToo(t *testing.T) {
	onMesh(t, "abcd", func(b *bed) {
		b.read(b.send("hello"), "echo hello")
		alive := b.mesh.nodes[3]
		if b.here() == alive {
			alive = b.mesh.nodes[2]
		}
		turn := b.send("slow 100")
		b.until(turn, 20)
		for _, n := range b.mesh.nodes {
			if n != alive {
				n.kill()
			}
		}
		start := time.Now()
		if r, err := turn.Reply(b.Context()); err != nil || r.Text != story(100) {
			b.Fatalf("reply %q, %v", r.Text, err)
		}
		if mv := b.move(); mv.To.ID != alive.ID {
			b.Errorf("moved to %s, want %s", mv.To.ID, alive.ID)
		}
		if took := time.Since(start); took > 6*time.Second {
			b.Errorf("took %s", took)
		}
	})
}

func TestShortSilenceKeepsTheNode(t *testing.T) {
	onMesh(t, "ab", func(b *bed) {
		b.read(b.send("hello"), "echo hello")
		n := b.here()
		turn := b.send("slow 100")
		b.until(turn, 20)
		b.mesh.net.setCut(n.QUIC, true)
		time.Sleep(100 * time.Millisecond)
		b.mesh.net.setCut(n.QUIC, false)
		if r, err := turn.Reply(b.Context()); err != nil || r.Text != story(100) {
			b.Fatalf("reply %q, %v", r.Text, err)
		}
	})
}

func TestPieces(t *testing.T) {
	tests := []struct {
		name string
		set  func(n *fakeNode)
		want error
	}{
		{"twice and overlapping", func(n *fakeNode) { n.twice = true }, nil},
		{"a hole", func(n *fakeNode) { n.hole = true }, nil},
		{"the stream breaks after accepting", func(n *fakeNode) { n.early = true }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onMesh(t, "abc", func(b *bed) {
				for _, n := range b.mesh.nodes {
					n.set(func() { tt.set(n) })
				}
				b.read(b.send("slow 60"), story(60))
			})
		})
	}
}

func TestRetracted(t *testing.T) {
	onMesh(t, "ab", func(b *bed) {
		b.read(b.send("hello"), "echo hello")
		old := b.here()
		turn := b.send("slow 100")
		b.until(turn, 20)
		for _, n := range b.mesh.nodes {
			n.set(func() { n.forge = true })
		}
		old.kill()
		if r, err := turn.Reply(b.Context()); !errors.Is(err, ErrRetracted) {
			b.Fatalf("reply %q, %v, want ErrRetracted", r.Text, err)
		}
		for _, n := range b.mesh.nodes {
			n.set(func() { n.forge = false })
		}
		b.read(b.send("go on"), "echo go on")
	})
}

func TestRefused(t *testing.T) {
	fault := func(c skein.Code, after time.Duration) *wire.Error {
		return &wire.Error{Code: uint32(c), RetryAfterMs: uint64(after.Milliseconds())}
	}
	stream := func(c skein.Code) *wire.Error { return &wire.Error{Code: uint32(c), Detail: "stream"} }
	tests := []struct {
		name    string
		refuse  *wire.Error // by the node that the session is at
		want    skein.Code  // 0: answered
		moves   int
		atLeast time.Duration
	}{
		{"draining", fault(skein.CodeDraining, 0), 0, 1, 0},
		{"no quorum here", fault(skein.CodeNoQuorum, 0), 0, 1, 0},
		{"overloaded, stream ends", stream(skein.CodeOverloaded), 0, 1, 0},
		{"another turn is open", fault(skein.CodeTurnOpen, 0), 0, 0, 0},
		{"rate", fault(skein.CodeRateLimited, 700*time.Millisecond), 0, 0, 700 * time.Millisecond},
		{"full for a moment", fault(skein.CodeOverloaded, 700*time.Millisecond), 0, 0, 700 * time.Millisecond},
		{"full for long", fault(skein.CodeOverloaded, 10*time.Second), 0, 1, 0},
		{"full, who knows how long", fault(skein.CodeOverloaded, 0), 0, 1, 0},
		{"conflict", fault(skein.CodeTurnConflict, 0), skein.CodeTurnConflict, 0, 0},
		{"dead", fault(skein.CodeTurnDead, 0), skein.CodeTurnDead, 0, 0},
		{"token expired, stream ends", stream(skein.CodeTokenExpired), skein.CodeTokenExpired, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onMesh(t, "abc", func(b *bed) {
				b.read(b.send("hello"), "echo hello")
				n := b.here()
				n.set(func() { n.refuse = []*wire.Error{tt.refuse} })
				start := time.Now()
				r, err := b.send("hi").Reply(b.Context())
				if tt.want == 0 && (err != nil || r.Text != "echo hi") {
					b.Fatalf("reply %q, %v", r.Text, err)
				}
				if tt.want != 0 && skein.CodeOf(err) != tt.want {
					b.Fatalf("error %v, want %s", err, tt.want)
				}
				if took := time.Since(start); took < tt.atLeast || took > tt.atLeast+500*time.Millisecond {
					b.Errorf("took %s, want %s or little more", took, tt.atLeast)
				}
				if got := len(b.moves); got != tt.moves {
					b.Errorf("%d moves, want %d", got, tt.moves)
				}
				b.read(b.send("next"), "echo next")
			})
		})
	}
}

// TestFailFast: a turn that finds no room ends with what the node said, and the session goes on.
func TestFailFast(t *testing.T) {
	onMesh(t, "abc", func(b *bed) {
		b.read(b.send("hello"), "echo hello")
		b.s.opt.FailFast = true // read by the loop when a node is full, which none was
		b.here().set(func() { b.here().refuse = []*wire.Error{{Code: uint32(skein.CodeOverloaded), RetryAfterMs: 700}} })
		_, err := b.send("hi").Reply(b.Context())
		if e, ok := errors.AsType[*skein.Error](err); !ok || e.Code != skein.CodeOverloaded || e.RetryAfter != 700*time.Millisecond {
			b.Fatalf("got %v, want overloaded, to come back after 700 ms", err)
		}
		b.read(b.send("hi"), "echo hi")
		if n := len(b.moves); n != 0 {
			b.Errorf("%d moves, want none", n)
		}
	})
}

func TestRefusedUntilDeadline(t *testing.T) {
	onMesh(t, "ab", func(b *bed) {
		for _, n := range b.mesh.nodes {
			n.set(func() {
				for range 1000 {
					n.refuse = append(n.refuse, &wire.Error{Code: uint32(skein.CodeNoQuorum)})
				}
			})
		}
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		defer cancel()
		turn, err := b.s.Send(ctx, "hi")
		if err != nil {
			b.Fatal(err)
		}
		_, err = turn.Reply(b.Context())
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, skein.ErrNoQuorum) {
			b.Errorf("error %v, want the deadline and no_quorum", err)
		}
		left := 0
		for _, n := range b.mesh.nodes {
			n.set(func() { left += len(n.refuse); n.refuse = nil })
		}
		if tries := 2000 - left; tries < 4 || tries > 60 {
			b.Errorf("%d tries in 5 s, want some, with pauses", tries)
		}
		b.read(b.send("next"), "echo next")
	})
}

// With one node left, which has no quorum, and the others dead, it is told that there is no quorum.
func TestReasonOfTheNodeThatIsLeft(t *testing.T) {
	for seed := range 4 {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			onMesh(t, "abc", func(b *bed) {
				b.read(b.send("hello"), "echo hello")
				left := b.here()
				for _, n := range b.mesh.nodes {
					b.mesh.net.setCut(n.QUIC, n != left)
				}
				left.set(func() {
					for range 1000 {
						left.refuse = append(left.refuse, &wire.Error{Code: uint32(skein.CodeNoQuorum)})
					}
				})
				time.Sleep(time.Duration(seed) * 700 * time.Millisecond)
				if _, err := b.send("hi").Reply(b.Context()); !errors.Is(err, skein.ErrNoQuorum) {
					b.Errorf("error %v, want no_quorum", err)
				}
			})
		})
	}
}

// A home region that every node calls unreachable is not waited for as long as a node is.
func TestHomeAway(t *testing.T) {
	onMesh(t, "ab", func(b *bed) {
		for _, n := range b.mesh.nodes {
			n.set(func() {
				for range 1000 {
					n.refuse = append(n.refuse, &wire.Error{Code: uint32(skein.CodeHomeUnreachable), RetryAfterMs: 1000})
				}
			})
		}
		start := time.Now()
		_, err := b.send("hi").Reply(b.Context())
		if took := time.Since(start); !errors.Is(err, skein.ErrHomeUnreachable) || took < awayFor || took > awayFor+2*time.Second {
			b.Errorf("error %v after %s, want home_unreachable after %s", err, took, awayFor)
		}
		for _, n := range b.mesh.nodes {
			n.set(func() { n.refuse = n.refuse[:2] })
		}
		b.read(b.send("back"), "echo back")
	})
}

func TestGoAway(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		onMesh(t, "abc", func(b *bed) {
			b.read(b.send("hello"), "echo hello")
			old := b.here()
			old.goAway()
			mv := b.move()
			if mv.From.ID != old.ID || mv.To.ID == old.ID || mv.Took != 0 {
				b.Errorf("moved %+v, want away from %s without a gap", mv, old.ID)
			}
			b.read(b.send("next"), "echo next")
		})
	})
	t.Run("while a turn runs", func(t *testing.T) {
		onMesh(t, "abc", func(b *bed) {
			b.read(b.send("hello"), "echo hello")
			old := b.here()
			turn := b.send("slow 100")
			b.until(turn, 20)
			old.goAway()
			if r := b.readRest(turn, 100); r.Via != old.ID {
				b.Errorf("finished via %s, want %s", r.Via, old.ID)
			}
			if mv := b.move(); mv.From.ID != old.ID || mv.Took != 0 {
				b.Errorf("moved %+v", mv)
			}
			if got, want := len(b.mesh.turns), 2; got != want {
				b.Errorf("turn frames %q, want %d", b.mesh.turns, want)
			}
		})
	})
	t.Run("nowhere to go", func(t *testing.T) {
		onMesh(t, "a", func(b *bed) {
			b.here().goAway()
			b.read(b.send("still"), "echo still")
		})
	})
}

func (b *bed) readRest(t *Turn, size int) Reply {
	b.Helper()
	r, err := t.Reply(b.Context())
	if err != nil || r.Text != story(size) {
		b.Fatalf("reply %q, %v", r.Text, err)
	}
	return r
}

func TestBrokenWhileIdle(t *testing.T) {
	onMesh(t, "abc", func(b *bed) {
		b.read(b.send("hello"), "echo hello")
		old := b.here()
		old.kill()
		mv := b.move() // once the connection is idle for too long
		if mv.From.ID != old.ID || mv.To.ID == old.ID {
			b.Errorf("moved %+v, want away from %s", mv, old.ID)
		}
		b.read(b.send("next"), "echo next")
	})
}

func TestWholeMeshAway(t *testing.T) {
	onMesh(t, "ab", func(b *bed) {
		b.read(b.send("hello"), "echo hello")
		turn := b.send("slow 100")
		b.until(turn, 20)
		for _, n := range b.mesh.nodes {
			b.mesh.net.setCut(n.QUIC, true)
		}
		time.Sleep(8 * time.Second)
		for _, n := range b.mesh.nodes {
			b.mesh.net.setCut(n.QUIC, false)
		}
		b.readRest(turn, 100)

		turn = b.send("slow 100")
		for _, n := range b.mesh.nodes {
			b.mesh.net.setCut(n.QUIC, true)
		}
		start := time.Now()
		if _, err := turn.Reply(b.Context()); !errors.Is(err, ErrUnreachable) {
			b.Errorf("error %v, want ErrUnreachable", err)
		}
		if took := time.Since(start); took < 29*time.Second || took > 31*time.Second {
			b.Errorf("gave up after %s, want the patience of 30 s", took)
		}
	})
}
