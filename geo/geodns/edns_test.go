package geodns

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/geo"
)

func TestSubnetScope(t *testing.T) {
	s := newServer(t, nine())
	tests := []struct {
		name   string
		qname  string
		qtype  uint16
		client string
		scope  uint8
	}{
		{"table", zone, dns.TypeA, "192.0.2.0/24", 24},
		{"capped", zone, dns.TypeA, "192.0.2.77/32", 24},
		{"a longer prefix lies next to it", zone, dns.TypeA, "10.1.3.0/24", 24},
		{"and one bit further", zone, dns.TypeA, "10.1.4.0/24", 22},
		{"far from it", zone, dns.TypeAAAA, "10.200.0.0/16", 9},
		{"source too short to tell", zone, dns.TypeA, "10.0.0.0/8", 16},
		{"not located", zone, dns.TypeHTTPS, "64.1.2.0/24", 2},
		{"IPv6", zone, dns.TypeA, "2001:db8:1::/56", 48},
		{"IPv6 capped", zone, dns.TypeA, "2001:db8:1:2:3::/80", 48},
		{"unused", zone, dns.TypeSOA, "192.0.2.0/24", 0},
		{"unused by NS", zone, dns.TypeNS, "192.0.2.0/24", 0},
		{"no data", zone, dns.TypeMX, "192.0.2.0/24", 0},
		{"no name", "x." + zone, dns.TypeA, "192.0.2.0/24", 0},
		{"a node's own name", "eu-a.nodes." + zone, dns.TypeA, "192.0.2.0/24", 0},
		{"another zone", "example.org.", dns.TypeA, "192.0.2.0/24", 0},
		{"source 0", zone, dns.TypeA, "0.0.0.0/0", 0},
		{"source 0, IPv6", zone, dns.TypeA, "::/0", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := subnetOf(ask(t, s, withSubnet(question(tt.qname, tt.qtype), tt.client)))
			p := netip.MustParsePrefix(tt.client)
			if got == nil || int(got.SourceNetmask) != p.Bits() || !got.Address.Equal(p.Addr().AsSlice()) {
				t.Fatalf("got %v, want source %s", got, p)
			}
			if got.SourceScope != tt.scope {
				t.Errorf("got scope %d, want %d", got.SourceScope, tt.scope)
			}
		})
	}
	q := question(zone, dns.TypeA)
	q.SetEdns0(1232, false)
	if got := subnetOf(ask(t, s, q)); got != nil {
		t.Errorf("a query without the option: got %v", got)
	}
}

// TestAnswerIsTheSameWithinScope is what lets a resolver share it (RFC 7871, section 7.3.1).
func TestAnswerIsTheSameWithinScope(t *testing.T) {
	nodes := nine()
	for i := range 20 {
		n := nodes[i%3]
		n.Node = skein.NodeID(fmt.Sprintf("eu-x%d", i))
		n.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 1, byte(50 + i)})}
		nodes = append(nodes, n)
	}
	s := newServer(t, nodes)
	within := map[netip.Prefix][]string{}
	for a := range 40 {
		for b := range 40 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(a), byte(b), 0}), 16+8*(b%2)).Masked()
			r := ask(t, s, withSubnet(question(zone, dns.TypeA), p.String()))
			scope := int(subnetOf(r).SourceScope)
			got := addrs(r)
			key := netip.PrefixFrom(p.Addr(), scope).Masked()
			if old, ok := within[key]; ok && !slices.Equal(old, got) {
				t.Fatalf("%s: got %v, but %s was told %v", p, got, key, old)
			}
			within[key] = got
		}
	}
	for x := range within {
		for y := range within {
			if x != y && x.Overlaps(y) {
				t.Fatalf("the scopes %s and %s overlap", x, y)
			}
		}
	}
	if len(within) < 4 {
		t.Errorf("got only %d scopes", len(within))
	}
}

