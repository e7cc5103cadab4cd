package dev

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/skein-mesh/skein"
)

// Ports are the ports of every node; where the system has one loopback address only, those of the first one.
type Ports struct {
	Client int `json:"client"` // UDP: QUIC; TCP: HTTPS
	DNS    int `json:"dns"`    // UDP and TCP
	Admin  int `json:"admin"`  // TCP
	Gossip int `json:"gossip"` // UDP and TCP, the region's pool
	Global int `json:"global"` // UDP and TCP, the pool of the regions
}

// DefaultPorts need no privileges.
var DefaultPorts = Ports{Client: 8443, DNS: 8053, Admin: 8080, Gossip: 7946, Global: 7947}

// portStride keeps the ports of one node apart from the next one's, where they share an address.
const portStride = 100

// or fills the ports that are 0 from o.
func (p Ports) or(o Ports) Ports {
	return Ports{Client: cmp.Or(p.Client, o.Client), DNS: cmp.Or(p.DNS, o.DNS), Admin: cmp.Or(p.Admin, o.Admin),
		Gossip: cmp.Or(p.Gossip, o.Gossip), Global: cmp.Or(p.Global, o.Global)}
}

// endpoints are the addresses of one node.
type endpoints struct {
	client, dns, admin, gossip, global netip.AddrPort
}

func (p Ports) at(ip netip.Addr, shift int) endpoints {
	on := func(port int) netip.AddrPort { return netip.AddrPortFrom(ip, uint16(port+shift)) }
	return endpoints{on(p.Client), on(p.DNS), on(p.Admin), on(p.Gossip), on(p.Global)}
}

func (e endpoints) list() []socket {
	return []socket{
		{e.client, "QUIC and HTTPS", "--port", "client", true}, {e.dns, "DNS", "--dns-port", "dns", true},
		{e.admin, "admin", "--admin-port", "admin", false}, {e.gossip, "gossip", "--gossip-port", "gossip", true},
		{e.global, "global gossip", "--global-port", "global", true},
	}
}

type socket struct {
	addr netip.AddrPort
	use  string
	flag string
	key  string // below ports in dev.json
	udp  bool   // as well as TCP
}

// assign gives every node its addresses: 127.0.R.N with the same ports on each or, with one address only,
// 127.0.0.1 with ports apart.
func assign(t topology, p Ports, oneAddress bool) (map[skein.NodeID]endpoints, error) {
	all := map[skein.NodeID]endpoints{}
	users := map[netip.AddrPort]string{}
	for i, r := range t {
		for j, n := range r.nodes {
			ip, shift := netip.AddrFrom4([4]byte{127, 0, byte(i + 1), byte(j + 1)}), 0
			if oneAddress {
				ip, shift = netip.AddrFrom4([4]byte{127, 0, 0, 1}), portStride*len(all)
			}
			for _, port := range []int{p.Client, p.DNS, p.Admin, p.Gossip, p.Global} {
				if port < 1 || port+shift > 65535 {
					return nil, fmt.Errorf("port %d of %s: want 1 to 65535; choose lower ports", port+shift, n.Node)
				}
			}
			e := p.at(ip, shift)
			for _, s := range e.list() {
				what := s.use + " of " + string(n.Node)
				if other, taken := users[s.addr]; taken {
					return nil, fmt.Errorf("port %d is meant for %s and for %s: change %s", s.addr.Port(), other, what, s.flag)
				}
				users[s.addr] = what
			}
			all[n.Node] = e
		}
	}
	return all, nil
}

// onlyOneAddress reports whether the system has no loopback address but 127.0.0.1, as on macOS.
func onlyOneAddress() bool {
	c, err := net.ListenPacket("udp4", "127.0.1.1:0")
	if err != nil {
		return true
	}
	c.Close()
	return false
}

// probe binds every socket of a node for an instant; the error is one line that says which port, and what to do: advice
// says how the user gives a socket another port.
func probe(node skein.NodeID, e endpoints, advice func(socket) string) error {
	for _, s := range e.list() {
		err := tryTCP(s.addr)
		kind := "tcp"
		if err == nil && s.udp {
			err, kind = tryUDP(s.addr), "udp"
		}
		if err == nil {
			continue
		}
		where := s.addr.String() + "/" + kind
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%s (%s of %s) is in use: stop what listens there (`ss -lntup 'sport = :%d'` shows it) or %s",
				where, s.use, node, s.addr.Port(), advice(s))
		}
		if errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("%s (%s of %s) needs privileges, as ports below 1024 do: %s", where, s.use, node, advice(s))
		}
		return fmt.Errorf("%s (%s of %s) cannot be bound: %w", where, s.use, node, err)
	}
	return nil
}

func tryTCP(a netip.AddrPort) error {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
	if err != nil {
		return err
	}
	return ln.Close()
}

func tryUDP(a netip.AddrPort) error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	if err != nil {
		return err
	}
	return c.Close()
}
