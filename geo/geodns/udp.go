package geodns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// maxQuery is the largest request that is read. Real ones, padded too, stay below 512 bytes.
const maxQuery = 4096

// datagrams reads requests and answers the last one.
type datagrams interface {
	read(b []byte) (n int, from netip.Addr, err error)
	reply(b []byte) error
}

// servePackets answers in the order of arrival, in one goroutine: an answer takes less than a send does. An answer that
// cannot be sent is dropped; the resolver asks again.
func (s *Server) servePackets(ctx context.Context, conn net.PacketConn) error {
	var d datagrams = &packets{conn: conn}
	if c, ok := conn.(*net.UDPConn); ok {
		d = &udp{conn: c}
	}
	in, out := make([]byte, maxQuery), make([]byte, 0, maxUDP)
	var bad faults
	for {
		n, from, err := d.read(in)
		if err != nil {
			if err := bad.pass(ctx, err); err != nil {
				return fmt.Errorf("read DNS on %s: %w", conn.LocalAddr(), err)
			}
			continue
		}
		bad = 0
		if answer := s.handle(out, in[:n], from, false); answer != nil {
			if err := d.reply(answer); err != nil {
				s.count.dropped.Add(1)
			}
		}
	}
}

// udp is a socket of the host, without an allocation for each packet.
type udp struct {
	conn *net.UDPConn
	peer netip.AddrPort
}

func (u *udp) read(b []byte) (n int, from netip.Addr, err error) {
	n, u.peer, err = u.conn.ReadFromUDPAddrPort(b)
	return n, u.peer.Addr(), err
}

func (u *udp) reply(b []byte) error {
	_, err := u.conn.WriteToUDPAddrPort(b, u.peer)
	return err
}

// packets is any other packet connection, such as a simulated one.
type packets struct {
	conn net.PacketConn
	peer net.Addr
}

func (p *packets) read(b []byte) (n int, from netip.Addr, err error) {
	n, p.peer, err = p.conn.ReadFrom(b)
	return n, addrOf(p.peer), err
}

func (p *packets) reply(b []byte) error {
	_, err := p.conn.WriteTo(b, p.peer)
	return err
}

// addrOf gives the address within a, invalid when there is none: such a peer is not located.
func addrOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	if with, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return with.AddrPort().Addr()
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr()
}
