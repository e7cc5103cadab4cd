package gateway

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/telemetry"
	"github.com/skein-mesh/skein/wire"
)

const service = "assistant.skein.test"

// keys are the keys of one test: of tokens, and of TLS.
type keys struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey
	cert    tls.Certificate
	roots   *x509.CertPool
}

func newKeys(t testing.TB) *keys {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{service}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	k := &keys{public: pub, private: priv, cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, roots: x509.NewCertPool()}
	k.roots.AddCert(leaf)
	return k
}

func (k *keys) token(t testing.TB, subject string) string {
	t.Helper()
	return k.tokenUntil(t, subject, time.Now().Add(time.Hour))
}

func (k *keys) tokenUntil(t testing.TB, subject string, until time.Time) string {
	t.Helper()
	s, err := SignToken(k.private, Claims{Subject: skein.Subject(subject), Audience: service, Expires: until})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// server is a running gateway with real sockets on loopback.
type server struct {
	*keys
	g      *Gateway
	fake   *fake
	meters *telemetry.Registry
	native net.Addr
	h3     net.Addr
	https  net.Addr
	stop   context.CancelFunc
	ended  chan error
}

// start runs the gateway eu-1 with all three ways in; change may alter its configuration.
func start(t *testing.T, change func(*Config)) *server {
	t.Helper()
	s := &server{keys: newKeys(t), fake: newFake("eu-1", "eu"), meters: &telemetry.Registry{}, ended: make(chan error, 1)}
	listen := func(alpn string) *quic.Listener {
		l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: []string{alpn}}, &quic.Config{MaxIncomingStreams: 64})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	native, h3 := listen(wire.ALPNClient), listen("h3")
	tcp, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	s.native, s.h3, s.https = native.Addr(), h3.Addr(), tcp.Addr()
	cfg := Config{
		Node: "eu-1", Region: "eu", Zone: "a", Service: service, Sessions: s.fake, Said: s.fake.said, Keys: []ed25519.PublicKey{s.public},
		Native: native, H3: h3, HTTPS: tcp, Meters: s.meters,
	}
	if change != nil {
		change(&cfg)
	}
	if s.g, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() { s.ended <- s.g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		s.free()
		s.fake.wait()
	})
	return s
}

// free lets turns that are held go on.
func (s *server) free() {
	select {
	case <-s.fake.release:
	default:
		close(s.fake.release)
	}
}

// count reads a counter, of all labels together.
func (s *server) count(name string) (n float64) {
	for _, m := range s.meters.Snapshot() {
		if m.Name == name {
			n += m.Value
		}
	}
	return n
}

func (s *server) dial(t *testing.T) *quic.Conn {
	t.Helper()
	conn, err := quic.DialAddr(t.Context(), s.native.String(), &tls.Config{RootCAs: s.roots, ServerName: service, NextProtos: []string{wire.ALPNClient}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseWithError(0, "") })
	return conn
}

// talk is a client's end of one stream.
type talk struct {
	t testing.TB
	w pipe
	r *bufio.Reader
}

func newTalk(t testing.TB, w pipe) *talk {
	w.SetReadDeadline(time.Now().Add(20 * time.Second))
	return &talk{t: t, w: w, r: bufio.NewReader(w)}
}

func (s *server) stream(t *testing.T, conn *quic.Conn) *talk {
	t.Helper()
	st, err := conn.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return newTalk(t, st)
}

func (c *talk) send(frames ...*wire.ClientFrame) {
	c.t.Helper()
	var buf []byte
	for _, f := range frames {
		buf, _ = wire.AppendFrame(buf, f)
	}
	if _, err := c.w.Write(buf); err != nil {
		c.t.Fatal(err)
	}
}

// next gives the next frame that is no sign of life and no list of peers.
func (c *talk) next() *wire.ServerFrame {
	c.t.Helper()
	f, err := c.tryNext()
	if err != nil {
		c.t.Fatalf("read frame: %v", err)
	}
	return f
}

func (c *talk) tryNext() (*wire.ServerFrame, error) {
	for {
		var f wire.ServerFrame
		if err := wire.ReadFrame(c.r, &f, wire.MaxServerFrame); err != nil {
			return nil, err
		}
		if f.GetPeers() != nil || f.GetPiece() != nil && f.GetPiece().GetText() == "" {
			continue
		}
		return &f, nil
	}
}

func (c *talk) wantCode(code skein.Code) *wire.Error {
	c.t.Helper()
	f := c.next()
	if got := f.GetError(); got == nil || skein.Code(got.GetCode()) != code {
		c.t.Fatalf("got %v, want error %s", f, code)
	}
	return f.GetError()
}

func (c *talk) wantOpened() *wire.Opened {
	c.t.Helper()
	f := c.next()
	if f.GetOpened() == nil {
		c.t.Fatalf("got %v, want Opened", f)
	}
	return f.GetOpened()
}

// wantReply reads accepted, the pieces and completed, and gives the pieces joined, and completed.
func (c *talk) wantReply() (string, *wire.Completed) {
	c.t.Helper()
	text := ""
	for {
		f := c.next()
		switch {
		case f.GetPiece() != nil:
			text += f.GetPiece().GetText()
		case f.GetCompleted() != nil:
			return text, f.GetCompleted()
		case f.GetAccepted() == nil:
			c.t.Fatalf("got %v in a turn", f)
		}
	}
}

func open(session, token string) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_Open{Open: &wire.Open{
		Version: wire.Version, Session: session, Token: token, Create: true, Client: "c1",
	}}}
}

func turn(counter uint64, text string, offset int) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_Turn{Turn: &wire.Turn{
		Id: &wire.TurnRef{Client: "c1", Counter: counter}, Text: text, Offset: uint64(offset),
	}}}
}

func history(after uint64, limit uint32) *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_History{History: &wire.HistoryRequest{After: after, Limit: limit}}}
}

func contextCause(c *quic.Conn) error { return context.Cause(c.Context()) }
