package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
)

// skeinNode is a node reduced to what keeps sessions: its socket, its part in the mesh and its replica, wired as
// package node wires them.
type skeinNode struct {
	place  skein.Place
	gossip netip.AddrPort
	mesh   *mesh.Mesh
	group  *replication.Group

	wire, member, replica *stage
}

// skeinShared is what the nodes have in common; seeds are the gossip addresses of those that run already.
type skeinShared struct {
	dir    string
	ca     *mesh.CA
	secret mesh.Secret
	seeds  []netip.AddrPort
}

// stage is one part that runs until it is cancelled.
type stage struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	err    error         // set before done is closed
}

func startStage(name string, run func(context.Context) error) *stage {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stage{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := run(ctx); err != nil {
			s.err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	return s
}

// failed reports a part of the node that has ended by itself.
func (n *skeinNode) failed() error {
	for _, s := range []*stage{n.wire, n.member, n.replica} {
		select {
		case <-s.done:
			return fmt.Errorf("node %s: %w: %v", n.place.Node, errStopped, s.err)
		default:
		}
	}
	return nil
}

func startSkeinNode(place skein.Place, shared skeinShared) (*skeinNode, error) {
	n := &skeinNode{place: place}
	socket, err := n.open(shared)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", place.Node, err)
	}
	n.wire = startStage("socket", socket.Run)
	n.member = startStage("mesh", n.mesh.Run)
	n.replica = startStage("group", n.group.Run)
	return n, nil
}

// open binds the sockets and opens the files.
func (n *skeinNode) open(shared skeinShared) (socket *mesh.Socket, err error) {
	id, err := identity(shared.ca, n.place)
	if err != nil {
		return nil, err
	}
	packet, stream, at, err := loopback()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, packet.Close(), stream.Close())
		}
	}()
	var reset [32]byte
	rand.Read(reset[:])
	socket, err = mesh.Listen(mesh.SocketConfig{Packet: packet, Stream: stream, Identity: id, Secret: shared.secret, ResetKey: reset})
	if err != nil {
		return nil, err
	}
	if n.gossip, err = freePort(); err != nil {
		return nil, err
	}
	n.mesh, err = mesh.New(mesh.Config{
		Self: mesh.Member{
			Node: n.place.Node, Region: n.place.Region, Zone: n.place.Zone, Incarnation: 1,
			QUIC: []netip.AddrPort{at}, HTTPS: []netip.AddrPort{at}, Voter: true,
		},
		Identity: id, Secret: shared.secret, Socket: socket, GossipAddr: n.gossip, Seeds: shared.seeds,
	})
	if err != nil {
		return nil, err
	}
	var voters []skein.NodeID
	for i := range replicas {
		voters = append(voters, skeinPlace(i).Node)
	}
	n.group, err = replication.Open(replication.Config{
		Node: n.place.Node, Region: n.place.Region, Zone: n.place.Zone, Dir: replicaDir(shared.dir, string(n.place.Node)),
		Layer: n.mesh.RaftLayer("raft"), Voters: voters, Peers: skeinPeers{n.mesh},
	})
	if err != nil {
		return nil, err
	}
	n.mesh.Handle(replication.Service, n.group.Serve)
	return socket, nil
}

func identity(ca *mesh.CA, place skein.Place) (*mesh.Identity, error) {
	cert, key, err := ca.IssueNode(mesh.NodeRequest{Node: place.Node, Region: place.Region, Zone: place.Zone, Days: 1})
	if err != nil {
		return nil, err
	}
	root, _ := ca.PEM()
	return mesh.LoadIdentity(root, cert, key)
}

// skeinPeers shows the mesh's members to the group.
type skeinPeers struct{ mesh *mesh.Mesh }

// Candidates satisfies replication.Peers.
func (p skeinPeers) Candidates() []replication.Candidate {
	var out []replication.Candidate
	for _, m := range p.mesh.Members() {
		out = append(out, replication.Candidate{
			Node: m.Node, Zone: m.Zone, Healthy: m.Status == mesh.Alive, Gone: m.Status == mesh.Dead || m.Status == mesh.Left,
		})
	}
	return out
}

// Dial satisfies replication.Peers.
func (p skeinPeers) Dial(ctx context.Context, node skein.NodeID, service string) (net.Conn, error) {
	return p.mesh.Dial(ctx, node, service)
}
