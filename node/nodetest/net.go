package nodetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// Net is a simulated network of hosts, each with one address. Packets are lost, delayed and cut as told;
// streams are held back while they are cut, and reset when a host is killed, as a kernel does.
type Net struct {
	mu        sync.Mutex // guards the fields below
	rng       *rand.Rand
	packets   map[netip.AddrPort]*simnet.SimConn
	listeners map[netip.AddrPort]*listener
	streams   map[*stream]struct{}
	cut       func(from, to netip.Addr) bool
	latency   func(from, to netip.Addr) time.Duration
	loss      float64
	changed   chan struct{} // closed when cut changes
	nextPort  uint16
	down      map[netip.Addr]bool // killed hosts
}

// NewNet makes a network without faults and with a millisecond between any two hosts.
func NewNet(seed uint64) *Net {
	return &Net{
		rng:       rand.New(rand.NewPCG(seed, 1)),
		packets:   make(map[netip.AddrPort]*simnet.SimConn),
		listeners: make(map[netip.AddrPort]*listener),
		streams:   make(map[*stream]struct{}),
		cut:       func(_, _ netip.Addr) bool { return false },
		latency:   func(_, _ netip.Addr) time.Duration { return time.Millisecond },
		changed:   make(chan struct{}),
		nextPort:  30000,
		down:      make(map[netip.Addr]bool),
	}
}

// Cut holds back what goes from one host to another while f says so; f must be pure. nil heals everything.
func (n *Net) Cut(f func(from, to netip.Addr) bool) {
	if f == nil {
		f = func(_, _ netip.Addr) bool { return false }
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = f
	close(n.changed)
	n.changed = make(chan struct{})
}

// Latency sets the time from one host to another; f must be pure.
func (n *Net) Latency(f func(from, to netip.Addr) time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latency = f
}

// Loss drops this share of all packets, 0 to 1; streams lose nothing.
func (n *Net) Loss(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// Kill closes every socket of a host; its peers see their streams reset, and nothing at all of its packets. The host
// can open no socket until Revive.
func (n *Net) Kill(host netip.Addr) {
	n.mu.Lock()
	n.down[host] = true
	var ends []interface{ Close() error }
	var resets []*stream
	for at, c := range n.packets {
		if at.Addr() == host {
			ends = append(ends, c)
			delete(n.packets, at)
		}
	}
	for at, l := range n.listeners {
		if at.Addr() == host {
			ends = append(ends, l)
		}
	}
	for s := range n.streams {
		if s.local.Addr() == host {
			resets = append(resets, s)
		}
	}
	n.mu.Unlock()
	for _, c := range ends {
		c.Close()
	}
	for _, s := range resets {
		s.abort()
	}
}

// Revive lets a killed host open sockets again.
func (n *Net) Revive(host netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.down, host)
}

// Host gives the network as one host sees it. It satisfies mesh.Network.
func (n *Net) Host(addr netip.Addr) *Host { return &Host{net: n, addr: addr} }

// path says what happens to something sent now: how long it takes and whether it is cut.
func (n *Net) path(from, to netip.Addr) (time.Duration, bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.latency(from, to), n.cut(from, to), n.changed
}

// SendPacket delivers, delays or drops. It satisfies simnet.Router.
func (n *Net) SendPacket(p simnet.Packet) error {
	from, to := addrPort(p.From), addrPort(p.To)
	n.mu.Lock()
	dst := n.packets[to]
	drop := dst == nil || n.cut(from.Addr(), to.Addr()) || n.loss > 0 && n.rng.Float64() < n.loss
	after := n.latency(from.Addr(), to.Addr())
	n.mu.Unlock()
	if drop {
		return nil
	}
	time.AfterFunc(after, func() { dst.RecvPacket(p) })
	return nil
}

// AddNode is called by simnet for a new connection, which Host registers itself.
func (n *Net) AddNode(net.Addr, simnet.PacketReceiver) {}

func addrPort(a net.Addr) netip.AddrPort {
	var at netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		at = a.AddrPort()
	case *net.TCPAddr:
		at = a.AddrPort()
	default:
		at, _ = netip.ParseAddrPort(a.String())
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// Host is one host of a Net.
type Host struct {
	net  *Net
	addr netip.Addr
}

func (n *Net) portLocked(want uint16) uint16 {
	if want != 0 {
		return want
	}
	n.nextPort++
	return n.nextPort
}

// ListenPacket binds a simulated UDP socket on this host; the address in at is ignored, port 0 picks one.
func (h *Host) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at = netip.AddrPortFrom(h.addr, h.net.portLocked(at.Port()))
	if h.net.down[h.addr] {
		return nil, fmt.Errorf("listen udp %s: %w", at, syscall.ENETDOWN)
	}
	if h.net.packets[at] != nil {
		return nil, fmt.Errorf("listen udp %s: %w", at, syscall.EADDRINUSE)
	}
	c := simnet.NewSimConn(net.UDPAddrFromAddrPort(at), h.net)
	h.net.packets[at] = c
	return &packetConn{SimConn: c, net: h.net, at: at}, nil
}

type packetConn struct {
	*simnet.SimConn
	net *Net
	at  netip.AddrPort
}

// Close frees the port.
func (c *packetConn) Close() error {
	c.net.mu.Lock()
	if c.net.packets[c.at] == c.SimConn {
		delete(c.net.packets, c.at)
	}
	c.net.mu.Unlock()
	return c.SimConn.Close()
}

// Listen binds a simulated TCP listener on this host; the address in at is ignored, port 0 picks one.
func (h *Host) Listen(at netip.AddrPort) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at = netip.AddrPortFrom(h.addr, h.net.portLocked(at.Port()))
	if h.net.down[h.addr] {
		return nil, fmt.Errorf("listen tcp %s: %w", at, syscall.ENETDOWN)
	}
	if h.net.listeners[at] != nil {
		return nil, fmt.Errorf("listen tcp %s: %w", at, syscall.EADDRINUSE)
	}
	l := &listener{net: h.net, at: at, queue: make(chan *stream, 64), closed: make(chan struct{})}
	h.net.listeners[at] = l
	return l, nil
}

// Dial connects to a listener: refused where there is none, held while the path is cut.
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	for {
		there, cutThere, changed := h.net.path(h.addr, to.Addr())
		back, cutBack, _ := h.net.path(to.Addr(), h.addr)
		if cutThere || cutBack {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, fmt.Errorf("dial %s: %w", to, context.Cause(ctx))
			}
		}
		select {
		case <-time.After(there + back):
		case <-ctx.Done():
			return nil, fmt.Errorf("dial %s: %w", to, context.Cause(ctx))
		}
		return h.net.connect(h.addr, to)
	}
}

func (n *Net) connect(from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down[from] {
		return nil, fmt.Errorf("dial %s: %w", to, syscall.ENETDOWN)
	}
	l := n.listeners[to]
	if l == nil {
		return nil, fmt.Errorf("dial %s: %w", to, syscall.ECONNREFUSED)
	}
	local := netip.AddrPortFrom(from, n.portLocked(0))
	near, far := newStreams(n, local, to)
	select {
	case l.queue <- far:
		n.streams[near], n.streams[far] = struct{}{}, struct{}{}
		return near, nil
	default:
		return nil, fmt.Errorf("dial %s: %w", to, syscall.ECONNREFUSED)
	}
}

type listener struct {
	net    *Net
	at     netip.AddrPort
	queue  chan *stream
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case s := <-l.queue:
		return s, nil
	case <-l.closed:
		return nil, errors.Join(net.ErrClosed)
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		if l.net.listeners[l.at] == l {
			delete(l.net.listeners, l.at)
		}
		l.net.mu.Unlock()
		close(l.closed)
		for {
			select {
			case s := <-l.queue:
				s.abort()
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }
