package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

func TestNativeConversation(t *testing.T) {
	s := start(t, nil)
	c := s.stream(t, s.dial(t))
	c.send(open("first", s.token(t, "ann")), turn(1, "good morning", 0))
	o := c.wantOpened()
	if o.GetSession() != "eu~first" || o.GetGateway() != "eu-1" || !o.GetCreated() || o.GetEpoch() != 1 {
		t.Errorf("opened %v", o)
	}
	text, done := c.wantReply()
	if want := "you said: good morning"; text != want || done.GetReply() != want {
		t.Errorf("pieces %q, reply %q, want %q", text, done.GetReply(), want)
	}
	if done.GetGateway() != "eu-1" || done.GetWhere().GetNode() != "eu-1" || done.GetAttempt() != 1 || done.GetSource() != "flow:echo" {
		t.Errorf("completed %v", done)
	}

	c.send(turn(2, "again", 0))
	if text, _ := c.wantReply(); text != "you said: again" {
		t.Errorf("second turn: %q", text)
	}
	c.send(turn(1, "good morning", 10)) // a repeat, from an offset
	if text, done := c.wantReply(); text != "good morning" || done.GetReply() != "you said: good morning" {
		t.Errorf("repeat from 10: pieces %q, reply %q", text, done.GetReply())
	}
	c.send(turn(1, "something else", 0))
	if e := c.wantCode(skein.CodeTurnConflict); e.GetId().GetCounter() != 1 {
		t.Errorf("conflict is about %v", e.GetId())
	}
	c.send(history(0, 2))
	h := c.next().GetHistory()
	if len(h.GetEvents()) != 2 || h.GetEvents()[0].GetKind() != "opened" || h.GetNext() != h.GetEvents()[1].GetSeq() {
		t.Errorf("history %v", h)
	}

	other := s.stream(t, s.dial(t))
	other.send(open("eu~first", s.token(t, "ann")))
	if o := other.wantOpened(); o.GetCreated() || o.GetHighWater() != 2 {
		t.Errorf("resume: %v", o)
	}
	if got := s.count("skein_gateway_turns_total"); got != 3 {
		t.Errorf("turns counted %v, want 3", got)
	}
}

