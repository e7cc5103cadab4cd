package nodetest

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Gossip is a memberlist transport on one host of a Net. It loses what nobody reads, as UDP does.
type Gossip struct {
	host    *Host
	at      netip.AddrPort
	packets net.PacketConn
	streams net.Listener
	in      chan *memberlist.Packet
	conns   chan net.Conn
	quit    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
}

// NewGossip binds the port on the host.
func NewGossip(h *Host, port uint16) (*Gossip, error) {
	at := netip.AddrPortFrom(h.addr, port)
	pc, err := h.ListenPacket(at)
	if err != nil {
		return nil, err
	}
	l, err := h.Listen(at)
	if err != nil {
		pc.Close()
		return nil, err
	}
	g := &Gossip{host: h, at: at, packets: pc, streams: l, in: make(chan *memberlist.Packet, 256), conns: make(chan net.Conn, 16), quit: make(chan struct{})}
	g.wg.Go(g.readPackets)
	g.wg.Go(g.acceptStreams)
	return g, nil
}

func (g *Gossip) readPackets() {
	buf := make([]byte, 65536)
	for {
		n, from, err := g.packets.ReadFrom(buf)
		if err != nil {
			return
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}
		select {
		case g.in <- p:
		default: // lost
		}
	}
}

func (g *Gossip) acceptStreams() {
	for {
		c, err := g.streams.Accept()
		if err != nil {
			return
		}
		select {
		case g.conns <- c:
		case <-g.quit:
			c.Close()
			return
		}
	}
}

// FinalAdvertiseAddr gives the host's own address.
func (g *Gossip) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return g.at.Addr().AsSlice(), int(g.at.Port()), nil
}

// WriteTo sends one packet.
func (g *Gossip) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = g.packets.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

// PacketCh gives what arrived.
func (g *Gossip) PacketCh() <-chan *memberlist.Packet { return g.in }

// DialTimeout opens a stream.
func (g *Gossip) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return g.host.Dial(ctx, to)
}

// StreamCh gives the streams that others opened.
func (g *Gossip) StreamCh() <-chan net.Conn { return g.conns }

// Shutdown closes the sockets and waits for the readers.
func (g *Gossip) Shutdown() error {
	g.once.Do(func() {
		close(g.quit)
		g.packets.Close()
		g.streams.Close()
		g.wg.Wait()
	})
	return nil
}
