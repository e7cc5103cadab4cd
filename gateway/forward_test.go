package gateway

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// pair is two gateways, eu-1 and us-1, whose mesh is pipes in memory.
type pair struct {
	*keys
	eu, us *Gateway
	home   *fake // of us
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	down  bool // dials fail
}

func newPair(t *testing.T) *pair {
	p := &pair{keys: newKeys(t), home: newFake("us-1", "us")}
	var err error
	if p.us, err = New(p.config("us-1", "us", p.home)); err != nil {
		t.Fatal(err)
	}
	cfg := p.config("eu-1", "eu", newFake("eu-1", "eu"))
	cfg.Abroad = p.dial
	if p.eu, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) config(node, region string, s Sessions) Config {
	return Config{
		Node: skein.NodeID(node), Region: skein.Region(region), Zone: "a", Service: service, Sessions: s,
		Keys: []ed25519.PublicKey{p.public},
	}
}

func (p *pair) dial(context.Context, skein.Region) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil, errors.New("no way there")
	}
	near, far := net.Pipe()
	p.conns = append(p.conns, near)
	p.wg.Go(func() {
		defer far.Close()
		p.us.ServeForward(context.Background(), "eu-1", far)
	})
	return near, nil
}

func (p *pair) dials() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// cut breaks the newest mesh stream.
func (p *pair) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[len(p.conns)-1].Close()
}

// client talks to eu-1 over a pipe that stands for an authenticated stream.
func (p *pair) client(t *testing.T, o *wire.ClientFrame, until time.Time) *talk {
	near, far := net.Pipe()
	p.wg.Go(func() {
		defer far.Close()
		f := newFramed(far)
		open, err := p.eu.readOpen(f)
		if err == nil {
			l := &line{g: p.eu, who: identity{subject: "ann", expires: until}, form: frameForm{gateway: "eu-1"}, every: lifeSign}
			err = p.eu.openLine(t.Context(), f, open, l)
		}
		if err != nil {
			f.write([][]byte{frame(faultFrame(skein.TurnID{}, err))})
		}
	})
	t.Cleanup(func() {
		near.Close()
		select {
		case <-p.home.release:
		default:
			close(p.home.release)
		}
		p.wg.Wait()
		p.home.wait()
	})
	c := newTalk(t, near)
	c.send(o)
	return c
}

func TestForwardedSession(t *testing.T) {
	p := newPair(t)
	c := p.client(t, open("us~away", ""), time.Time{})
	if o := c.wantOpened(); o.GetSession() != "us~away" || o.GetGateway() != "eu-1" || !o.GetCreated() || o.GetAssistant() != "shop" {
		t.Errorf("opened %v", o)
	}
	c.send(turn(1, "from afar", 0))
	text, done := c.wantReply()
	if text != "you said: from afar" || done.GetWhere().GetNode() != "us-1" || done.GetGateway() != "eu-1" {
		t.Errorf("pieces %q, completed %v", text, done)
	}
	c.send(turn(1, "another text", 0))
	if e := c.wantCode(skein.CodeTurnConflict); e.GetId().GetCounter() != 1 {
		t.Errorf("conflict is about %v", e.GetId())
	}
	c.send(history(0, 100))
	if h := c.next().GetHistory(); len(h.GetEvents()) != 3 || h.GetEvents()[2].GetText() != "you said: from afar" || h.GetNext() != 0 {
		t.Errorf("history %v", h)
	}
	again := p.client(t, open("us~away", ""), time.Time{})
	if o := again.wantOpened(); o.GetCreated() || o.GetHighWater() != 1 {
		t.Errorf("resume: %v", o)
	}
	if got := p.eu.cfg.Sessions.(*fake).sessions(); len(got) != 0 {
		t.Errorf("eu opened %v itself", got)
	}
}

