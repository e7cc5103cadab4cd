package replication

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// cluster runs groups in one process, in virtual time.
type cluster struct {
	t      *testing.T
	fabric *fabric
	dir    string
	voters []skein.NodeID
	nodes  map[skein.NodeID]*member
	tune   func(*Config)

	prepare func(*Group) // before a group runs
}

type member struct {
	*Group
	stop context.CancelFunc
	done chan error
}

func newCluster(t *testing.T, voters ...skein.NodeID) *cluster {
	return &cluster{t: t, fabric: newFabric(), dir: t.TempDir(), voters: voters, nodes: map[skein.NodeID]*member{}}
}

// zoneOf gives the letter of a node's name: "a1" is in zone a.
func zoneOf(node skein.NodeID) skein.Zone { return skein.Zone(node[:1]) }

func (c *cluster) start(nodes ...skein.NodeID) {
	c.t.Helper()
	for _, node := range nodes {
		l := c.fabric.up(node, zoneOf(node))
		cfg := Config{
			Node: node, Region: "eu", Zone: zoneOf(node), Dir: filepath.Join(c.dir, string(node)),
			Layer: l, Voters: c.voters, Peers: peers{c.fabric, node}, Timing: Timing{Stable: 3 * time.Second},
		}
		if c.tune != nil {
			c.tune(&cfg)
		}
		g, err := Open(cfg)
		if err != nil {
			c.t.Fatalf("open %s: %v", node, err)
		}
		if c.prepare != nil {
			c.prepare(g)
		}
		c.fabric.mu.Lock()
		l.port.serve = g.Serve
		c.fabric.mu.Unlock()
		ctx, cancel := context.WithCancel(context.Background())
		m := &member{Group: g, stop: cancel, done: make(chan error, 1)}
		go func() { m.done <- g.Run(ctx) }()
		c.nodes[node] = m
	}
}

// kill cuts a node off and stops it, so that nothing it does on the way out reaches the others.
func (c *cluster) kill(node skein.NodeID) {
	c.t.Helper()
	c.fabric.down(node)
	c.stopNode(node)
}

// stopNode ends a node in order.
func (c *cluster) stopNode(node skein.NodeID) {
	c.t.Helper()
	m := c.nodes[node]
	delete(c.nodes, node)
	m.stop()
	if err := <-m.done; err != nil {
		c.t.Errorf("run %s: %v", node, err)
	}
}

func (c *cluster) stopAll() {
	for node := range c.nodes {
		c.fabric.down(node)
		c.nodes[node].stop()
	}
	for node, m := range c.nodes {
		if err := <-m.done; err != nil {
			c.t.Errorf("run %s: %v", node, err)
		}
	}
}

// until waits in virtual time for cond.
func (c *cluster) until(what string, limit time.Duration, cond func() bool) {
	c.t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			for id, m := range c.nodes {
				c.t.Logf("%s: %+v", id, m.Status())
			}
			c.t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// leader waits for one and gives it.
func (c *cluster) leader() *member {
	c.t.Helper()
	var found *member
	c.until("a leader", 5*time.Second, func() bool {
		for _, m := range c.nodes {
			if m.IsLeader() {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// converged waits until all replicas stand at one index, and compares their hashes.
func (c *cluster) converged() {
	c.t.Helper()
	c.until("equal indexes", 10*time.Second, func() bool {
		seen := map[uint64]bool{}
		for _, m := range c.nodes {
			if index, _ := m.Hash(); m.Status().Role != "none" {
				seen[index] = true
			}
		}
		return len(seen) == 1 && !seen[0]
	})
	var want [32]byte
	for id, m := range c.nodes {
		if m.Status().Role == "none" {
			continue
		}
		_, got := m.Hash()
		if want == ([32]byte{}) {
			want = got
		}
		if got != want {
			c.t.Errorf("hash of %s: got %x, want %x", id, got, want)
		}
	}
	if want == ([32]byte{}) {
		c.t.Error("no replica has a hash")
	}
}

func (c *cluster) propose(m *member, cmds ...session.Command) []session.Result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	results, err := m.Propose(ctx, cmds...)
	if err != nil {
		c.t.Fatalf("propose on %s: %v", m.cfg.Node, err)
	}
	if len(results) != len(cmds) {
		c.t.Fatalf("results: got %d, want %d", len(results), len(cmds))
	}
	for i := range results {
		if results[i].Err != nil {
			c.t.Fatalf("command %d on %s: %v", i, m.cfg.Node, results[i].Err)
		}
	}
	return results
}

func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// Commands of a session "eu~n" of subject "ada".
func sid(n int) skein.SessionID { return skein.Session("eu", fmt.Sprintf("s%d", n)) }

func openCmd(n int) session.Command {
	return session.Command{Session: sid(n), At: time.Unix(1000, 0), Body: session.Open{Subject: "ada", Assistant: "shop", Home: "eu"}}
}

func turnID(n int) skein.TurnID { return skein.TurnID{Client: "web", Counter: uint64(n)} }

// sayCmd is a turn that is accepted and completed at once, behind sequence number expect.
func sayCmd(n, turn int, expect skein.Seq) session.Command {
	return session.Command{Session: sid(n), Expect: expect, At: time.Unix(1001, 0), Body: session.Accept{
		Turn: turnID(turn), Subject: "ada", Text: fmt.Sprintf("question %d", turn),
		Runner: skein.Runner{Node: "a1", Incarnation: 1}, Place: skein.Place{Node: "a1", Region: "eu", Zone: "a"},
		Reply: &session.Reply{Text: fmt.Sprintf("answer %d", turn), Memory: []byte{1}, Source: "faq:x"},
	}}
}

// askCmd is a turn that stays open.
func askCmd(n, turn int) session.Command {
	c := sayCmd(n, turn, 0)
	a := c.Body.(session.Accept)
	a.Reply = nil
	c.Body = a
	return c
}
