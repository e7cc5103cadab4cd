package geodns

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/skein-mesh/skein/geo"
)

const (
	answers = 3 // nodes that one answer names
	// buckets is how many shares the clients of one location are split into for stickiness.
	buckets = 256
	// maxPicks bounds the answers that a view remembers, about 500 bytes each; past it they are made each time.
	maxPicks = 4096
)

// picked are the answers of the apex to one client, made of the same nodes.
type picked struct{ a, aaaa, https records }

type pickKey struct {
	at     geo.Location
	bucket uint8
}

// picks remembers the answers that a view has given.
type picks struct {
	v4, v6     []geo.Node // nodes with an address of the family
	far4, far6 []geo.Node // the same without round trips, which are measured from here
	made       sync.Map   // pickKey -> *picked
	count      atomic.Int64
}

func (p *picks) reset(nodes []geo.Node) {
	for _, n := range nodes {
		if first(n, netip.Addr.Is4).IsValid() {
			p.v4 = append(p.v4, n)
		}
		if first(n, netip.Addr.Is6).IsValid() {
			p.v6 = append(p.v6, n)
		}
	}
	p.far4, p.far6 = withoutRTT(p.v4), withoutRTT(p.v6)
}

func withoutRTT(nodes []geo.Node) []geo.Node {
	far := slices.Clone(nodes)
	for i := range far {
		far[i].RTT = 0
	}
	return far
}

// pick gives the answers for the client of q and their scope. All clients within the scope share one key, so
// that they share the answer too.
func (v *view) pick(q *query) (*picked, int) {
	client, shared := q.client()
	var at geo.Location
	scope := 0
	if shared {
		at, scope = v.locator.Locate(client)
		client = netip.PrefixFrom(client.Addr(), scope).Masked()
	} else {
		at = v.locator.LocateAddr(q.source)
	}
	if at.Source == geo.Unlocated {
		at = v.locator.Home(v.home)
	}
	key := pickKey{at, uint8(geo.Key(client) % buckets)}
	if p, ok := v.picks.made.Load(key); ok {
		return p.(*picked), scope
	}
	p := v.makePick(key)
	if v.picks.count.Load() < maxPicks {
		if _, had := v.picks.made.LoadOrStore(key, p); !had {
			v.picks.count.Add(1)
		}
	}
	return p, scope
}

// makePick ranks the nodes. Round trips are measured from this node, so they stand for the clients of its region only.
func (v *view) makePick(key pickKey) *picked {
	v4, v6 := v.picks.v4, v.picks.v6
	if key.at.Region != v.home {
		v4, v6 = v.picks.far4, v.picks.far6
	}
	nodes4 := v.locator.Rank(v4, key.at, uint64(key.bucket))
	nodes6 := v.locator.Rank(v6, key.at, uint64(key.bucket))
	p := &picked{}
	hints := newHints()
	for _, n := range nodes4[:min(len(nodes4), answers)] {
		if addr := first(n, netip.Addr.Is4); hints.add4(n.Port, addr) {
			p.a.addAddr(pointer(headerLen), addr, v.ttl)
		}
	}
	for _, n := range nodes6[:min(len(nodes6), answers)] {
		if addr := first(n, netip.Addr.Is6); hints.add6(n.Port, addr) {
			p.aaaa.addAddr(pointer(headerLen), addr, v.ttl)
		}
	}
	for i, port := range hints.ports {
		if t := tail(hints.record(i, port, v.ttl)); t != nil {
			p.https.add(pointer(headerLen), t)
		}
	}
	return p
}

// first gives the node's preferred address of a family, in plain form.
func first(n geo.Node, family func(netip.Addr) bool) netip.Addr {
	for _, a := range n.Addrs {
		if a = a.Unmap().WithZone(""); family(a) {
			return a
		}
	}
	return netip.Addr{}
}

// hints collect the addresses of an HTTPS answer by port: one record for each, the nearest node's first.
type hints struct {
	ports  []uint16
	v4, v6 map[uint16][]netip.Addr
	seen   map[netip.Addr]bool
}

func newHints() *hints {
	return &hints{v4: map[uint16][]netip.Addr{}, v6: map[uint16][]netip.Addr{}, seen: map[netip.Addr]bool{}}
}

// add4 and add6 report whether the address is new to the answer.
func (h *hints) add4(port uint16, a netip.Addr) bool { return h.add(h.v4, port, a) }
func (h *hints) add6(port uint16, a netip.Addr) bool { return h.add(h.v6, port, a) }

func (h *hints) add(to map[uint16][]netip.Addr, port uint16, a netip.Addr) bool {
	if !slices.Contains(h.ports, port) {
		h.ports = append(h.ports, port)
	}
	if !slices.Contains(to[port], a) {
		to[port] = append(to[port], a)
	}
	fresh := !h.seen[a]
	h.seen[a] = true
	return fresh
}

// record is the i-th HTTPS record (RFC 9460, sections 2 and 9): the endpoint is the apex itself, with HTTP/3 and
// HTTP/2 on the same port. Port 0 leaves it at the default.
func (h *hints) record(i int, port uint16, ttl uint32) dns.RR {
	rr := &dns.HTTPS{SVCB: dns.SVCB{Hdr: header(dns.TypeHTTPS, ttl), Priority: uint16(i + 1), Target: "."}}
	rr.Value = append(rr.Value, &dns.SVCBAlpn{Alpn: []string{"h3", "h2"}})
	if port != 0 {
		rr.Value = append(rr.Value, &dns.SVCBPort{Port: port})
	}
	if v4 := h.v4[port]; len(v4) > 0 {
		hint := &dns.SVCBIPv4Hint{}
		for _, a := range v4 {
			hint.Hint = append(hint.Hint, a.AsSlice())
		}
		rr.Value = append(rr.Value, hint)
	}
	if v6 := h.v6[port]; len(v6) > 0 {
		hint := &dns.SVCBIPv6Hint{}
		for _, a := range v6 {
			hint.Hint = append(hint.Hint, a.AsSlice())
		}
		rr.Value = append(rr.Value, hint)
	}
	return rr
}