// raw builds a query for the apex's A with the given OPT options.
func raw(opts ...[]byte) []byte {
	b, _ := question(zone, dns.TypeA).Pack()
	data := slices.Concat(opts...)
	b[11] = 1
	b = append(b, 0, 0, byte(dns.TypeOPT), 4, 0xD0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

func option(code uint16, data ...byte) []byte {
	return append(appendOption(nil, code, len(data)), data...)
}

func ecs(data ...byte) []byte { return option(dns.EDNS0SUBNET, data...) }

func TestSubnetOption(t *testing.T) {
	s := newServer(t, nine())
	tests := []struct {
		name string
		opt  []byte
		code int
	}{
		{"fine", ecs(0, 1, 24, 0, 192, 0, 2), dns.RcodeSuccess},
		{"part of an octet", ecs(0, 1, 20, 0, 192, 0, 0), dns.RcodeSuccess},
		{"source 0", ecs(0, 1, 0, 0), dns.RcodeSuccess},
		{"family 0 and source 0", ecs(0, 0, 0, 0), dns.RcodeSuccess},
		{"too short", ecs(0, 1, 24), dns.RcodeFormatError},
		{"empty", ecs(), dns.RcodeFormatError},
		{"too few octets", ecs(0, 1, 24, 0, 192, 0), dns.RcodeFormatError},
		{"too many octets", ecs(0, 1, 24, 0, 192, 0, 2, 0), dns.RcodeFormatError},
		{"octets behind source 0", ecs(0, 1, 0, 0, 0), dns.RcodeFormatError},
		{"host bits", ecs(0, 1, 20, 0, 192, 0, 2), dns.RcodeFormatError},
		{"scope in a query", ecs(0, 1, 24, 24, 192, 0, 2), dns.RcodeFormatError},
		{"source beyond IPv4", ecs(0, 1, 33, 0, 192, 0, 2, 1, 0), dns.RcodeFormatError},
		{"source beyond IPv6", slices.Concat(ecs(append([]byte{0, 2, 129, 0}, make([]byte, 17)...)...)), dns.RcodeFormatError},
		{"unknown family", ecs(0, 3, 8, 0, 1), dns.RcodeFormatError},
		{"family 0 with a source", ecs(0, 0, 8, 0, 1), dns.RcodeFormatError},
		{"twice", slices.Concat(ecs(0, 1, 0, 0), ecs(0, 1, 0, 0)), dns.RcodeFormatError},
		{"an option that runs over", []byte{0, 8, 0, 9, 0}, dns.RcodeFormatError},
		{"half an option", []byte{0, 8}, dns.RcodeFormatError},
		{"an option that nobody knows", option(65001, 1, 2, 3), dns.RcodeSuccess},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := askBytes(t, s, raw(tt.opt), false)
			if r.Rcode != tt.code {
				t.Errorf("got %s, want %s", dns.RcodeToString[r.Rcode], dns.RcodeToString[tt.code])
			}
			if r.IsEdns0() == nil || r.Question[0].Name != zone {
				t.Errorf("got %v, want OPT and the question", r)
			}
			if tt.code == dns.RcodeFormatError && len(r.Answer) > 0 {
				t.Errorf("got answers: %v", r)
			}
		})
	}
}

