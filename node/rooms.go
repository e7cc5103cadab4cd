package node

import (
	"context"
	"crypto/ed25519"
	"net"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/gateway"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/telemetry"
	"github.com/skein-mesh/skein/turn"
	"github.com/skein-mesh/skein/wire"
)

func (n *Node) openMesh() error {
	self := mesh.Member{
		Node: n.cfg.Node, Region: n.cfg.Region, Zone: n.cfg.Zone, Incarnation: n.self.Incarnation,
	}
	self.QUIC = append(self.QUIC, n.advertised(n.sockets.client.Port()))
	self.HTTPS = self.QUIC
	if n.sockets.dns.IsValid() {
		self.DNS = n.advertised(n.sockets.dns.Port())
	}
	self.Admin = n.sockets.admin
	var err error
	n.mesh, err = mesh.New(mesh.Config{
		Self: self, Identity: n.secrets.identity, Secret: n.secrets.secret, Socket: n.socket, Network: n.cfg.Network,
		GossipAddr: n.cfg.Listen.Gossip, GlobalAddr: n.cfg.Listen.Global, Seeds: n.cfg.Seeds, Abroad: n.cfg.Abroad,
		RegionTransport: n.cfg.RegionGossip, GlobalTransport: n.cfg.GlobalGossip, Log: n.log, Meters: n.meters,
	})
	if err != nil {
		return err
	}
	n.mesh.HandleRegion(serviceRun, n.handleRun)
	n.mesh.Handle(serviceOrder, n.handleOrder)
	return nil
}

func (n *Node) openRegion() error {
	key := n.secrets.secret.SnapshotKey()
	var err error
	n.region, err = replication.OpenRegion(replication.RegionConfig{
		Config: replication.Config{
			Node: n.cfg.Node, Region: n.cfg.Region, Zone: n.cfg.Zone, Dir: n.replicaDir(),
			Voters: n.cfg.Voters, Peers: groupPeers{n}, Log: n.log,
			Unreadable: func() { n.badStream(replication.Service) }, RTT: n.roundTrip, SnapshotKey: key[:],
			Retention: n.cfg.Retention.rules(n.cfg.Archive.To != ""),
		},
		Groups: n.cfg.Groups, Layers: n.mesh.RaftLayer,
	})
	if err != nil {
		return err
	}
	n.region.Handle(n.mesh.HandleRegion)
	return nil
}

// roundTrip estimates the way to a node and back, 0 where nothing is known.
func (n *Node) roundTrip(node skein.NodeID) time.Duration {
	rtt, _ := n.mesh.RTT(node)
	return rtt
}

// groupPeers shows the region's members to the groups.
type groupPeers struct{ n *Node }

// Candidates satisfies replication.Peers.
func (p groupPeers) Candidates() []replication.Candidate {
	var out []replication.Candidate
	for _, m := range p.n.mesh.Members() {
		if m.Region != p.n.cfg.Region {
			continue
		}
		out = append(out, replication.Candidate{
			Node: m.Node, Zone: m.Zone, Healthy: m.Status == mesh.Alive,
			Gone: m.Status == mesh.Dead || m.Status == mesh.Left, Draining: m.Draining,
		})
	}
	return out
}

// Dial satisfies replication.Peers.
func (p groupPeers) Dial(ctx context.Context, node skein.NodeID, service string) (net.Conn, error) {
	return p.n.mesh.Dial(ctx, node, service)
}

func (n *Node) openDesk() error {
	answers, err := n.openAnswers()
	if err != nil {
		return err
	}
	n.answers = answers
	n.desk = turn.New(turn.Config{
		Store: n.timed(), Answerer: answers, Self: n.self, Place: n.place, Knows: answers.knows,
		Log: n.log, Observe: n.observe(),
	})
	return nil
}

// observe counts runs by how they ended.
func (n *Node) observe() func(turn.Outcome) {
	took := n.meters.Histogram("skein_run_seconds", "Time from a turn's arrival at its runner to its end there.", telemetry.Seconds())
	return func(o turn.Outcome) {
		n.meters.Counter("skein_runs_total", "Turns that ended at this node, by how.", label("status", o.Status)).Inc()
		if o.Status == "completed" {
			took.Observe(o.Took.Seconds())
		}
	}
}

func (n *Node) openGateway() error {
	var err error
	n.gateway, err = gateway.New(gateway.Config{
		Node: n.cfg.Node, Region: n.cfg.Region, Zone: n.cfg.Zone, Service: n.cfg.Service,
		Default: n.answers.latest().ID(), Sessions: n.desk, Said: keeping{n}.Said, Abroad: n.dialAbroad, Peers: n.peers, PeersChanged: n.mesh.Changed,
		Keys: []ed25519.PublicKey{n.secrets.tokens}, AltSvc: n.sockets.client.Port(),
		Limits: gateway.Limits{
			TurnsPerSecond: n.cfg.Limits.TurnsPerSecond, Burst: n.cfg.Limits.Burst, Sessions: n.cfg.Limits.Sessions,
		},
		Native: n.socket.QUIC(wire.ALPNClient), H3: n.socket.QUIC("h3"), HTTPS: n.socket.HTTPS(),
		Log: n.log, Meters: n.meters,
	})
	if err != nil {
		return err
	}
	n.mesh.Handle(serviceSession, n.gateway.ServeForward)
	return nil
}

// reportLoad tells the mesh how busy this node is, and whether it votes.
func (n *Node) reportLoad(ctx context.Context) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n.mesh.SetLoad(min(1, float32(n.desk.Running())/fullLoad))
		n.mesh.SetVoter(slices.ContainsFunc(n.region.Groups(), func(g *replication.Group) bool {
			return slices.Contains(g.Status().Voters, n.cfg.Node)
		}))
	}
}

// fullLoad is how many turns at once are called a full load; clients are then sent to other nodes.
const fullLoad = 256
