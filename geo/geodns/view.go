package geodns

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/geo"
)

const (
	maxNS       = 6               // name servers that the zone names
	negativeTTL = 5 * time.Second // SOA MINIMUM (RFC 2308): a node that joins is soon seen
	maxNodeAddr = 8               // addresses of one node that are served
	nodesLabel  = "nodes"
)

// What a name of the zone is.
const (
	apexName  = iota
	nodeName  // NODE.nodes
	emptyName // has names below it, and no record (RFC 8020)
)

// owner is a name of the zone.
type owner struct {
	kind    int
	a, aaaa records // of a node
}

// view is a snapshot made ready to be served. Only its picks change.
type view struct {
	self  string
	home  skein.Region
	zone  []byte            // wire form, lower case
	names map[string]*owner // by the wire form of the labels before the zone

	soa, ns, glue, any records // owned by the name in question; glue by names below it
	negative           []byte  // SOA for negative answers, without its owner

	locator *geo.Locator
	ttl     uint32 // seconds
	stale   bool
	picks   picks
}

// member is a node whose name fits the zone.
type member struct {
	geo.Node
	name string // NODE.nodes.ZONE.
}

// newView builds the view of nodes; gone are further nodes that only keep their names.
func newView(c Config, snap Snapshot, nodes, gone []geo.Node, stale bool) *view {
	v := &view{
		self: string(c.Self.Node), home: c.Self.Region, locator: snap.Locator, stale: stale,
		zone: wire(c.Zone), names: map[string]*owner{"": {kind: apexName}}, ttl: seconds(c.TTL),
	}
	if stale || slices.ContainsFunc(nodes, risky) {
		v.ttl = seconds(c.RiskTTL)
	}
	members := named(c.Zone, nodes)
	for _, m := range members {
		v.addNode(m)
	}
	for _, m := range named(c.Zone, gone) {
		v.addNode(m)
	}
	servers := nameServers(members)
	v.addServers(servers)
	v.addSOA(c.Zone, servers, uint32(snap.Epoch))
	v.any = owned(tail(&dns.HINFO{Hdr: header(dns.TypeHINFO, v.ttl), Cpu: "RFC8482"}))
	v.picks.reset(nodes)
	return v
}

// risky reports whether the answers are about to change.
func risky(n geo.Node) bool { return n.Suspect || n.Draining && n.Healthy }

// named gives the nodes that can have a name in the zone, by id. Ids are case-sensitive and may hold dots in places
// where names may not: such nodes are served at the apex only.
func named(zone string, nodes []geo.Node) []member {
	var out []member
	for _, n := range nodes {
		name := strings.ToLower(string(n.Node)) + "." + nodesLabel + "." + zone
		if _, ok := dns.IsDomainName(name); ok && skein.ValidName(string(n.Node)) && len(wire(name)) > 0 {
			out = append(out, member{n, name})
		}
	}
	slices.SortFunc(out, func(a, b member) int { return cmp.Compare(a.Node.Node, b.Node.Node) })
	return out
}

func (v *view) addNode(m member) {
	full := wire(m.name)
	labels := full[:len(full)-len(v.zone)]
	o := v.names[string(labels)]
	if o == nil || o.kind == emptyName {
		o = &owner{kind: nodeName}
		v.names[string(labels)] = o
		for i, addr := range m.Addrs {
			if i < maxNodeAddr {
				o.add(addr, v.ttl)
			}
		}
	}
	for rest := labels[1+labels[0]:]; len(rest) > 0; rest = rest[1+rest[0]:] {
		if v.names[string(rest)] == nil {
			v.names[string(rest)] = &owner{kind: emptyName}
		}
	}
}

func (o *owner) add(addr netip.Addr, ttl uint32) {
	addr = addr.Unmap()
	switch {
	case addr.Is4():
		o.a.addAddr(pointer(headerLen), addr, ttl)
	case addr.Is6():
		o.aaaa.addAddr(pointer(headerLen), addr, ttl)
	}
}