func TestEDNS(t *testing.T) {
	s := newServer(t, nine())
	t.Run("version 1", func(t *testing.T) {
		b := raw()
		b[len(b)-5] = 1
		r := askBytes(t, s, b, false)
		if o := r.IsEdns0(); r.Rcode != dns.RcodeBadVers || o == nil || o.Version() != 0 || len(r.Answer) != 0 {
			t.Errorf("got %v", r)
		}
	})
	t.Run("two OPT records", func(t *testing.T) {
		b := raw()
		b = append(b, b[len(b)-11:]...)
		b[11] = 2
		if r := askBytes(t, s, b, false); r.Rcode != dns.RcodeFormatError {
			t.Errorf("got %v", r)
		}
	})
	t.Run("an OPT record with a name", func(t *testing.T) {
		b := raw()
		b = append(b[:len(b)-11], append([]byte{1, 'x'}, b[len(b)-11:]...)...)
		if r := askBytes(t, s, b, false); r.Rcode != dns.RcodeFormatError {
			t.Errorf("got %v", r)
		}
	})
	t.Run("an OPT record in the answer section", func(t *testing.T) {
		b := raw()
		b[11], b[7] = 0, 1
		if r := askBytes(t, s, b, false); r.Rcode != dns.RcodeFormatError {
			t.Errorf("got %v", r)
		}
	})
	t.Run("none", func(t *testing.T) {
		if r := ask(t, s, question(zone, dns.TypeA)); r.IsEdns0() != nil {
			t.Errorf("got %v, want no OPT", r)
		}
	})
	t.Run("NSID", func(t *testing.T) {
		r := askBytes(t, s, raw(option(dns.EDNS0NSID)), false)
		id, ok := r.IsEdns0().Option[0].(*dns.EDNS0_NSID)
		if !ok || id.Nsid != fmt.Sprintf("%x", "us-a") {
			t.Errorf("got %v, want us-a", r.IsEdns0())
		}
	})
}

// TestSize: long node names make the NS set outgrow a small answer.
func TestSize(t *testing.T) {
	nodes := nine()
	for i := range nodes {
		nodes[i].Node = skein.NodeID(strings.Repeat(fmt.Sprint(i), 60))
		for j := range maxNodeAddr {
			nodes[i].Addrs = append(nodes[i].Addrs, netip.AddrFrom4([4]byte{127, 1, byte(i), byte(j)}))
		}
	}
	s := newServer(t, nodes)
	tests := []struct {
		name      string
		size      uint16 // 0: no EDNS
		stream    bool
		truncated bool
	}{
		{"no EDNS", 0, false, true},
		{"below the least", 100, false, true},
		{"enough for NS, not for the glue", 1232, false, false},
		{"more than we send", 65535, false, false},
		{"TCP", 0, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := question(zone, dns.TypeNS)
			if tt.size > 0 {
				q.SetEdns0(tt.size, false)
			}
			b, _ := q.Pack()
			out := s.handle(nil, b, elsewhere, tt.stream)
			limit := min(max(int(tt.size), 512), maxUDP)
			if !tt.stream && len(out) > limit {
				t.Errorf("got %d bytes, want at most %d", len(out), limit)
			}
			r := askBytes(t, s, b, tt.stream)
			if r.Truncated != tt.truncated || (len(r.Answer) == 0) != tt.truncated {
				t.Errorf("got %d answers, TC %v, want TC %v", len(r.Answer), r.Truncated, tt.truncated)
			}
			if (r.IsEdns0() != nil) != (tt.size > 0) {
				t.Errorf("OPT: got %v", r.IsEdns0())
			}
			if tt.stream && len(r.Extra) == 0 {
				t.Error("TCP: got no glue")
			}
		})
	}
	if n := s.Stats().Truncated; n != 4 {
		t.Errorf("counted %d truncated answers, want 4", n)
	}
}

// TestPicksAreBounded: a flood of made-up subnets does not grow the server.
func TestPicksAreBounded(t *testing.T) {
	var entries []geo.Entry
	for i := range 64 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i), 0, 0}), 16)
		entries = append(entries, geo.Entry{Prefix: p, Region: skein.Region(fmt.Sprintf("r%d", i))})
	}
	table, err := geo.NewTable(entries)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nine())
	s.Update(Snapshot{Nodes: nine(), Locator: &geo.Locator{Table: table}})
	b, _ := question(zone, dns.TypeA).Pack()
	for i := range 3 * maxPicks {
		if out := s.handle(nil, b, netip.AddrFrom4([4]byte{11, byte(i % 64), byte(i / 64), 1}), false); out == nil {
			t.Fatal("no answer")
		}
	}
	if n := s.view.Load().picks.count.Load(); n != maxPicks {
		t.Errorf("remembers %d answers, want %d", n, maxPicks)
	}
}
