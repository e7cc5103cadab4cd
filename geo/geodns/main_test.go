package geodns

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/geo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = "assistant.skein.test."

var regions = map[skein.Region]geo.Coordinates{
	"eu": {Latitude: 50.1, Longitude: 8.7}, "us": {Latitude: 39, Longitude: -77.5}, "ap": {Latitude: 35.7, Longitude: 139.7},
}

func locator(t testing.TB) *geo.Locator {
	t.Helper()
	var entries []geo.Entry
	for p, r := range map[string]skein.Region{
		"192.0.2.0/24": "eu", "2001:db8:1::/48": "eu", "198.51.100.0/24": "us", "203.0.113.0/24": "ap",
		"10.0.0.0/8": "eu", "10.1.2.0/24": "us",
	} {
		entries = append(entries, geo.Entry{Prefix: netip.MustParsePrefix(p), Region: r})
	}
	table, err := geo.NewTable(entries)
	if err != nil {
		t.Fatal(err)
	}
	return &geo.Locator{Table: table, Regions: regions}
}

// nine are the nodes of three regions: REGION-ZONE at 127.0.R.Z and 2001:db8:ffff:R::Z.
func nine() []geo.Node {
	var out []geo.Node
	for r, region := range []string{"eu", "us", "ap"} {
		for z, name := range []string{"a", "b", "c"} {
			v6 := netip.MustParseAddr("2001:db8:ffff::").As16()
			v6[7], v6[15] = byte(r+1), byte(z+1)
			out = append(out, geo.Node{
				Node: skein.NodeID(region + "-" + name), Region: skein.Region(region), Zone: skein.Zone(name),
				Addrs:   []netip.Addr{netip.AddrFrom4([4]byte{127, 0, byte(r + 1), byte(z + 1)}), netip.AddrFrom16(v6)},
				Port:    8443,
				Healthy: true,
			})
		}
	}
	return out
}

// noPackets stands in for the sockets of a server that is not run.
type noPackets struct{ net.PacketConn }

func newServer(t testing.TB, nodes []geo.Node) *Server {
	t.Helper()
	s, err := New(Config{
		Zone: "Assistant.Skein.test", Packets: []net.PacketConn{noPackets{}},
		Self: skein.Place{Node: "us-a", Region: "us", Zone: "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if nodes != nil {
		s.Update(Snapshot{Nodes: nodes, Locator: locator(t), Epoch: 42})
	}
	return s
}

func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	return m
}

// withSubnet adds a client subnet option, as in "192.0.2.0/24".
func withSubnet(m *dns.Msg, cidr string) *dns.Msg {
	p := netip.MustParsePrefix(cidr)
	e := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}
	if p.Addr().Is6() {
		e.Family = 2
	}
	m.SetEdns0(1232, false)
	o := m.IsEdns0()
	o.Option = append(o.Option, e)
	return m
}

var elsewhere = netip.MustParseAddr("100.64.0.9")

// ask sends a message's real bytes through the handler and unpacks what comes back.
func ask(t testing.TB, s *Server, m *dns.Msg) *dns.Msg {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return askBytes(t, s, b, false)
}

func askBytes(t testing.TB, s *Server, b []byte, stream bool) *dns.Msg {
	t.Helper()
	out := s.handle(nil, b, elsewhere, stream)
	if out == nil {
		t.Fatal("no answer")
	}
	r := new(dns.Msg)
	if err := r.Unpack(out); err != nil {
		t.Fatalf("unpack the answer: %v\n%x", err, out)
	}
	return r
}

// addrs gives the addresses of an answer, in order.
func addrs(r *dns.Msg) []string {
	var out []string
	for _, rr := range r.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.AAAA:
			out = append(out, rr.AAAA.String())
		}
	}
	return out
}

func all(list []string, prefix string) bool {
	for _, s := range list {
		if !strings.HasPrefix(s, prefix) {
			return false
		}
	}
	return len(list) > 0
}

func subnetOf(r *dns.Msg) *dns.EDNS0_SUBNET {
	if o := r.IsEdns0(); o != nil {
		for _, e := range o.Option {
			if s, ok := e.(*dns.EDNS0_SUBNET); ok {
				return s
			}
		}
	}
	return nil
}

func edeOf(r *dns.Msg) (uint16, bool) {
	if o := r.IsEdns0(); o != nil {
		for _, e := range o.Option {
			if s, ok := e.(*dns.EDNS0_EDE); ok {
				return s.InfoCode, true
			}
		}
	}
	return 0, false
}

// within waits for something that another goroutine does soon.
func within(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: not within 20 s", what)
	}
}