func TestNativeRefusals(t *testing.T) {
	s := start(t, nil)
	good := s.token(t, "ann")
	owner := s.stream(t, s.dial(t))
	owner.send(open("mine", good))
	owner.wantOpened()

	big := strings.Repeat("x", session.MaxText+1)
	with := func(change func(*wire.Open)) *wire.ClientFrame {
		f := open("mine", good)
		change(f.GetOpen())
		return f
	}
	huge := binary.AppendUvarint(nil, wire.MaxClientFrame+1)
	stranger := newKeys(t)
	for _, tt := range []struct {
		name   string
		frames []*wire.ClientFrame
		raw    []byte
		want   skein.Code
	}{
		{name: "no token", frames: []*wire.ClientFrame{open("mine", "")}, want: skein.CodeUnauthenticated},
		{name: "garbage token", frames: []*wire.ClientFrame{open("mine", "a.b.c")}, want: skein.CodeUnauthenticated},
		{name: "foreign key", frames: []*wire.ClientFrame{open("mine", stranger.token(t, "ann"))}, want: skein.CodeUnauthenticated},
		{name: "expired token", frames: []*wire.ClientFrame{open("mine", s.tokenUntil(t, "ann", time.Now().Add(-time.Hour)))}, want: skein.CodeTokenExpired},
		{name: "other subject", frames: []*wire.ClientFrame{open("mine", s.token(t, "bob"))}, want: skein.CodeForbidden},
		{name: "version", frames: []*wire.ClientFrame{with(func(o *wire.Open) { o.Version = 9 })}, want: skein.CodeVersion},
		{name: "resume of nothing", frames: []*wire.ClientFrame{with(func(o *wire.Open) { o.Session, o.Create = "eu~none", false })}, want: skein.CodeUnknownSession},
		{name: "bad session", frames: []*wire.ClientFrame{open("a b", good)}, want: skein.CodeMalformed},
		{name: "empty session", frames: []*wire.ClientFrame{open("", good)}, want: skein.CodeMalformed},
		{name: "bad assistant", frames: []*wire.ClientFrame{with(func(o *wire.Open) { o.Assistant = "../x" })}, want: skein.CodeMalformed},
		{name: "unknown assistant", frames: []*wire.ClientFrame{with(func(o *wire.Open) { o.Session, o.Assistant = "new", "nobody" })}, want: skein.CodeUnknownAssistant},
		{name: "bad client", frames: []*wire.ClientFrame{with(func(o *wire.Open) { o.Client = "ü" })}, want: skein.CodeMalformed},
		{name: "other region, nobody there", frames: []*wire.ClientFrame{open("us~x", good)}, want: skein.CodeHomeUnreachable},
		{name: "turn first", frames: []*wire.ClientFrame{turn(1, "x", 0)}, want: skein.CodeMalformed},
		{name: "empty frame", raw: []byte{0}, want: skein.CodeMalformed},
		{name: "garbage", raw: []byte{3, 0xff, 0xff, 0xff}, want: skein.CodeMalformed},
		{name: "huge frame", raw: huge, want: skein.CodeTooLarge},
		{name: "endless length", raw: bytes.Repeat([]byte{0xff}, 11), want: skein.CodeMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.stream(t, s.dial(t))
			c.send(tt.frames...)
			c.w.Write(tt.raw)
			e := c.wantCode(tt.want)
			if strings.Contains(e.GetDetail(), "eyJ") {
				t.Errorf("the error repeats the token: %q", e.GetDetail())
			}
			if f, err := c.tryNext(); !errors.Is(err, io.EOF) {
				t.Errorf("after the error: %v, %v; want EOF", f, err)
			}
		})
	}

	owner.send(turn(1, big, 0))
	if e := owner.wantCode(skein.CodeTooLarge); e.GetId().GetCounter() != 1 {
		t.Errorf("too large is about %v", e.GetId())
	}
	owner.send(turn(2, "still here", 0)) // neither its own faults nor those of others end a stream
	if text, _ := owner.wantReply(); text != "you said: still here" {
		t.Errorf("got %q", text)
	}
	if got := s.count("skein_gateway_auth_failures_total"); got != 4 {
		t.Errorf("auth failures counted %v, want 4", got)
	}
}

// One stream's fault leaves the others of its connection alone; tries of tokens alone end a connection.
func TestNativeStreamsAreApart(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.Sessions = 3 })
	conn := s.dial(t)
	good := s.stream(t, conn)
	good.send(open("a", s.token(t, "ann")))
	good.wantOpened()
	for range maxStrangers + 2 {
		bad := s.stream(t, conn)
		bad.send(open("a", "x"))
		bad.wantCode(skein.CodeUnauthenticated)
		if _, err := bad.tryNext(); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v, want EOF", err)
		}
		bad.w.(*quic.Stream).Close()
	}
	good.send(turn(1, "x", 0))
	good.wantReply()

	broken := s.stream(t, conn)
	broken.send(open("b", s.token(t, "ann")))
	broken.wantOpened()
	third := s.stream(t, conn)
	third.send(open("c", s.token(t, "ann")))
	third.wantOpened()
	fourth := s.stream(t, conn)
	fourth.send(open("d", s.token(t, "ann")))
	fourth.wantCode(skein.CodeOverloaded)
	broken.w.Write([]byte{2, 0xff, 0xff})
	broken.wantCode(skein.CodeMalformed)
	good.send(turn(2, "y", 0))
	good.wantReply()

	hostile := s.dial(t)
	for range maxStrangers {
		st, err := hostile.OpenStreamSync(t.Context())
		if err != nil {
			break
		}
		c := newTalk(t, st)
		c.send(open("a", "x"))
		c.tryNext()
	}
	<-hostile.Context().Done()
	var closed *quic.ApplicationError
	if err := hostile.Context().Err(); err == nil {
		t.Error("the hostile connection is still open")
	} else if cause := contextCause(hostile); !errors.As(cause, &closed) || closed.ErrorCode != quic.ApplicationErrorCode(skein.CodeUnauthenticated) {
		t.Errorf("closed with %v, want %d", cause, skein.CodeUnauthenticated)
	}
}

