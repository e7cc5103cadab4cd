package mesh

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/quic-go/quic-go/testutils/simnet"
)

// simulation is a network in memory, for virtual time. Hosts that are cut off send and hear nothing: packets
// vanish, dials hang.
type simulation struct {
	router *simRouter
	ca     *CA

	mu        sync.Mutex // guards the fields below
	cut       map[netip.Addr]bool
	listeners map[netip.AddrPort]*simListener
}

func newSimulation() *simulation {
	s := &simulation{cut: map[netip.Addr]bool{}, listeners: map[netip.AddrPort]*simListener{}}
	s.router = &simRouter{sim: s}
	return s
}

func (s *simulation) isolate(host netip.Addr, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut[host] = on
}

func (s *simulation) connected(a, b netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return a == b || !s.cut[a] && !s.cut[b]
}

// simRouter drops what a partition drops.
type simRouter struct {
	simnet.PerfectRouter
	sim *simulation
}

func (r *simRouter) SendPacket(p simnet.Packet) error {
	if !r.sim.connected(addrOf(p.From), addrOf(p.To)) {
		return nil
	}
	// A packet to nobody is lost, as on a real network.
	_ = r.PerfectRouter.SendPacket(p)
	return nil
}

func addrOf(a net.Addr) netip.Addr { return netip.MustParseAddrPort(a.String()).Addr().Unmap() }

// host is the Network of one simulated host.
type simHost struct {
	sim  *simulation
	addr netip.Addr
}

func (h simHost) ListenPacket(addr netip.AddrPort) (net.PacketConn, error) {
	link := &simnet.SimulatedLink{Latency: time.Millisecond, UploadPacket: h.sim.router}
	conn := simnet.NewBlockingSimConn(net.UDPAddrFromAddrPort(addr), link)
	h.sim.router.AddNode(conn.LocalAddr(), link)
	link.Start()
	return simPacket{conn, link, h.sim.router}, nil
}

// simPacket takes its link along when it closes.
type simPacket struct {
	*simnet.SimConn
	link   *simnet.SimulatedLink
	router *simRouter
}

func (p simPacket) Close() error {
	p.router.RemoveNode(p.LocalAddr())
	err := p.SimConn.Close()
	p.link.Close()
	return err
}

func (h simHost) Listen(addr netip.AddrPort) (net.Listener, error) {
	l := &simListener{sim: h.sim, addr: addr, conns: make(chan net.Conn, 64), done: make(chan struct{})}
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	if h.sim.listeners[addr] != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, syscall.EADDRINUSE)
	}
	h.sim.listeners[addr] = l
	return l, nil
}

func (h simHost) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	if !h.sim.connected(h.addr, addr.Addr()) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	h.sim.mu.Lock()
	l := h.sim.listeners[addr]
	h.sim.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: %w", addr, syscall.ECONNREFUSED)
	}
	near, far := net.Pipe()
	select {
	case l.conns <- simConn{far, addr}:
		return simConn{near, addr}, nil
	case <-l.done:
		return nil, fmt.Errorf("dial %s: %w", addr, syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// simConn gives a pipe an address that memberlist can print.
type simConn struct {
	net.Conn
	addr netip.AddrPort
}

func (c simConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.addr) }

type simListener struct {
	sim   *simulation
	addr  netip.AddrPort
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *simListener) Close() error {
	l.once.Do(func() {
		l.sim.mu.Lock()
		delete(l.sim.listeners, l.addr)
		l.sim.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.conns:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *simListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// simGossip is a memberlist transport over the simulation.
type simGossip struct {
	host    simHost
	addr    netip.AddrPort
	packet  net.PacketConn
	stream  net.Listener
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	wg      sync.WaitGroup
}

func newSimGossip(h simHost, port uint16) (*simGossip, error) {
	addr := netip.AddrPortFrom(h.addr, port)
	packet, err := h.ListenPacket(addr)
	if err != nil {
		return nil, err
	}
	stream, err := h.Listen(addr)
	if err != nil {
		return nil, err
	}
	g := &simGossip{host: h, addr: addr, packet: packet, stream: stream,
		packets: make(chan *memberlist.Packet, 64), streams: make(chan net.Conn), done: make(chan struct{})}
	g.wg.Go(g.readPackets)
	g.wg.Go(g.readStreams)
	return g, nil
}

func (g *simGossip) readPackets() {
	for {
		buf := make([]byte, 65536)
		n, from, err := g.packet.ReadFrom(buf)
		if err != nil {
			return
		}
		select {
		case g.packets <- &memberlist.Packet{Buf: buf[:n], From: from, Timestamp: time.Now()}:
		case <-g.done:
			return
		}
	}
}

func (g *simGossip) readStreams() {
	for {
		conn, err := g.stream.Accept()
		if err != nil {
			return
		}
		select {
		case g.streams <- conn:
		case <-g.done:
			conn.Close()
			return
		}
	}
}

func (g *simGossip) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IP(g.addr.Addr().AsSlice()), int(g.addr.Port()), nil
}

func (g *simGossip) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = g.packet.WriteTo(append([]byte(nil), b...), net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

func (g *simGossip) PacketCh() <-chan *memberlist.Packet { return g.packets }
func (g *simGossip) StreamCh() <-chan net.Conn           { return g.streams }

func (g *simGossip) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return g.host.Dial(ctx, to)
}

func (g *simGossip) Shutdown() error {
	close(g.done)
	g.stream.Close()
	err := g.packet.Close()
	g.wg.Wait()
	return err
}
