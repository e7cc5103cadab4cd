package replication

import (
	"context"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// regionCluster runs regions in one process, in virtual time: a fabric for each service.
type regionCluster struct {
	t       *testing.T
	dir     string
	groups  int
	nodes   map[skein.NodeID]*regionMember
	prepare func(*Region) // before a region runs

	mu      sync.Mutex // guards fabrics
	fabrics map[string]*fabric
}

type regionMember struct {
	*Region
	stop context.CancelFunc
	done chan error
}

func newRegionCluster(t *testing.T, groups int) *regionCluster {
	return &regionCluster{t: t, dir: t.TempDir(), groups: groups, fabrics: map[string]*fabric{}, nodes: map[skein.NodeID]*regionMember{}}
}

var regionVoters = []skein.NodeID{"a1", "b1", "c1"}

// fabric gives the network of one service; that of a group's library is the group's.
func (c *regionCluster) fabric(service string) *fabric {
	service = strings.Replace(service, serviceRaft, Service, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fabrics[service] == nil {
		c.fabrics[service] = newFabric()
	}
	return c.fabrics[service]
}

// regionPeers is what one node sees of the fabrics.
type regionPeers struct {
	c    *regionCluster
	node skein.NodeID
}

func (p regionPeers) Candidates() []Candidate { return p.c.fabric(serviceGroups).Candidates() }

func (p regionPeers) Dial(ctx context.Context, to skein.NodeID, service string) (net.Conn, error) {
	return peers{p.c.fabric(service), p.node}.Dial(ctx, to, service)
}

func (c *regionCluster) open(node skein.NodeID, groups int) (*Region, error) {
	asked := c.fabric(serviceGroups).up(node, zoneOf(node))
	ports := map[string]*port{serviceGroups: asked.port}
	r, err := OpenRegion(RegionConfig{
		Config: Config{
			Node: node, Region: "eu", Zone: zoneOf(node), Dir: filepath.Join(c.dir, string(node)), Voters: regionVoters,
			Peers: regionPeers{c, node}, Timing: Timing{Stable: 3 * time.Second},
		},
		Groups: groups,
		Layers: func(service string) raft.StreamLayer {
			l := c.fabric(service).up(node, zoneOf(node))
			ports[strings.Replace(service, serviceRaft, Service, 1)] = l.port
			return l
		},
	})
	if err != nil {
		return nil, err
	}
	r.Handle(func(service string, serve func(context.Context, skein.NodeID, net.Conn)) {
		f := c.fabric(service)
		f.mu.Lock()
		defer f.mu.Unlock()
		ports[service].serve = func(ctx context.Context, peer skein.NodeID, conn net.Conn) {
			defer conn.Close()
			serve(ctx, peer, conn)
		}
	})
	return r, nil
}

func (c *regionCluster) start(nodes ...skein.NodeID) {
	c.t.Helper()
	for _, node := range nodes {
		c.startWith(node, c.groups)
	}
}

func (c *regionCluster) startWith(node skein.NodeID, groups int) *regionMember {
	c.t.Helper()
	r, err := c.open(node, groups)
	if err != nil {
		c.t.Fatalf("open %s: %v", node, err)
	}
	if c.prepare != nil {
		c.prepare(r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &regionMember{Region: r, stop: cancel, done: make(chan error, 1)}
	go func() { m.done <- r.Run(ctx) }()
	c.nodes[node] = m
	return m
}

func (c *regionCluster) down(node skein.NodeID) {
	c.mu.Lock()
	all := slices.Collect(maps.Values(c.fabrics))
	c.mu.Unlock()
	for _, f := range all {
		f.down(node)
	}
}

func (c *regionCluster) stopAll() {
	for node, m := range c.nodes {
		c.down(node)
		m.stop()
	}
	for node, m := range c.nodes {
		if err := <-m.done; err != nil {
			c.t.Errorf("run %s: %v", node, err)
		}
	}
}

func (c *regionCluster) until(what string, limit time.Duration, cond func() bool) {
	c.t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			for id, m := range c.nodes {
				for i, g := range m.groups {
					c.t.Logf("%s, group %d: %+v", id, i, g.Status())
				}
			}
			c.t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// settled waits until all nodes know the same leader of every group, and gives the leaders.
func (c *regionCluster) settled() []skein.NodeID {
	c.t.Helper()
	var leaders []skein.NodeID
	c.until("leaders", 20*time.Second, func() bool {
		leaders = nil
		for _, m := range c.nodes {
			var seen []skein.NodeID
			for _, g := range m.groups {
				id, _ := g.Leader()
				seen = append(seen, id)
			}
			if slices.Contains(seen, "") || leaders != nil && !slices.Equal(seen, leaders) {
				return false
			}
			leaders = seen
		}
		return true
	})
	return leaders
}

func (c *regionCluster) propose(m *regionMember, cmds ...session.Command) []session.Result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	results, err := m.Propose(ctx, cmds...)
	if err != nil || len(results) != len(cmds) {
		c.t.Fatalf("propose: %d results, %v", len(results), err)
	}
	for i := range results {
		if results[i].Err != nil {
			c.t.Fatalf("command %d: %v", i, results[i].Err)
		}
	}
	return results
}