func TestNativeQueueAndReattach(t *testing.T) {
	s := start(t, nil)
	c := s.stream(t, s.dial(t))
	c.send(open("q", s.token(t, "ann")), turn(1, "hold on", 0))
	c.wantOpened()
	if a := c.next().GetAccepted(); a.GetId().GetCounter() != 1 {
		t.Fatalf("accepted %v", a)
	}
	if p := c.next().GetPiece(); p.GetText() != "you " {
		t.Fatalf("piece %v", p)
	}
	c.send(turn(1, "hold on", 2)) // the same turn again, from another offset
	if a := c.next().GetAccepted(); a.GetId().GetCounter() != 1 {
		t.Fatalf("accepted %v", a)
	}
	if p := c.next().GetPiece(); p.GetText() != "u " || p.GetOffset() != 2 {
		t.Fatalf("piece %v, want the rest from 2", p)
	}
	frames := []*wire.ClientFrame{}
	for i := range uint64(maxPending) + 1 {
		frames = append(frames, turn(i+2, "next", 0))
	}
	c.send(frames...)
	if e := c.wantCode(skein.CodeOverloaded); e.GetId().GetCounter() != maxPending+2 {
		t.Errorf("overloaded is about %v", e.GetId())
	}
	s.free()
	for i := range maxPending + 1 {
		if _, done := c.wantReply(); done.GetId().GetCounter() != uint64(i)+1 {
			t.Errorf("reply %d is of %v", i+1, done.GetId())
		}
	}
}

// A client that goes away ends its following, not the turn.
func TestNativeClientGoesAway(t *testing.T) {
	s := start(t, nil)
	conn := s.dial(t)
	c := s.stream(t, conn)
	c.send(open("w", s.token(t, "ann")), turn(1, "hold the line", 0))
	c.wantOpened()
	c.next()
	conn.CloseWithError(0, "gone")
	s.free()
	s.fake.wait()
	c = s.stream(t, s.dial(t))
	c.send(open("w", s.token(t, "ann")), turn(1, "hold the line", 4))
	c.wantOpened()
	if text, _ := c.wantReply(); text != "said: hold the line" {
		t.Errorf("got %q", text)
	}
}

func TestNativeRateLimit(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits = Limits{TurnsPerSecond: 0.01, Burst: 2} })
	c := s.stream(t, s.dial(t))
	c.send(open("r", s.token(t, "ann")), turn(1, "a", 0))
	c.wantOpened()
	c.wantReply()
	c.send(turn(2, "b", 0))
	c.wantReply()
	c.send(turn(3, "c", 0))
	if e := c.wantCode(skein.CodeRateLimited); e.GetRetryAfterMs() == 0 || e.GetId().GetCounter() != 3 {
		t.Errorf("rate limited: %v", e)
	}
	other := s.stream(t, s.dial(t))
	other.send(open("r2", s.token(t, "bob")), turn(1, "a", 0))
	other.wantOpened()
	other.wantReply()
}

func TestOpensAreLimited(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits = Limits{TurnsPerSecond: 0.01, Burst: 2} })
	ann, conn := s.token(t, "ann"), s.dial(t)
	for _, id := range []string{"o1", "o1"} { // a resume counts too
		c := s.stream(t, conn)
		c.send(open(id, ann))
		c.wantOpened()
	}
	c := s.stream(t, conn)
	c.send(open("o2", ann))
	if e := c.wantCode(skein.CodeRateLimited); e.GetRetryAfterMs() == 0 || e.GetId() != nil {
		t.Errorf("rate limited: %v", e)
	}
	if _, res := s.socket(t, "/v1/sessions/o3/ws", s.bearerHeader(t, "ann")); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("over the rate: %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	for range 2 { // a turn that opens its session is one turn, and no open
		if a := s.web(t, "h1").do("POST", "/v1/sessions/o4/turns", `{"text":"a"}`, "Authorization", "Bearer "+ann); a.status != http.StatusOK {
			t.Errorf("a turn behind the opens: %d %s", a.status, a.body)
		}
	}
	if got := s.fake.sessions(); len(got) != 2 {
		t.Errorf("got the sessions %v, want o1 and o4", got)
	}
	c5, res := s.socket(t, "/v1/sessions/o5/ws", s.bearerHeader(t, "bob"))
	if c5 == nil {
		t.Fatalf("another subject's open: %d", res.StatusCode)
	}
	c5.want("opened")
}

