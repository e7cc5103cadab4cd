package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein/wire"
)

// testSocket is a socket on loopback.
type testSocket struct {
	*Socket
	udp, tcp netip.AddrPort
}

func listenLoopback(t *testing.T, id *Identity, service []tls.Certificate) testSocket {
	t.Helper()
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	packet, err := Host{}.ListenPacket(loopback)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := Host{}.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Listen(SocketConfig{Packet: packet, Stream: stream, Identity: id, Service: service, Secret: testSecret()})
	if err != nil {
		t.Fatal(err)
	}
	return testSocket{Socket: s, udp: packet.LocalAddr().(*net.UDPAddr).AddrPort(), tcp: stream.Addr().(*net.TCPAddr).AddrPort()}
}

// start runs f until the test or the returned function ends it.
func start(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stopped := false
	stop = func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func serviceCertificate(t *testing.T, ca *CA) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	cert, key, err := ca.IssueService(ServiceRequest{Names: []string{"assistant.skein.test"}})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	caPEM, _ := ca.PEM()
	roots.AppendCertsFromPEM(caPEM)
	return pair, roots
}

func TestSocketByALPN(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ca := newTestCA(t)
	service, roots := serviceCertificate(t, ca)
	s := listenLoopback(t, issueIdentity(t, ca, "eu-a", "eu"), []tls.Certificate{service})
	native, h3 := s.QUIC(wire.ALPNClient), s.QUIC("h3")
	start(t, s.Run)
	public := func(alpn string) *tls.Config {
		return &tls.Config{RootCAs: roots, ServerName: "assistant.skein.test", NextProtos: []string{alpn}}
	}
	b := issueIdentity(t, ca, "eu-b", "eu")
	for alpn, to := range map[string]*QUICListener{wire.ALPNClient: native, "h3": h3} {
		conn, err := quic.DialAddr(ctx, s.udp.String(), public(alpn), nil)
		if err != nil {
			t.Fatalf("%s: %v", alpn, err)
		}
		accepted, err := to.Accept(ctx)
		if err != nil {
			t.Fatalf("%s: %v", alpn, err)
		}
		if got := accepted.ConnectionState().TLS.NegotiatedProtocol; got != alpn {
			t.Errorf("protocol %q, want %q", got, alpn)
		}
		conn.CloseWithError(0, "")
	}
	if conn, err := quic.DialAddr(ctx, s.udp.String(), public("nobody/1"), nil); err == nil {
		conn.CloseWithError(0, "")
		t.Error("a protocol that nobody serves is accepted")
	}
	conn, err := quic.DialAddr(ctx, s.udp.String(), b.client(wire.ALPNMesh, "eu-a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := s.QUIC(wire.ALPNMesh).Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if place, err := peerPlace(accepted.ConnectionState().TLS); err != nil || place.Node != "eu-b" {
		t.Errorf("peer %v, %v, want eu-b", place, err)
	}
	conn.CloseWithError(0, "")
	// A stranger's dial may succeed, as QUIC goes, but ends at once and is never handed on.
	stranger := issueIdentity(t, newTestCA(t), "eu-b", "eu")
	bad := stranger.client(wire.ALPNMesh, "eu-a")
	bad.RootCAs, bad.VerifyConnection, bad.InsecureSkipVerify = nil, nil, true
	if conn, err := quic.DialAddr(ctx, s.udp.String(), bad, nil); err == nil {
		select {
		case <-conn.Context().Done():
		case <-ctx.Done():
			t.Error("a stranger's connection stays open")
		}
	}
	if n := len(s.QUIC(wire.ALPNMesh).conns); n != 0 {
		t.Errorf("%d connections of strangers are handed on", n)
	}
}

func TestSocketHTTPSAndTether(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ca := newTestCA(t)
	service, roots := serviceCertificate(t, ca)
	s := listenLoopback(t, issueIdentity(t, ca, "eu-a", "eu"), []tls.Certificate{service})
	start(t, s.Run)
	dial := func(conf *tls.Config) *tls.Conn {
		t.Helper()
		raw, err := Host{}.Dial(ctx, s.tcp)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(raw, conf)
		if err := conn.HandshakeContext(ctx); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for _, alpn := range []string{"h2", "http/1.1"} {
		conn := dial(&tls.Config{RootCAs: roots, ServerName: "assistant.skein.test", NextProtos: []string{alpn}})
		accepted, err := s.HTTPS().Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := accepted.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != alpn {
			t.Errorf("protocol %q, want %q", got, alpn)
		}
		conn.Close()
		accepted.Close()
	}
	b := issueIdentity(t, ca, "eu-b", "eu")
	conn := dial(b.client(wire.ALPNTether, "eu-a"))
	defer conn.Close()
	accepted, err := s.tethers.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if place, err := peerPlace(accepted.(*tls.Conn).ConnectionState()); err != nil || place.Node != "eu-b" {
		t.Errorf("peer %v, %v, want eu-b", place, err)
	}
	// A client's garbage harms nobody else.
	raw, err := Host{}.Dial(ctx, s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	raw.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, raw); err != nil {
		t.Errorf("a plain HTTP client is not turned away: %v", err)
	}
}

// TestEarlyDataAtAnotherNode is what a client's fail-over needs: a ticket of one node opens early data at another
// one that has the same secret, and only there.
func TestEarlyDataAtAnotherNode(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ca := newTestCA(t)
	service, roots := serviceCertificate(t, ca)
	var addrs []string
	for _, node := range []string{"eu-a", "eu-b"} {
		s := listenLoopback(t, issueIdentity(t, ca, node, "eu"), []tls.Certificate{service})
		l := s.QUIC(wire.ALPNClient)
		start(t, s.Run)
		start(t, func(ctx context.Context) error {
			for {
				conn, err := l.Accept(ctx)
				if err != nil {
					return nil
				}
				str, err := conn.AcceptStream(ctx)
				if err != nil {
					continue
				}
				io.Copy(str, str)
				str.Close()
			}
		})
		addrs = append(addrs, s.udp.String())
	}
	tickets := &ticketCache{LRU: tls.NewLRUClientSessionCache(4), put: make(chan struct{}, 8)}
	conf := &tls.Config{RootCAs: roots, ServerName: "assistant.skein.test", NextProtos: []string{wire.ALPNClient}, ClientSessionCache: tickets}
	echo := func(addr string) bool {
		t.Helper()
		conn, err := quic.DialAddrEarly(ctx, addr, conf, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseWithError(0, "")
		str, err := conn.OpenStreamSync(ctx)
		if err != nil {
			t.Fatal(err)
		}
		str.Write([]byte("hi"))
		str.Close()
		if got, err := io.ReadAll(str); err != nil || string(got) != "hi" {
			t.Fatalf("echo %q, %v", got, err)
		}
		<-conn.HandshakeComplete()
		return conn.ConnectionState().Used0RTT
	}
	if echo(addrs[0]) {
		t.Error("early data without a ticket")
	}
	select {
	case <-tickets.put:
	case <-ctx.Done():
		t.Fatal("no ticket came")
	}
	if !echo(addrs[1]) {
		t.Error("no early data at the other node")
	}
}

type ticketCache struct {
	LRU tls.ClientSessionCache
	put chan struct{}
}

func (c *ticketCache) Get(key string) (*tls.ClientSessionState, bool) { return c.LRU.Get(key) }

func (c *ticketCache) Put(key string, s *tls.ClientSessionState) {
	c.LRU.Put(key, s)
	select {
	case c.put <- struct{}{}:
	default:
	}
}
