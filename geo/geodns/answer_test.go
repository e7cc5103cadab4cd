package geodns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/geo"
)

func TestCodes(t *testing.T) {
	s := newServer(t, nine())
	tests := []struct {
		name      string
		qname     string
		qtype     uint16
		code      int
		answers   int
		authority string // owner of the SOA, empty for none
		aa        bool
	}{
		{"apex A", zone, dns.TypeA, dns.RcodeSuccess, 3, "", true},
		{"apex AAAA", zone, dns.TypeAAAA, dns.RcodeSuccess, 3, "", true},
		{"apex HTTPS", zone, dns.TypeHTTPS, dns.RcodeSuccess, 1, "", true},
		{"apex SOA", zone, dns.TypeSOA, dns.RcodeSuccess, 1, "", true},
		{"apex NS", zone, dns.TypeNS, dns.RcodeSuccess, 6, "", true},
		{"apex ANY", zone, dns.TypeANY, dns.RcodeSuccess, 1, "", true},
		{"apex without such a type", zone, dns.TypeMX, dns.RcodeSuccess, 0, zone, true},
		{"a type that nobody knows", zone, 65280, dns.RcodeSuccess, 0, zone, true},
		{"node A", "eu-a.nodes." + zone, dns.TypeA, dns.RcodeSuccess, 1, "", true},
		{"node AAAA", "eu-a.nodes." + zone, dns.TypeAAAA, dns.RcodeSuccess, 1, "", true},
		{"node HTTPS", "eu-a.nodes." + zone, dns.TypeHTTPS, dns.RcodeSuccess, 0, zone, true},
		{"node ANY", "eu-a.nodes." + zone, dns.TypeANY, dns.RcodeSuccess, 1, "", true},
		{"empty non-terminal", "nodes." + zone, dns.TypeA, dns.RcodeSuccess, 0, zone, true},
		{"empty non-terminal ANY", "nodes." + zone, dns.TypeANY, dns.RcodeSuccess, 0, zone, true},
		{"unknown node", "eu-z.nodes." + zone, dns.TypeA, dns.RcodeNameError, 0, zone, true},
		{"below a node", "x.eu-a.nodes." + zone, dns.TypeA, dns.RcodeNameError, 0, zone, true},
		{"unknown name", "www." + zone, dns.TypeA, dns.RcodeNameError, 0, zone, true},
		{"another zone", "example.org.", dns.TypeA, dns.RcodeRefused, 0, "", false},
		{"the parent", "skein.test.", dns.TypeNS, dns.RcodeRefused, 0, "", false},
		{"the root", ".", dns.TypeNS, dns.RcodeRefused, 0, "", false},
		{"ends alike, not at a label", "xassistant.skein.test.", dns.TypeA, dns.RcodeRefused, 0, "", false},
		{"transfer", zone, dns.TypeAXFR, dns.RcodeRefused, 0, "", false},
		{"incremental transfer", zone, dns.TypeIXFR, dns.RcodeRefused, 0, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := question(tt.qname, tt.qtype)
			q.SetEdns0(4096, true)
			r := ask(t, s, q)
			if r.Rcode != tt.code || len(r.Answer) != tt.answers || r.Authoritative != tt.aa {
				t.Fatalf("got %s with %d answers, AA %v, want %s with %d, AA %v\n%s", dns.RcodeToString[r.Rcode],
					len(r.Answer), r.Authoritative, dns.RcodeToString[tt.code], tt.answers, tt.aa, r)
			}
			if r.Id != q.Id || !r.Response || !r.RecursionDesired || r.RecursionAvailable || r.Truncated {
				t.Errorf("header: got %+v", r.MsgHdr)
			}
			if o := r.IsEdns0(); o == nil || o.UDPSize() != maxUDP || !o.Do() || o.Version() != 0 {
				t.Errorf("OPT: got %v", o)
			}
			if (len(r.Ns) == 1) != (tt.authority != "") {
				t.Fatalf("authority: got %v", r.Ns)
			}
			if len(r.Ns) == 1 && (r.Ns[0].Header().Name != tt.authority || r.Ns[0].Header().Ttl != 5) {
				t.Errorf("authority: got %v, want %s with TTL 5", r.Ns[0], tt.authority)
			}
			for _, rr := range r.Answer {
				if rr.Header().Name != tt.qname || rr.Header().Ttl != 20 {
					t.Errorf("got %v, want %s with TTL 20", rr, tt.qname)
				}
			}
		})
	}
}

