package geo

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
)

// Node is a candidate for serving a client.
type Node struct {
	Node     skein.NodeID
	Region   skein.Region
	Zone     skein.Zone
	Addrs    []netip.Addr // what clients dial, the preferred one of each family first
	Port     uint16
	Healthy  bool // it is alive
	Suspect  bool // it may be dead; counts whatever Healthy says
	Draining bool
	Load     float32       // 0 idle to 1 full
	RTT      time.Duration // measured round trip between the client, or who stands for it, and the node; 0: unknown
}

const (
	// kmPerMs is how far away a host is for each millisecond of round trip: light in fibre makes 100 km there and
	// back, and cables are taken to be half as long again as the great circle.
	kmPerMs = 66.0
	// bandMs is how far two round trips may be apart for their nodes to be equally near. It is wider than the
	// differences between the zones of a region, narrower than those between continents.
	bandMs = 10.0
	// farMs stands for a round trip of which nothing is known.
	farMs = 300.0
	// minWeight is the share that a full node keeps, so that load alone never empties it.
	minWeight = 0.05
)

// The order of health: a higher tier is used only behind a lower one.
const (
	tierWell = iota
	tierSuspect
	tierDraining
	tierDead
)

type ranked struct {
	node   Node
	tier   int
	abroad bool    // the prefix table decided for another region
	band   int     // round trip in units of bandMs
	km     float64 // from the client to the node's region
	weight float64 // rendezvous weight, the highest wins
}

// Rank orders the nodes for a client: first those that are well, then the suspect ones. Draining nodes are left
// out unless all others are dead, dead ones unless nothing else is left. Within each of these the region that the
// table decided comes first, then the nearer node: by distance, blended with RTT where that was measured. Among
// nodes equally near, each key has its own order, in which a loaded node is first for fewer keys; the
// first three lie in at least two zones where that can be had from nodes that are well. The order of two nodes
// depends on nothing but the two, so that one that leaves moves only the keys that it was first for.
func (l *Locator) Rank(nodes []Node, at Location, key uint64) []Node {
	all := make([]ranked, 0, len(nodes))
	least := tierDead
	for i := range nodes {
		r := l.place(nodes[i], at, key)
		least = min(least, r.tier)
		all = append(all, r)
	}
	last := max(least, tierSuspect) // the last tier that is let in
	all = slices.DeleteFunc(all, func(r ranked) bool { return r.tier > last })
	slices.SortFunc(all, compare)
	spread(all)
	out := make([]Node, len(all))
	for i := range all {
		out[i] = all[i].node
	}
	return out
}

func (l *Locator) place(n Node, at Location, key uint64) ranked {
	r := ranked{node: n, tier: tier(n), abroad: at.Source != ByDatabase && n.Region != at.Region}
	ms := farMs
	r.km = math.MaxFloat64
	if km, ok := l.distance(n.Region, at); ok {
		r.km = km
		ms = km / kmPerMs
		if n.RTT > 0 {
			ms = (ms + milliseconds(n.RTT)) / 2
		}
	} else if n.RTT > 0 {
		ms = milliseconds(n.RTT)
	}
	r.band = int(min(ms, 1e6) / bandMs)
	r.weight = rendezvous(n, key)
	return r
}

// distance from the client to a region; false when either is not on the map.
func (l *Locator) distance(region skein.Region, at Location) (float64, bool) {
	if region == at.Region && at.Source != ByDatabase {
		return 0, true
	}
	if l == nil {
		return 0, false
	}
	to, ok := l.Regions[region]
	if !ok {
		return 0, false
	}
	if _, known := l.Regions[at.Region]; !known && at.Source != ByDatabase {
		return 0, false
	}
	return Distance(at.At, to), true
}

func tier(n Node) int {
	switch {
	case !n.Healthy && !n.Suspect:
		return tierDead
	case n.Draining:
		return tierDraining
	case n.Suspect:
		return tierSuspect
	}
	return tierWell
}

func compare(a, b ranked) int {
	away := 0
	if a.abroad != b.abroad {
		away = 1
		if b.abroad {
			away = -1
		}
	}
	return cmp.Or(cmp.Compare(a.tier, b.tier), away, cmp.Compare(a.band, b.band), cmp.Compare(a.km, b.km),
		cmp.Compare(b.weight, a.weight), cmp.Compare(a.node.Node, b.node.Node))
}

// spread moves the best node of a second zone to third place when the first three lie in one zone.
func spread(all []ranked) {
	if len(all) <= 3 {
		return
	}
	same := func(r ranked) bool { return r.node.Region == all[0].node.Region && r.node.Zone == all[0].node.Zone }
	if !same(all[1]) || !same(all[2]) {
		return
	}
	i := slices.IndexFunc(all, func(r ranked) bool { return !same(r) })
	if i < 0 || all[i].tier != all[0].tier {
		return
	}
	other := all[i]
	copy(all[3:i+1], all[2:i])
	all[2] = other
}

// rendezvous gives the node's weight for a key: highest random weight (D. Thaler, C. Ravishankar, "Using
// Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking 6(1), 1998), with shares
// proportional to 1-Load by the logarithmic method (C. Schindelhauer, G. Schomaker, "Weighted Distributed Hash
// Tables", SPAA 2005).
func rendezvous(n Node, key uint64) float64 {
	share := 1 - float64(n.Load)
	if !(share >= minWeight) { // also a load that is no number
		share = minWeight
	}
	return -min(share, 1) / math.Log(unit(hash(string(n.Node), key)))
}

// hash is FNV-1a over the name, mixed with the key by the finalizer of SplitMix64 (G. Steele and others, "Fast
// Splittable Pseudorandom Number Generators", OOPSLA 2014).
func hash(name string, key uint64) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	h = mix(h) ^ key
	return mix(h + 0x9e3779b97f4a7c15)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// unit maps a hash into the open interval (0, 1).
func unit(h uint64) float64 { return (float64(h>>11) + 0.5) / (1 << 53) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Key makes a stickiness key of a subnet: the clients of one subnet get the same order of near equals.
func Key(p netip.Prefix) uint64 {
	b := p.Masked().Addr().As16()
	return hash(string(b[:]), uint64(p.Bits()))
}
