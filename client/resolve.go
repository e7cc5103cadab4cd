package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsTimeout = 900 * time.Millisecond // for all questions to one server
	dnsRepeat  = 300 * time.Millisecond // a datagram may be lost
	dnsSize    = 1232                   // EDNS0 buffer that is never fragmented (DNS flag day 2020)
)

// resolve adds what DNS says to the book; all answers are kept. Without DNS servers it asks the host's
// resolver, and only if no nodes are configured.
func (c *Client) resolve(ctx context.Context) error {
	if len(c.cfg.DNS) == 0 {
		if len(c.cfg.Nodes) > 0 {
			return nil
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", c.cfg.Service)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", c.cfg.Service, err)
		}
		c.book.add(withPort(addrs, c.cfg.Port))
		return nil
	}
	var errs []error
	for _, server := range c.cfg.DNS {
		nodes, err := c.ask(ctx, server)
		if err == nil && len(nodes) == 0 {
			err = errors.New("no address")
		}
		if err == nil {
			c.book.add(nodes)
			return nil
		}
		errs = append(errs, fmt.Errorf("resolve %s at %s: %w", c.cfg.Service, server, err))
	}
	return errors.Join(errs...)
}

// ask puts the questions for HTTPS, A and AAAA to one server at once.
func (c *Client) ask(ctx context.Context, server netip.AddrPort) ([]Node, error) {
	pc, err := c.cfg.DialPacket()
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { pc.SetReadDeadline(time.Now()) })()

	asked := map[uint16]*dns.Msg{}
	for _, kind := range []uint16{dns.TypeHTTPS, dns.TypeA, dns.TypeAAAA} {
		q := new(dns.Msg).SetQuestion(dns.Fqdn(c.cfg.Service), kind)
		q.SetEdns0(dnsSize, false)
		asked[q.Id] = q
	}
	var answers []*dns.Msg
	buf := make([]byte, 4096)
	for repeat := time.Now(); len(asked) > 0; {
		if !time.Now().Before(repeat) {
			if err := sendAll(pc, server, asked); err != nil {
				return nil, err
			}
			repeat = time.Now().Add(dnsRepeat)
		}
		pc.SetReadDeadline(repeat)
		if err := ctx.Err(); err != nil { // checked behind the deadline, which the end of ctx moves up
			if len(answers) > 0 {
				break // a server that ignores a type it does not know
			}
			return nil, err
		}
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			if !time.Now().Before(repeat) {
				continue // the deadline; a socket that broke fails to send
			}
			return nil, err
		}
		m := &dns.Msg{}
		if !sameAddr(from, server) || m.Unpack(buf[:n]) != nil || asked[m.Id] == nil || !m.Response {
			continue // not ours
		}
		delete(asked, m.Id)
		answers = append(answers, m)
	}
	return gather(answers, c.cfg.Port), nil
}

func sendAll(pc net.PacketConn, server netip.AddrPort, asked map[uint16]*dns.Msg) error {
	for _, q := range asked {
		b, err := q.Pack()
		if err != nil {
			return err
		}
		if _, err := pc.WriteTo(b, net.UDPAddrFromAddrPort(server)); err != nil {
			return err
		}
	}
	return nil
}

func sameAddr(from net.Addr, server netip.AddrPort) bool {
	u, ok := from.(*net.UDPAddr)
	if !ok {
		return false
	}
	a := u.AddrPort()
	return a.Port() == server.Port() && a.Addr().Unmap().WithZone("") == server.Addr().Unmap().WithZone("")
}

// gather reads the addresses of all answers: first those of HTTPS records by priority, with their port (RFC
// 9460, sections 7.2 and 7.3), then A and AAAA with the default port. Each address is kept once.
func gather(answers []*dns.Msg, port uint16) []Node {
	var services []*dns.HTTPS
	var plain []netip.Addr
	for _, m := range answers {
		for _, rr := range m.Answer {
			switch rr := rr.(type) {
			case *dns.HTTPS:
				if rr.Priority > 0 {
					services = append(services, rr)
				}
			case *dns.A:
				plain = appendIP(plain, rr.A)
			case *dns.AAAA:
				plain = appendIP(plain, rr.AAAA)
			}
		}
	}
	slices.SortStableFunc(services, func(a, b *dns.HTTPS) int { return int(a.Priority) - int(b.Priority) })
	var nodes []Node
	plainPort := port
	for _, s := range services {
		at, hints := port, []netip.Addr(nil)
		for _, v := range s.Value {
			switch v := v.(type) {
			case *dns.SVCBPort:
				at = v.Port
			case *dns.SVCBIPv4Hint:
				for _, ip := range v.Hint {
					hints = appendIP(hints, ip)
				}
			case *dns.SVCBIPv6Hint:
				for _, ip := range v.Hint {
					hints = appendIP(hints, ip)
				}
			}
		}
		if plainPort == port {
			plainPort = at
		}
		nodes = append(nodes, withPort(hints, at)...)
	}
	nodes = append(nodes, withPort(plain, plainPort)...)
	var unique []Node
	for _, n := range nodes {
		if usable(n.QUIC) && !slices.Contains(unique, n) && len(unique) < maxNodes {
			unique = append(unique, n)
		}
	}
	return unique
}

func appendIP(to []netip.Addr, ip net.IP) []netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return to
	}
	return append(to, a.Unmap())
}

func withPort(addrs []netip.Addr, port uint16) []Node {
	nodes := make([]Node, 0, len(addrs))
	for _, a := range addrs {
		nodes = append(nodes, Node{QUIC: netip.AddrPortFrom(a.Unmap(), port)})
	}
	return nodes
}