func TestRecords(t *testing.T) {
	s := newServer(t, nine())
	ns := ask(t, s, question(zone, dns.TypeNS))
	if ns.Truncated || len(ns.Answer) != 6 {
		t.Fatalf("NS in 512 bytes: %v", ns)
	}
	perRegion := map[string]int{}
	q := question(zone, dns.TypeNS)
	q.SetEdns0(1232, false)
	ns = ask(t, s, q)
	glue := map[string]int{}
	for _, rr := range ns.Extra {
		glue[rr.Header().Name]++
	}
	for _, rr := range ns.Answer {
		target := rr.(*dns.NS).Ns
		perRegion[target[:2]]++
		if glue[target] != 2 {
			t.Errorf("%s has %d addresses of glue, want 2", target, glue[target])
		}
		if r := ask(t, s, question(target, dns.TypeA)); len(r.Answer) != 1 {
			t.Errorf("%s has no address: %v", target, r)
		}
	}
	if len(perRegion) != 3 || perRegion["eu"] != 2 {
		t.Errorf("name servers by region: got %v, want two in each", perRegion)
	}
	soa := ask(t, s, question(zone, dns.TypeSOA)).Answer[0].(*dns.SOA)
	if soa.Serial != 42 || soa.Minttl != 5 || soa.Ns != ns.Answer[0].(*dns.NS).Ns || soa.Mbox != "hostmaster."+zone {
		t.Errorf("SOA: got %v", soa)
	}
	if h := ask(t, s, question(zone, dns.TypeANY)).Answer[0].(*dns.HINFO); h.Cpu != "RFC8482" || h.Os != "" {
		t.Errorf("ANY: got %v", h)
	}
}

// TestHTTPSHintsEqualAddresses, for clients everywhere.
func TestHTTPSHintsEqualAddresses(t *testing.T) {
	s := newServer(t, nine())
	for _, client := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8:1::/56", "8.8.8.0/24"} {
		a := addrs(ask(t, s, withSubnet(question(zone, dns.TypeA), client)))
		aaaa := addrs(ask(t, s, withSubnet(question(zone, dns.TypeAAAA), client)))
		r := ask(t, s, withSubnet(question(zone, dns.TypeHTTPS), client))
		v4, v6 := []string{}, []string{}
		https := r.Answer[0].(*dns.HTTPS)
		for _, kv := range https.Value {
			switch kv := kv.(type) {
			case *dns.SVCBIPv4Hint:
				for _, ip := range kv.Hint {
					v4 = append(v4, ip.String())
				}
			case *dns.SVCBIPv6Hint:
				for _, ip := range kv.Hint {
					v6 = append(v6, ip.String())
				}
			}
		}
		if !slices.Equal(a, v4) || !slices.Equal(aaaa, v6) {
			t.Errorf("%s: hints %v %v, addresses %v %v", client, v4, v6, a, aaaa)
		}
		if got := https.String(); https.Priority != 1 || https.Target != "." || !strings.Contains(got, `alpn="h3,h2" port="8443"`) {
			t.Errorf("%s: got %s", client, got)
		}
	}
}

// TestOneAddressManyPorts: on a host with one address the ports tell the nodes apart.
func TestOneAddressManyPorts(t *testing.T) {
	nodes := nine()[:3]
	for i := range nodes {
		nodes[i].Addrs = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		nodes[i].Port = uint16(8443 + i)
	}
	s := newServer(t, nodes)
	if got := addrs(ask(t, s, question(zone, dns.TypeA))); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("A: got %v, want one address", got)
	}
	if r := ask(t, s, question(zone, dns.TypeAAAA)); len(r.Answer) != 0 || len(r.Ns) != 1 {
		t.Errorf("AAAA without any: got %v", r)
	}
	r := ask(t, s, question(zone, dns.TypeHTTPS))
	ports := map[uint16]bool{}
	for i, rr := range r.Answer {
		https := rr.(*dns.HTTPS)
		if int(https.Priority) != i+1 {
			t.Errorf("got priority %d, want %d", https.Priority, i+1)
		}
		for _, kv := range https.Value {
			if p, ok := kv.(*dns.SVCBPort); ok {
				ports[p.Port] = true
			}
		}
	}
	if len(ports) != 3 {
		t.Errorf("got ports %v, want three", ports)
	}
}

func TestCaseIsEchoed(t *testing.T) {
	s := newServer(t, nine())
	for _, name := range []string{"aSSistant.SKEIN.tEst.", "EU-a.NoDeS.Assistant.skein.test.", "NoNe.assistant.sKein.test."} {
		r := ask(t, s, question(name, dns.TypeA))
		if r.Question[0].Name != name {
			t.Errorf("question: got %s, want %s", r.Question[0].Name, name)
		}
		for _, rr := range r.Answer {
			if rr.Header().Name != name {
				t.Errorf("answer: got %s, want %s", rr.Header().Name, name)
			}
		}
	}
}