// A mesh stream that dies in mid-turn costs no byte and repeats none; three that die cost the turn.
func TestForwardBreaks(t *testing.T) {
	p := newPair(t)
	c := p.client(t, open("us~away", ""), time.Time{})
	c.wantOpened()
	c.send(turn(1, "hold tight", 0))
	if c.next().GetAccepted() == nil || c.next().GetPiece().GetText() != "you " {
		t.Fatal("the turn did not begin")
	}
	p.cut()
	for p.home.turnCalls() < 2 { // the second stream has reached the home
		c.lifeSign()
	}
	close(p.home.release)
	if text, done := c.wantReply(); text != "said: hold tight" || done.GetReply() != "you said: hold tight" {
		t.Errorf("after the break: pieces %q, reply %q", text, done.GetReply())
	}

	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	before := p.dials()
	c.send(turn(2, "hello", 0))
	if e := c.wantCode(skein.CodeHomeUnreachable); e.GetId().GetCounter() != 2 {
		t.Errorf("unreachable is about %v", e.GetId())
	}
	if p.dials() != before {
		t.Error("a dial went through")
	}
}

// lifeSign reads one frame, whatever it is.
func (c *talk) lifeSign() {
	c.t.Helper()
	var f wire.ServerFrame
	if err := wire.ReadFrame(c.r, &f, wire.MaxServerFrame); err != nil {
		c.t.Fatal(err)
	}
}

func TestForwardRefusals(t *testing.T) {
	p := newPair(t)
	fwd := func(change func(*wire.Forward)) *wire.Forward {
		f := &wire.Forward{Version: wire.Version, Subject: "ann", Gateway: "eu-1"}
		change(f)
		return f
	}
	for _, tt := range []struct {
		name    string
		forward *wire.Forward
		session string
		want    skein.Code
	}{
		{"foreign region", fwd(func(*wire.Forward) {}), "ap~x", skein.CodeHomeUnreachable},
		{"no subject", fwd(func(f *wire.Forward) { f.Subject = "" }), "us~x", skein.CodeMalformed},
		{"another gateway's name", fwd(func(f *wire.Forward) { f.Gateway = "eu-2" }), "us~x", skein.CodeMalformed},
		{"version", fwd(func(f *wire.Forward) { f.Version = 2 }), "us~x", skein.CodeVersion},
		{"bad session", fwd(func(*wire.Forward) {}), "us~", skein.CodeMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := p.dial(t.Context(), "us")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			buf, _ := wire.AppendFrame(nil, tt.forward)
			buf, _ = wire.AppendFrame(buf, open(tt.session, ""))
			go conn.Write(buf)
			newTalk(t, conn).wantCode(tt.want)
		})
	}
	p.wg.Wait()
	if got := p.home.sessions(); len(got) != 0 {
		t.Errorf("refused forwards opened %v", got)
	}
}

// While a turn runs and its home is well the client hears from its gateway every 50 ms. A home that is cut off from
// its group is not well: the gateway falls silent too, so that the client looks elsewhere.
func TestSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		c := p.client(t, open("us~away", ""), time.Time{})
		c.wantOpened()
		c.send(turn(1, "hold forth", 0))
		if c.next().GetAccepted() == nil || c.next().GetPiece() == nil {
			t.Fatal("the turn did not begin")
		}
		for range 100 {
			before := time.Now()
			c.lifeSign()
			if gap := time.Since(before); gap > lifeSign {
				t.Fatalf("silence of %s, want at most %s", gap, lifeSign)
			}
		}
		p.home.cutOff.Store(true)
		began, last := time.Now(), time.Now()
		c.w.SetReadDeadline(began.Add(1400 * time.Millisecond))
		for wire.ReadFrame(c.r, &wire.ServerFrame{}, wire.MaxServerFrame) == nil {
			last = time.Now()
		}
		if said := last.Sub(began); said > 2*forwardSign+6*lifeSign+forwardSign {
			t.Errorf("signs of life went on for %s with a home that is cut off", said)
		}
		c.w.SetReadDeadline(time.Time{})
		p.home.cutOff.Store(false)
		close(p.home.release)
		if text, _ := c.wantReply(); text != "said: hold forth" {
			t.Errorf("got %q", text)
		}
	})
}

func TestTokenExpiresOnAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		c := p.client(t, open("eu~here", ""), time.Now().Add(time.Minute))
		c.wantOpened()
		c.w.SetReadDeadline(time.Time{})
		time.Sleep(time.Minute + leeway)
		c.send(turn(1, "just in time", 0))
		c.wantReply()
		time.Sleep(time.Second)
		c.send(turn(2, "too late", 0))
		c.wantCode(skein.CodeTokenExpired)
		if _, err := c.tryNext(); !errors.Is(err, io.EOF) {
			t.Errorf("after expiry: %v, want EOF", err)
		}
		p.eu.cfg.Sessions.(*fake).wait()
	})
}

func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		near, far := net.Pipe()
		f := newFramed(far)
		begun := time.Now()
		_, err := p.eu.readOpen(f)
		if skein.CodeOf(err) != skein.CodeMalformed || time.Since(begun) != openWithin {
			t.Errorf("no Open: %v after %s, want malformed after %s", err, time.Since(begun), openWithin)
		}
		go near.Write([]byte{200}) // the first byte of a length, and nothing more
		begun = time.Now()
		if _, err := f.next(session.Opening{}); skein.CodeOf(err) != skein.CodeMalformed || time.Since(begun) != frameWithin {
			t.Errorf("half a frame: %v after %s, want malformed after %s", err, time.Since(begun), frameWithin)
		}
		begun = time.Now()
		if err := f.write([][]byte{{1}, {2}}); err == nil || time.Since(begun) != writeWithin {
			t.Errorf("write to nobody: %v after %s, want an error after %s", err, time.Since(begun), writeWithin)
		}
		near.Close()
		far.Close()
	})
}

func TestFollowing(t *testing.T) {
	id := skein.TurnID{Client: "c1", Counter: 1}
	piece := func(offset uint64, text string) *wire.ServerFrame {
		return &wire.ServerFrame{Body: &wire.ServerFrame_Piece{Piece: &wire.Piece{Id: wire.Ref(id), Offset: offset, Text: text}}}
	}
	var got []string
	f := following{m: session.Message{Turn: id}, reached: 2, emit: func(u session.Update) error {
		got = append(got, u.Text)
		return nil
	}}
	for _, w := range []*wire.ServerFrame{piece(0, "ab"), piece(0, "abcd"), piece(3, "d"), piece(4, ""), piece(4, "ef")} {
		if done, err := f.take(w); done || err != nil {
			t.Fatalf("take %v: %v, %v", w, done, err)
		}
	}
	if want := []string{"cd", "", "ef"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := f.take(piece(9, "x")); !errors.Is(err, errBroken) {
		t.Errorf("a gap: %v, want a broken stream", err)
	}
}

func TestCut(t *testing.T) {
	event := func(seq skein.Seq, size int) session.Event {
		return session.Event{Seq: seq, Text: string(make([]byte, size))}
	}
	for _, tt := range []struct {
		name   string
		events []session.Event
		limit  int
		count  int
		next   skein.Seq
	}{
		{"empty", nil, 10, 0, 0},
		{"the end", []session.Event{event(1, 1), event(2, 1)}, 3, 2, 0},
		{"full", []session.Event{event(1, 1), event(2, 1)}, 2, 2, 2},
		{"more than asked", []session.Event{event(1, 1), event(2, 1)}, 1, 1, 1},
		{"long texts", []session.Event{event(4, pageBytes), event(5, 1), event(6, 1)}, 10, 1, 4},
		{"one text over the limit", []session.Event{event(4, pageBytes+1)}, 10, 1, 0},
	} {
		if p := cut(tt.events, tt.limit); len(p.events) != tt.count || p.next != tt.next {
			t.Errorf("%s: %d events, next %d; want %d, %d", tt.name, len(p.events), p.next, tt.count, tt.next)
		}
	}
}
