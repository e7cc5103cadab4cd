package node

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/gateway"
	"github.com/skein-mesh/skein/mesh"
)

// serviceSession, serviceRun and serviceOrder name streams between nodes; package replication names its own.
const (
	serviceSession = "session"
	serviceRun     = "run"
	serviceOrder   = "order"
)

// Dials to another region: the next node is asked when one has been silent for dialStep, at most maxDials in all.
const (
	dialStep = 300 * time.Millisecond
	maxDials = 6
)

// dialAbroad opens a session's stream to a node of its home region, which must be given a deadline: the nearest
// healthy one, then the others, each beginning while the ones before may still answer. Its mesh is told of a death
// over there within seconds only, and a client should not wait for that.
func (n *Node) dialAbroad(ctx context.Context, home skein.Region) (net.Conn, error) {
	var alive []skein.NodeID
	for _, m := range n.near(home) {
		if m.Status == mesh.Alive && len(alive) < maxDials {
			alive = append(alive, m.Node)
		}
	}
	conn, err := race(ctx, alive, func(ctx context.Context, node skein.NodeID) (net.Conn, error) {
		return n.mesh.Dial(ctx, node, serviceSession)
	})
	if err != nil {
		return nil, skein.Fault(skein.CodeHomeUnreachable, "region %s: %v", home, err)
	}
	return conn, nil
}

// race dials nodes dialStep apart, the next at once when one fails, and gives the first stream; what comes later is
// closed. All that it starts has ended when it returns.
func race(ctx context.Context, nodes []skein.NodeID, dial func(context.Context, skein.NodeID) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(nodes)) // each dial can leave its result
	step := time.NewTimer(0)
	defer step.Stop()
	var won net.Conn
	last := errors.New("no node is known to be alive")
	for started, running := 0, 0; won == nil && started < len(nodes) || running > 0; {
		select {
		case <-step.C:
			if won != nil || started == len(nodes) {
				continue
			}
			node := nodes[started]
			started++
			running++
			go func() {
				conn, err := dial(ctx, node)
				results <- result{conn, err}
			}()
			step.Reset(dialStep)
		case r := <-results:
			running--
			switch {
			case r.err != nil:
				last = r.err
				step.Reset(0)
			case won == nil:
				won = r.conn
				cancel()
			default:
				r.conn.Close()
			}
		}
		if ctx.Err() != nil {
			started = len(nodes)
		}
	}
	if won == nil {
		return nil, last
	}
	return won, nil
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