// mesh is a membership for tests.
type mesh struct {
	mu      sync.Mutex
	peers   []Peer
	changed chan struct{}
}

func newMesh(names ...string) *mesh {
	m := &mesh{changed: make(chan struct{})}
	m.set(names...)
	return m
}

func (m *mesh) set(names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peers = nil
	for _, n := range names {
		m.peers = append(m.peers, Peer{Node: skein.NodeID(n), Region: "eu", Zone: "b", QUIC: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.9:8443")}})
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *mesh) list(skein.Region) []Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peers
}

func (m *mesh) watch() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func TestNativePeersAndDrain(t *testing.T) {
	m := newMesh("eu-1", "eu-2")
	s := start(t, func(c *Config) { c.Peers, c.PeersChanged = m.list, m.watch })
	conn := s.dial(t)
	c := s.stream(t, conn)
	c.send(open("p", s.token(t, "ann")))
	c.wantOpened()
	peers := func() *wire.Peers {
		t.Helper()
		var f wire.ServerFrame
		if err := wire.ReadFrame(c.r, &f, wire.MaxServerFrame); err != nil || f.GetPeers() == nil {
			t.Fatalf("got %v, %v; want Peers", &f, err)
		}
		return f.GetPeers()
	}
	if p := peers().GetPeers(); len(p) != 1 || p[0].GetNode() != "eu-2" || p[0].GetAddresses()[0] != "127.0.0.9:8443" {
		t.Errorf("peers %v, want eu-2 only", p)
	}
	m.set("eu-1", "eu-2", "eu-3")
	if p := peers().GetPeers(); len(p) != 2 {
		t.Errorf("peers %v, want two", p)
	}

	c.send(turn(1, "hold it", 0))
	if c.next().GetAccepted() == nil || c.next().GetPiece() == nil {
		t.Fatal("the turn did not begin")
	}
	drained := make(chan error, 1)
	go func() { drained <- s.g.Drain(t.Context()) }()
	if away := c.next().GetGoAway(); len(away.GetPeers()) != 2 {
		t.Errorf("go away %v, want two peers", away)
	}
	c.send(turn(2, "no more", 0))
	c.wantCode(skein.CodeDraining)
	select {
	case err := <-drained:
		t.Fatalf("Drain returned %v while a turn ran", err)
	default:
	}
	s.free()
	if text, _ := c.wantReply(); text != "said: hold it" {
		t.Errorf("got %q", text)
	}
	if _, err := c.tryNext(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last turn: %v, want EOF", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
	<-conn.Context().Done()
	closed, ok := errors.AsType[*quic.ApplicationError](contextCause(conn))
	if !ok || closed.ErrorCode != 0 {
		t.Errorf("closed with %v, want 0", contextCause(conn))
	}
	late := s.dial(t)
	<-late.Context().Done()
	if closed, ok := errors.AsType[*quic.ApplicationError](contextCause(late)); !ok || closed.ErrorCode != quic.ApplicationErrorCode(skein.CodeDraining) {
		t.Errorf("a new connection was closed with %v, want draining", contextCause(late))
	}
}

func TestSetDrainingAndBack(t *testing.T) {
	s := start(t, nil)
	c := s.stream(t, s.dial(t))
	c.send(open("u", s.token(t, "ann")))
	c.wantOpened()
	s.g.SetDraining(true)
	if c.next().GetGoAway() == nil {
		t.Error("no GoAway")
	}
	c.send(turn(1, "x", 0))
	c.wantCode(skein.CodeDraining)
	s.g.SetDraining(false)
	c.send(turn(1, "x", 0))
	c.wantReply()
}
