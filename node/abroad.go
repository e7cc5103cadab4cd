package node

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/gateway"
	"github.com/skein-mesh/skein/mesh"
)

// serviceSession, serviceGroup, serviceRun and serviceRaft name the streams between nodes.
const (
	serviceRaft    = "raft"
	serviceGroup   = "group"
	serviceSession = "session"
	serviceRun     = "run"
	serviceOrder   = "order"
)

// dialAbroad opens a session's stream to a node of its home region: the nearest healthy one, then the others.
func (n *Node) dialAbroad(ctx context.Context, home skein.Region) (net.Conn, error) {
	var last error
	for _, m := range n.near(home) {
		if m.Status != mesh.Alive {
			continue
		}
		dctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		conn, err := n.mesh.Dial(dctx, m.Node, serviceSession)
		cancel()
		if err == nil {
			return conn, nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	if last == nil {
		last = fmt.Errorf("no node of %s is alive", home)
	}
	return nil, skein.Fault(skein.CodeHomeUnreachable, "region %s: %v", home, last)
}

// near lists the members of a region, the best to talk to first: alive, not draining, near, idle.
func (n *Node) near(region skein.Region) []mesh.Member {
	var out []mesh.Member
	cost := make(map[skein.NodeID]float64)
	for _, m := range n.mesh.Members() {
		if m.Region != region || m.Status == mesh.Dead || m.Status == mesh.Left {
			continue
		}
		rtt, _ := n.mesh.RTT(m.Node)
		c := float64(rtt.Milliseconds()) + 50*float64(m.Load)
		if m.Status != mesh.Alive {
			c += 1e6
		}
		if m.Draining {
			c += 1e5
		}
		cost[m.Node] = c
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b mesh.Member) int { return cmp.Compare(cost[a.Node], cost[b.Node]) })
	return out
}

// maxPeers bounds what a client is told.
const maxPeers = 8

// peers tells a client where else it may go: nodes of the session's home first, other zones than this one before it.
func (n *Node) peers(home skein.Region) []gateway.Peer {
	regions := []skein.Region{home}
	if home != n.cfg.Region {
		regions = append(regions, n.cfg.Region)
	}
	var out []gateway.Peer
	for _, r := range regions {
		members := n.near(r)
		slices.SortStableFunc(members, func(a, b mesh.Member) int {
			return cmp.Compare(sameZone(a, n.place), sameZone(b, n.place))
		})
		for _, m := range members {
			if m.Status != mesh.Alive || m.Draining || len(out) >= maxPeers {
				continue
			}
			out = append(out, gateway.Peer{Node: m.Node, Region: m.Region, Zone: m.Zone, QUIC: m.QUIC})
		}
	}
	return out
}

func sameZone(m mesh.Member, p skein.Place) int {
	if m.Region == p.Region && m.Zone == p.Zone {
		return 1
	}
	return 0
}