// nameServers chooses the nodes that the zone names as its servers: over all regions, then over their zones. They do
// not follow health below death, since resolvers keep the set and try the next one by themselves.
func nameServers(all []member) []member {
	alive := slices.DeleteFunc(slices.Clone(all), func(m member) bool { return !m.Healthy && !m.Suspect })
	if len(alive) == 0 {
		alive = slices.Clone(all)
	}
	type place struct {
		region skein.Region
		zone   skein.Zone
	}
	inZone, inRegion := map[place]int{}, map[skein.Region]int{}
	type seat struct {
		member
		round, turn int // how many of its zone, then of its region, come before it
	}
	var seats []seat
	for _, m := range alive {
		p := place{m.Region, m.Zone}
		seats = append(seats, seat{member: m, round: inZone[p]})
		inZone[p]++
	}
	slices.SortStableFunc(seats, func(a, b seat) int { return cmp.Compare(a.round, b.round) })
	for i := range seats {
		seats[i].turn = inRegion[seats[i].Region]
		inRegion[seats[i].Region]++
	}
	slices.SortStableFunc(seats, func(a, b seat) int { return cmp.Compare(a.turn, b.turn) })
	var out []member
	for _, s := range seats[:min(len(seats), maxNS)] {
		out = append(out, s.member)
	}
	return out
}

// addServers builds NS and its glue. Both are only served when the question is the apex itself, so that the zone's
// name is at a fixed place.
func (v *view) addServers(servers []member) {
	for _, m := range servers {
		v.ns.add(pointer(headerLen), tail(&dns.NS{Hdr: header(dns.TypeNS, v.ttl), Ns: m.name}))
		full := wire(m.name)
		name := slices.Concat(full[:len(full)-len(v.zone)], pointer(headerLen))
		for i, addr := range m.Addrs {
			if i < maxNodeAddr && addr.IsValid() {
				v.glue.addAddr(name, addr.Unmap(), v.ttl)
			}
		}
	}
}

func (v *view) addSOA(zone string, servers []member, serial uint32) {
	soa := dns.SOA{
		Hdr: header(dns.TypeSOA, v.ttl), Ns: zone, Mbox: "hostmaster." + zone, Serial: serial,
		Refresh: 3600, Retry: 600, Expire: 86400, Minttl: seconds(negativeTTL),
	}
	if len(servers) > 0 {
		soa.Ns = servers[0].name
	}
	v.soa = owned(tail(&soa))
	soa.Hdr.Ttl = min(v.ttl, soa.Minttl)
	v.negative = tail(&soa)
}

// find looks a name up; ours says whether it lies in the zone, a nil owner that it does not exist.
func (v *view) find(name []byte) (at *owner, ours bool) {
	cut := len(name) - len(v.zone)
	if cut < 0 || string(name[cut:]) != string(v.zone) {
		return nil, false
	}
	off := 0
	for off < cut {
		off += 1 + int(name[off])
	}
	if off != cut { // the zone's bytes begin within a label
		return nil, false
	}
	return v.names[string(name[:cut])], true
}

func (r *records) add(owner, tail []byte) {
	r.data = append(append(r.data, owner...), tail...)
	r.count++
}

func (r *records) addAddr(owner []byte, addr netip.Addr, ttl uint32) {
	qtype := dns.TypeAAAA
	if addr.Is4() {
		qtype = dns.TypeA
	}
	var t [rrFixed]byte
	binary.BigEndian.PutUint16(t[:], qtype)
	binary.BigEndian.PutUint16(t[2:], dns.ClassINET)
	binary.BigEndian.PutUint32(t[4:], ttl)
	ip := addr.AsSlice()
	binary.BigEndian.PutUint16(t[8:], uint16(len(ip)))
	r.add(owner, append(t[:], ip...))
}

// owned is one record of the name in question.
func owned(tail []byte) records {
	var r records
	if tail != nil {
		r.add(pointer(headerLen), tail)
	}
	return r
}

// pointer is a compressed name (RFC 1035, section 4.1.4).
func pointer(off int) []byte { return []byte{0xC0 | byte(off>>8), byte(off)} }

func header(qtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: ".", Rrtype: qtype, Class: dns.ClassINET, Ttl: ttl}
}

// tail packs a record, owned by the root, and cuts the owner off. It is nil when the record cannot be packed.
func tail(rr dns.RR) []byte {
	b := make([]byte, dns.Len(rr)+1)
	n, err := dns.PackRR(rr, b, 0, nil, false)
	if err != nil {
		return nil
	}
	return b[1:n]
}

// wire packs a name; it is empty when that is impossible.
func wire(name string) []byte {
	var b [maxName + 1]byte
	n, err := dns.PackDomainName(name, b[:], 0, nil, false)
	if err != nil || n > maxName {
		return nil
	}
	return slices.Clone(b[:n])
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }
