package mesh

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"github.com/skein-mesh/skein"
)

const (
	pingService = "ping"
	pingEvery   = 2 * time.Second // one peer each time, jittered by half
	pingTimeout = 2 * time.Second
	pingAbroad  = 8 // voters elsewhere that this node measures
	maxPingRTT  = 5 * time.Second

	dimensions     = 8 // of coordinate.DefaultConfig
	coordinateSize = (dimensions + 3) * 8
)

// coordinates is this node's place in a space where distances are round trips (Dabek et al., "Vivaldi: A
// Decentralized Network Coordinate System", SIGCOMM 2004), and the last known places of others.
type coordinates struct {
	mesh   *Mesh
	client *coordinate.Client

	mu    sync.Mutex // guards peers
	peers map[skein.NodeID]*coordinate.Coordinate
}

func newCoordinates(m *Mesh) (*coordinates, error) {
	client, err := coordinate.NewClient(coordinate.DefaultConfig())
	if err != nil {
		return nil, fmt.Errorf("make coordinates: %w", err)
	}
	c := &coordinates{mesh: m, client: client, peers: map[skein.NodeID]*coordinate.Coordinate{}}
	m.Handle(pingService, c.pong)
	return c, nil
}

// RTT estimates the round trip to a node. Where the node itself was never measured, a measured one of its zone,
// then of its region if that is another, stands in; false: nothing is known.
func (m *Mesh) RTT(id skein.NodeID) (time.Duration, bool) {
	target, ok := m.Member(id)
	if !ok {
		return 0, false
	}
	if id == m.config.Self.Node {
		return 0, true
	}
	m.coords.mu.Lock()
	defer m.coords.mu.Unlock()
	if c := m.coords.peers[id]; c != nil {
		return m.coords.client.DistanceTo(c), true
	}
	var best *coordinate.Coordinate
	for _, member := range m.Members() {
		c := m.coords.peers[member.Node]
		if c == nil || member.Region != target.Region {
			continue
		}
		if member.Zone == target.Zone {
			return m.coords.client.DistanceTo(c), true
		}
		if best == nil && target.Region != m.config.Self.Region {
			best = c
		}
	}
	if best == nil {
		return 0, false
	}
	return m.coords.client.DistanceTo(best), true
}

// run measures one peer at a time.
func (c *coordinates) run(ctx context.Context) {
	for wait(ctx, pingEvery/2+rand.N(pingEvery)) {
		peers := c.targets()
		c.forget()
		if len(peers) == 0 {
			continue
		}
		peer := peers[rand.IntN(len(peers))]
		if err := c.ping(ctx, peer); err != nil && ctx.Err() == nil {
			c.mesh.log.Debug("ping", "peer", peer, "err", err)
		}
	}
}

// targets gives the neighbours, and a fixed few of the voters elsewhere so that connections stay few.
func (c *coordinates) targets() []skein.NodeID {
	self := c.mesh.config.Self
	members := c.mesh.Members()
	out := neighbours(self.Node, self.Region, nil, members)
	var abroad []skein.NodeID
	for _, m := range members {
		if m.Region != self.Region && m.Voter && m.Status == Alive {
			abroad = append(abroad, m.Node)
		}
	}
	slices.SortFunc(abroad, func(a, b skein.NodeID) int {
		wa, wb := weight(self.Node, a), weight(self.Node, b)
		switch {
		case wa > wb:
			return -1
		case wa < wb:
			return 1
		}
		return 0
	})
	return append(out, abroad[:min(len(abroad), pingAbroad)]...)
}

// weight is the rendezvous hash of a pair.
func weight(self, other skein.NodeID) uint64 {
	h := fnv.New64a()
	io.WriteString(h, string(self))
	h.Write([]byte{0})
	io.WriteString(h, string(other))
	return h.Sum64()
}

// ping exchanges coordinates with peer and takes the time of it.
func (c *coordinates) ping(ctx context.Context, peer skein.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	conn, err := c.mesh.Dial(ctx, peer, pingService)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	started := time.Now()
	if _, err := conn.Write(encodeCoordinate(c.client.GetCoordinate())); err != nil {
		return err
	}
	var buf [coordinateSize]byte
	if _, err := io.ReadFull(conn, buf[:]); err != nil {
		return err
	}
	rtt := time.Since(started)
	other, err := decodeCoordinate(buf[:])
	if err != nil {
		c.mesh.counts.badPing.Inc()
		return err
	}
	if rtt <= 0 || rtt > maxPingRTT {
		return fmt.Errorf("round trip of %s does not count", rtt)
	}
	if _, err := c.client.Update(string(peer), other, rtt); err != nil {
		return fmt.Errorf("update coordinate: %w", err)
	}
	c.remember(peer, other)
	return nil
}

// pong answers a ping.
func (c *coordinates) pong(_ context.Context, peer skein.NodeID, conn net.Conn) {
	conn.SetDeadline(time.Now().Add(pingTimeout))
	var buf [coordinateSize]byte
	if _, err := io.ReadFull(conn, buf[:]); err != nil {
		return
	}
	if _, err := conn.Write(encodeCoordinate(c.client.GetCoordinate())); err != nil {
		return
	}
	other, err := decodeCoordinate(buf[:])
	if err != nil {
		c.mesh.counts.badPing.Inc()
		return
	}
	c.remember(peer, other)
}

func (c *coordinates) remember(id skein.NodeID, at *coordinate.Coordinate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.peers[id]; known || len(c.peers) < maxMembers {
		c.peers[id] = at
	}
}

// forget drops the places of nodes that are members no longer.
func (c *coordinates) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.peers {
		if _, ok := c.mesh.Member(id); !ok {
			delete(c.peers, id)
			c.client.ForgetNode(string(id))
		}
	}
}

func encodeCoordinate(c *coordinate.Coordinate) []byte {
	buf := make([]byte, 0, coordinateSize)
	for _, f := range append(slices.Clone(c.Vec), c.Error, c.Adjustment, c.Height) {
		buf = binary.BigEndian.AppendUint64(buf, math.Float64bits(f))
	}
	return buf
}

// decodeCoordinate reads eight dimensions, error, adjustment and height; a place farther than a minute away is
// refused.
func decodeCoordinate(buf []byte) (*coordinate.Coordinate, error) {
	if len(buf) != coordinateSize {
		return nil, skein.Fault(skein.CodeMalformed, "coordinate of %d bytes", len(buf))
	}
	f := make([]float64, dimensions+3)
	for i := range f {
		f[i] = math.Float64frombits(binary.BigEndian.Uint64(buf[8*i:]))
		if math.IsNaN(f[i]) || math.Abs(f[i]) > 60 {
			return nil, skein.Fault(skein.CodeMalformed, "coordinate out of range")
		}
	}
	c := &coordinate.Coordinate{Vec: f[:dimensions], Error: f[dimensions], Adjustment: f[dimensions+1], Height: f[dimensions+2]}
	if c.Error < 0 || c.Height < 0 {
		return nil, skein.Fault(skein.CodeMalformed, "coordinate out of range")
	}
	return c, nil
}
