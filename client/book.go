package client

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// book is what the client knows of the mesh: all nodes from the configuration, from DNS, and from the
// newest list that a node sent. Nodes are told apart by address.
type book struct {
	instance skein.ClientID

	mu    sync.Mutex // guards the fields below
	nodes []entry
}

type entry struct {
	Node
	told     bool // only a node's list names it; the next list may drop it
	weight   uint64
	failures int
	shunned  time.Time // tried last until then: it failed
	leaving  time.Time // likewise: it said that it goes
}

// add remembers nodes from the configuration or from DNS, in their order.
func (b *book) add(nodes []Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range nodes {
		b.merge(n, false)
	}
}

// told takes a list that the node at keep sent: addresses that only an older list named are forgotten.
func (b *book) told(nodes []Node, keep netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = slices.DeleteFunc(b.nodes, func(e entry) bool {
		return e.told && e.QUIC != keep && !slices.ContainsFunc(nodes, func(n Node) bool { return n.QUIC == e.QUIC })
	})
	for _, n := range nodes {
		b.merge(n, true)
	}
}

func (b *book) merge(n Node, told bool) {
	n.QUIC = netip.AddrPortFrom(n.QUIC.Addr().Unmap(), n.QUIC.Port())
	if !usable(n.QUIC) {
		return
	}
	if e := b.find(n.QUIC); e != nil {
		e.ID, e.Region, e.Zone = cmp.Or(n.ID, e.ID), cmp.Or(n.Region, e.Region), cmp.Or(n.Zone, e.Zone)
		return
	}
	if len(b.nodes) >= maxNodes {
		return
	}
	e := entry{Node: n, told: told}
	if told {
		// Every client of a dead node got the same list: each goes its own way through it.
		h := fnv.New64a()
		h.Write([]byte(b.instance))
		h.Write([]byte(n.QUIC.String()))
		e.weight = 1 + h.Sum64()>>1
	}
	b.nodes = append(b.nodes, e)
}

func (b *book) find(a netip.AddrPort) *entry {
	for i := range b.nodes {
		if b.nodes[i].QUIC == a {
			return &b.nodes[i]
		}
	}
	return nil
}

// failed shuns a node for 2 s, and twice as long each time, up to 30 s.
func (b *book) failed(a netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.find(a); e != nil {
		e.shunned = time.Now().Add(min(2*time.Second<<min(e.failures, 4), 30*time.Second))
		e.failures++
	}
}

// answered forgets the failures of a node, and takes in what it said of itself.
func (b *book) answered(n Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.find(n.QUIC); e != nil {
		e.failures, e.shunned = 0, time.Time{}
		e.ID, e.Region, e.Zone = cmp.Or(n.ID, e.ID), cmp.Or(n.Region, e.Region), cmp.Or(n.Zone, e.Zone)
	}
}

// goes shuns a node that drains.
func (b *book) goes(a netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.find(a); e != nil {
		e.leaving = time.Now().Add(time.Minute)
	}
}

// ranked gives all nodes, the best to go to from near first: those that have not just failed, that do not
// leave, in near's region, in another zone than near's.
func (b *book) ranked(near Node) []Node {
	b.mu.Lock()
	nodes := slices.Clone(b.nodes)
	b.mu.Unlock()
	now := time.Now()
	slices.SortStableFunc(nodes, func(x, y entry) int {
		return cmp.Or(cmp.Compare(x.class(near, now), y.class(near, now)), cmp.Compare(x.weight, y.weight))
	})
	out := make([]Node, len(nodes))
	for i := range nodes {
		out[i] = nodes[i].Node
	}
	return out
}

// fresh reports whether the node at a has not just failed and does not leave.
func (b *book) fresh(a netip.AddrPort) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, now := b.find(a), time.Now()
	return e != nil && !now.Before(e.shunned) && !now.Before(e.leaving)
}

// named completes n with what is known of its address.
func (b *book) named(n Node) Node {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.find(n.QUIC); e != nil {
		n.ID, n.Region, n.Zone = cmp.Or(n.ID, e.ID), cmp.Or(n.Region, e.Region), cmp.Or(n.Zone, e.Zone)
	}
	return n
}

func (e *entry) class(near Node, now time.Time) (class int) {
	if now.Before(e.shunned) {
		class += 8
	}
	if now.Before(e.leaving) {
		class += 4
	}
	if near.Region != "" && e.Region != "" && e.Region != near.Region {
		class += 2
	}
	if near.Zone != "" && e.Region == near.Region && e.Zone == near.Zone {
		class++
	}
	return class
}

// peers reads a node's list; what is not an address is left out.
func peers(list []*wire.Peer) []Node {
	var nodes []Node
	for _, p := range list[:min(len(list), maxNodes)] {
		for _, s := range p.GetAddresses()[:min(len(p.GetAddresses()), 4)] {
			a, err := netip.ParseAddrPort(s)
			if err != nil || !usable(a) || len(nodes) >= maxNodes {
				continue
			}
			nodes = append(nodes, Node{
				ID: skein.NodeID(p.GetNode()), Region: skein.Region(p.GetRegion()), Zone: skein.Zone(p.GetZone()),
				QUIC: netip.AddrPortFrom(a.Addr().Unmap(), a.Port()),
			})
		}
	}
	return nodes
}
