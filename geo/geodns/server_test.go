package geodns

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/skein-mesh/skein"
)

// start runs a server on loopback, UDP and TCP, and returns its addresses.
func start(t *testing.T, conns int) (s *Server, udpAddr, tcpAddr string) {
	t.Helper()
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err = New(Config{
		Zone: zone, Packets: []net.PacketConn{p}, Stream: l, MaxConns: conns,
		Self: skein.Place{Node: "us-a", Region: "us", Zone: "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Update(Snapshot{Nodes: nine(), Locator: locator(t), Epoch: 1})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		within(t, "Run to end", done)
	})
	return s, p.LocalAddr().String(), l.Addr().String()
}

func TestLoopback(t *testing.T) {
	s, udpAddr, tcpAddr := start(t, 0)
	for network, addr := range map[string]string{"udp": udpAddr, "tcp": tcpAddr} {
		c := &dns.Client{Net: network, Timeout: 10 * time.Second}
		r, _, err := c.ExchangeContext(t.Context(), withSubnet(question(zone, dns.TypeA), "192.0.2.0/24"), addr)
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if got := addrs(r); len(got) != 3 || !all(got, "127.0.1.") {
			t.Errorf("%s: got %v, want three of eu", network, got)
		}
	}
	nodes := nine()
	nodes[0].Healthy = false
	s.Update(Snapshot{Nodes: nodes, Locator: locator(t), Epoch: 2})
	c := &dns.Client{Timeout: 10 * time.Second}
	r, _, err := c.ExchangeContext(t.Context(), withSubnet(question(zone, dns.TypeA), "192.0.2.0/24"), udpAddr)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs(r) {
		if a == "127.0.1.1" {
			t.Errorf("the dead node is still in the answer: %v", addrs(r))
		}
	}
	if got := s.Stats(); got.UDP != 2 || got.TCP != 1 {
		t.Errorf("got %+v", got)
	}
}

// TestStreamPipelines: several requests on one connection are answered in order, also when they come in one piece.
func TestStreamPipelines(t *testing.T) {
	_, _, tcpAddr := start(t, 0)
	c, err := net.Dial("tcp", tcpAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all []byte
	for id := range 20 {
		m := question(zone, dns.TypeHTTPS)
		m.Id = uint16(id)
		b, _ := m.Pack()
		all = append(append(all, byte(len(b)>>8), byte(len(b))), b...)
	}
	if _, err := c.Write(all); err != nil {
		t.Fatal(err)
	}
	conn := &dns.Conn{Conn: c}
	for id := range 20 {
		r, err := conn.ReadMsg()
		if err != nil || int(r.Id) != id || len(r.Answer) != 1 {
			t.Fatalf("answer %d: got %v, %v", id, r, err)
		}
	}
}

// TestHostileStreams: each is closed, and others are served.
func TestHostileStreams(t *testing.T) {
	_, _, tcpAddr := start(t, 0)
	for name, bytes := range map[string][]byte{
		"too long": {0xFF, 0xFF}, "too short": {0, 3, 1, 2, 3}, "an answer": {0, 12, 0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0},
	} {
		c, err := net.Dial("tcp", tcpAddr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(bytes); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %d bytes, %v, want the connection closed", name, n, err)
		}
		c.Close()
	}
	client := &dns.Client{Net: "tcp", Timeout: 10 * time.Second}
	if _, _, err := client.ExchangeContext(t.Context(), question(zone, dns.TypeA), tcpAddr); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestConnectionLimit: one address may hold a quarter of the connections.
func TestConnectionLimit(t *testing.T) {
	s, _, tcpAddr := start(t, 8)
	client := &dns.Client{Net: "tcp", Timeout: 10 * time.Second}
	var held []*dns.Conn
	for range 2 {
		c, err := client.DialContext(t.Context(), tcpAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, _, err := client.ExchangeWithConnContext(t.Context(), question(zone, dns.TypeA), c); err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	c, err := client.DialContext(t.Context(), tcpAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := client.ExchangeWithConnContext(t.Context(), question(zone, dns.TypeA), c); err == nil {
		t.Error("the third connection was served")
	}
	if n := s.Stats().Rejected; n != 1 {
		t.Errorf("counted %d rejected connections, want 1", n)
	}
	if _, _, err := client.ExchangeWithConnContext(t.Context(), question(zone, dns.TypeA), held[0]); err != nil {
		t.Errorf("a held connection: %v", err)
	}
}

func TestBrokenSocketEndsRun(t *testing.T) {
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Zone: zone, Packets: []net.PacketConn{p}, Stream: l, Self: skein.Place{Node: "n", Region: "eu"}})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := s.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

// datagram and pipe simulate a packet socket without the host's network.
type datagram struct {
	data []byte
	peer net.Addr
}

type pipe struct {
	in, out chan datagram
	closed  chan struct{}
	once    sync.Once
}

func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-p.in:
		return copy(b, d.data), d.peer, nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

func (p *pipe) WriteTo(b []byte, peer net.Addr) (int, error) {
	p.out <- datagram{append([]byte(nil), b...), peer}
	return len(b), nil
}

func (p *pipe) Close() error                     { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipe) LocalAddr() net.Addr              { return &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 53} }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// pipeListener hands out connections that the test made.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 53} }

// TestVirtualTime runs the server in a bubble: a packet is answered by the location of its simulated source, and a
// silent TCP connection is closed when its time is over.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{in: make(chan datagram), out: make(chan datagram, 1), closed: make(chan struct{})}
		l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		s, err := New(Config{Zone: zone, Packets: []net.PacketConn{p}, Stream: l, Self: skein.Place{Node: "us-a", Region: "us"}})
		if err != nil {
			t.Fatal(err)
		}
		s.Update(Snapshot{Nodes: nine(), Locator: locator(t)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()

		peer := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.7:5353"))
		b, _ := question(zone, dns.TypeA).Pack()
		p.in <- datagram{b, peer}
		got := <-p.out
		r := new(dns.Msg)
		if err := r.Unpack(got.data); err != nil || got.peer != net.Addr(peer) || !all(addrs(r), "127.0.3.") {
			t.Errorf("got %v to %v, %v", r, got.peer, err)
		}

		ours, theirs := net.Pipe()
		l.conns <- theirs
		began := time.Now()
		if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("silent connection: got %v, want it closed", err)
		}
		if took := time.Since(began); took != idleTimeout {
			t.Errorf("closed after %s, want %s", took, idleTimeout)
		}
		ours.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
