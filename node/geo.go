package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/geo"
	"github.com/skein-mesh/skein/geo/geodns"
	"github.com/skein-mesh/skein/mesh"
)

func (n *Node) replicaDir() string { return filepath.Join(n.cfg.Dir, "replica") }

// advertised is one of this node's ports as others dial it.
func (n *Node) advertised(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(n.cfg.Advertise, port)
}

func (n *Node) openLocator() (*geo.Locator, error) {
	var entries []geo.Entry
	for _, p := range n.cfg.Geo.Prefixes {
		entries = append(entries, geo.Entry{Prefix: p.Prefix, Region: p.Region})
	}
	table, err := geo.NewTable(entries)
	if err != nil {
		return nil, fmt.Errorf("geo.prefixes: %w", err)
	}
	l := &geo.Locator{Table: table, Regions: make(map[skein.Region]geo.Coordinates)}
	for r, c := range n.cfg.Geo.Coordinates {
		l.Regions[r] = geo.Coordinates{Latitude: c.Latitude, Longitude: c.Longitude}
	}
	if n.cfg.Geo.MMDBFile == "" {
		return l, nil
	}
	data, err := os.ReadFile(n.cfg.Geo.MMDBFile)
	if err != nil {
		return nil, fmt.Errorf("geo.mmdb_file: %w", err)
	}
	if l.Database, err = geo.ParseMMDB(data); err != nil {
		return nil, fmt.Errorf("geo.mmdb_file %s: %w", n.cfg.Geo.MMDBFile, err)
	}
	return l, nil
}

func (n *Node) openDNS() error {
	l, err := n.openLocator()
	if err != nil {
		return err
	}
	n.locator = l
	if n.sockets.dnsPacket == nil {
		return nil
	}
	n.dns, err = geodns.New(geodns.Config{
		Zone: n.cfg.Service, Packets: []net.PacketConn{n.sockets.dnsPacket}, Stream: n.sockets.dnsStream, Self: n.place, Log: n.log,
	})
	return err
}

// debounce is how long changes of the membership are gathered before DNS answers from them.
const debounce = 50 * time.Millisecond

// followDNS keeps the DNS answers at the membership.
func (n *Node) followDNS(ctx context.Context) error {
	var epoch uint64
	var last []geo.Node
	for {
		changed := n.mesh.Changed()
		nodes := n.geoNodes()
		epoch = serial(epoch, time.Now(), sameButLoad(last, nodes))
		last = nodes
		n.dns.Update(geodns.Snapshot{Nodes: nodes, Locator: n.locator, Epoch: epoch})
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(debounce):
		case <-ctx.Done():
			return nil
		}
	}
}

// serial gives the zone's serial number after one update: it stays while only loads have changed, and otherwise
// rises to the second of the change. So it also rises from one node to the next, as far as their clocks agree,
// which a count of each node's own changes does not: a node that started later would answer with a higher one.
func serial(last uint64, now time.Time, same bool) uint64 {
	if same && last > 0 {
		return last
	}
	return max(last+1, uint64(max(now.Unix(), 1)))
}

// sameButLoad reports whether two memberships give the same answers but for the order of near equals.
func sameButLoad(a, b []geo.Node) bool {
	return slices.EqualFunc(a, b, func(a, b geo.Node) bool {
		return a.Node == b.Node && a.Region == b.Region && a.Zone == b.Zone && a.Port == b.Port && a.Draining == b.Draining &&
			a.Healthy == b.Healthy && a.Suspect == b.Suspect && slices.Equal(a.Addrs, b.Addrs)
	})
}

func (n *Node) geoNodes() []geo.Node {
	var out []geo.Node
	for _, m := range n.mesh.Members() {
		if m.Status == mesh.Left || len(m.QUIC) == 0 {
			continue
		}
		g := geo.Node{
			Node: m.Node, Region: m.Region, Zone: m.Zone, Port: m.QUIC[0].Port(), Load: m.Load, Draining: m.Draining,
			Healthy: m.Status == mesh.Alive, Suspect: m.Status == mesh.Suspect,
		}
		for _, a := range m.QUIC {
			g.Addrs = append(g.Addrs, a.Addr())
		}
		out = append(out, g)
	}
	return out
}