// TestOddNodeNames: a dot makes another label, a name that DNS cannot hold is served at the apex only.
func TestOddNodeNames(t *testing.T) {
	nodes := nine()[:4]
	nodes[0].Node = "rack1.host2"
	nodes[1].Node = "a..b"
	nodes[2].Node = skein.NodeID(strings.Repeat("x", 64))
	nodes[3].Node = "UPPER_case"
	s := newServer(t, nodes)
	for name, code := range map[string]int{
		"rack1.host2.nodes.": dns.RcodeSuccess, "host2.nodes.": dns.RcodeSuccess, "host3.nodes.": dns.RcodeNameError,
		"upper_case.nodes.": dns.RcodeSuccess,
	} {
		if r := ask(t, s, question(name+zone, dns.TypeA)); r.Rcode != code {
			t.Errorf("%s: got %s", name, dns.RcodeToString[r.Rcode])
		}
	}
	if r := ask(t, s, question("host2.nodes."+zone, dns.TypeA)); len(r.Answer) != 0 || len(r.Ns) != 1 {
		t.Errorf("host2.nodes: got %v, want no data", r)
	}
	q := withSubnet(question(zone, dns.TypeA), "192.0.2.0/24")
	if got := addrs(ask(t, s, q)); len(got) != 3 {
		t.Errorf("apex: got %v, want three", got)
	}
}

func TestNearestNodes(t *testing.T) {
	s := newServer(t, nine())
	tests := []struct{ client, v4, v6 string }{
		{"192.0.2.0/24", "127.0.1.", "2001:db8:ffff:1:"},
		{"198.51.100.0/24", "127.0.2.", "2001:db8:ffff:2:"},
		{"203.0.113.0/24", "127.0.3.", "2001:db8:ffff:3:"},
		{"2001:db8:1::/48", "127.0.1.", "2001:db8:ffff:1:"},
		{"8.8.8.0/24", "127.0.2.", "2001:db8:ffff:2:"}, // not located: where the answering node is
	}
	for _, tt := range tests {
		if got := addrs(ask(t, s, withSubnet(question(zone, dns.TypeA), tt.client))); len(got) != 3 || !all(got, tt.v4) {
			t.Errorf("%s A: got %v, want three of %s", tt.client, got, tt.v4)
		}
		if got := addrs(ask(t, s, withSubnet(question(zone, dns.TypeAAAA), tt.client))); len(got) != 3 || !all(got, tt.v6) {
			t.Errorf("%s AAAA: got %v, want three of %s", tt.client, got, tt.v6)
		}
	}
	// Without the option the source decides.
	q, _ := question(zone, dns.TypeA).Pack()
	for from, want := range map[string]string{"192.0.2.200": "127.0.1.", "::ffff:203.0.113.5": "127.0.3.", "2001:db8:1::53": "127.0.1.", "9.9.9.9": "127.0.2."} {
		r := new(dns.Msg)
		if err := r.Unpack(s.handle(nil, q, netip.MustParseAddr(from), false)); err != nil {
			t.Fatal(err)
		}
		if got := addrs(r); len(got) != 3 || !all(got, want) {
			t.Errorf("from %s: got %v, want three of %s", from, got, want)
		}
	}
}

func TestTwoZones(t *testing.T) {
	nodes := nine()
	for i := range 6 { // six more in eu's zone a
		n := nodes[0]
		n.Node = skein.NodeID(fmt.Sprintf("eu-a%d", i))
		n.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 1, byte(100 + i)})}
		nodes = append(nodes, n)
	}
	inA := map[string]bool{"127.0.1.1": true}
	for i := range 6 {
		inA[fmt.Sprintf("127.0.1.%d", 100+i)] = true
	}
	s := newServer(t, nodes)
	for i := range 250 {
		b, _ := question(zone, dns.TypeA).Pack()
		r := new(dns.Msg)
		if err := r.Unpack(s.handle(nil, b, netip.AddrFrom4([4]byte{10, 2, byte(i), 1}), false)); err != nil {
			t.Fatal(err)
		}
		got := addrs(r)
		if len(got) != 3 || !all(got, "127.0.1.") || inA[got[0]] && inA[got[1]] && inA[got[2]] {
			t.Fatalf("client %d: got %v, want three of eu over two zones", i, got)
		}
	}
}

func TestFollowsHealth(t *testing.T) {
	change := func(f func(nodes []geo.Node)) []geo.Node {
		nodes := nine()
		f(nodes)
		return nodes
	}
	tests := []struct {
		name  string
		nodes []geo.Node
		want  []string // addresses in any order
		ttl   uint32
	}{
		{"all well", nine(), []string{"127.0.1.1", "127.0.1.2", "127.0.1.3"}, 20},
		{"one dead: filled from the next region", change(func(n []geo.Node) { n[0].Healthy = false }),
			[]string{"127.0.1.2", "127.0.1.3", "127.0.2.*"}, 20},
		{"one suspect", change(func(n []geo.Node) { n[0].Suspect = true }), []string{"127.0.1.2", "127.0.1.3", "127.0.2.*"}, 5},
		{"one draining", change(func(n []geo.Node) { n[1].Draining = true }), []string{"127.0.1.1", "127.0.1.3", "127.0.2.*"}, 5},
		{"the region dead", change(func(n []geo.Node) { n[0].Healthy, n[1].Healthy, n[2].Healthy = false, false, false }),
			[]string{"127.0.2.*", "127.0.2.*", "127.0.2.*"}, 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := ask(t, newServer(t, tt.nodes), withSubnet(question(zone, dns.TypeA), "192.0.2.0/24"))
			got := addrs(r)
			slices.Sort(got)
			for i := range got {
				if strings.HasPrefix(got[i], "127.0.2.") {
					got[i] = "127.0.2.*"
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if len(r.Answer) > 0 && r.Answer[0].Header().Ttl != tt.ttl {
				t.Errorf("got TTL %d, want %d", r.Answer[0].Header().Ttl, tt.ttl)
			}
			if _, ok := edeOf(r); ok {
				t.Error("got an extended error, want none")
			}
		})
	}
}

// TestLastKnownSet: with nobody well the server repeats what it last knew, and says so.
func TestLastKnownSet(t *testing.T) {
	s := newServer(t, nine())
	dead := nine()
	for i := range dead {
		dead[i].Healthy = false
		dead[i].Suspect = i%2 == 0
	}
	for _, nodes := range [][]geo.Node{dead, {}, dead[:1]} {
		s.Update(Snapshot{Nodes: nodes, Locator: locator(t), Epoch: 43})
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS} {
			r := ask(t, s, withSubnet(question(zone, qtype), "192.0.2.0/24"))
			if r.Rcode != dns.RcodeSuccess || len(r.Answer) == 0 || r.Answer[0].Header().Ttl != 5 {
				t.Fatalf("got %v, want answers with TTL 5", r)
			}
			if code, ok := edeOf(r); !ok || code != dns.ExtendedErrorCodeStaleAnswer {
				t.Errorf("got extended error %d %v, want 3", code, ok)
			}
			if got := addrs(r); qtype == dns.TypeA && !all(got, "127.0.1.") {
				t.Errorf("got %v, want the last known nodes of eu", got)
			}
		}
	}
	s.Update(Snapshot{Nodes: nine(), Locator: locator(t), Epoch: 44})
	if _, ok := edeOf(ask(t, s, withSubnet(question(zone, dns.TypeA), "192.0.2.0/24"))); ok {
		t.Error("still stale after the nodes are back")
	}
	first := newServer(t, dead)
	r := ask(t, first, withSubnet(question(zone, dns.TypeA), "192.0.2.0/24"))
	if _, ok := edeOf(r); !ok || len(r.Answer) != 3 {
		t.Errorf("nobody was ever well: got %v, want the dead ones, marked", r)
	}
}

func TestNoNodes(t *testing.T) {
	s := newServer(t, []geo.Node{})
	for _, qtype := range []uint16{dns.TypeA, dns.TypeHTTPS, dns.TypeNS} {
		if r := ask(t, s, question(zone, qtype)); r.Rcode != dns.RcodeSuccess || len(r.Answer) != 0 || len(r.Ns) != 1 {
			t.Errorf("type %d: got %v, want no data", qtype, r)
		}
	}
	if r := ask(t, s, question(zone, dns.TypeSOA)); len(r.Answer) != 1 {
		t.Errorf("SOA: got %v", r)
	}
}

func TestSilentBeforeFirstUpdate(t *testing.T) {
	s := newServer(t, nil)
	b, _ := question(zone, dns.TypeA).Pack()
	if out := s.handle(nil, b, elsewhere, false); out != nil || s.Stats().Dropped != 1 {
		t.Errorf("got %x, %+v", out, s.Stats())
	}
}

func TestConfigFaults(t *testing.T) {
	_, err := New(Config{Zone: "a..b", TTL: 1, MaxConns: -1})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"a..b", "no packet socket", "whole seconds", "connections -1", "not names"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}
