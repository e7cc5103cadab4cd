package replication

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

func TestDeadVoterIsReplacedBySpare(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "a2", "c2")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		c.until("two spares", 10*time.Second, func() bool {
			s := lead.Status()
			slices.Sort(s.Spares)
			return slices.Equal(s.Spares, []skein.NodeID{"a2", "c2"})
		})
		c.until("a spare that knows it", 5*time.Second, func() bool { return c.nodes["a2"].Status().Role == "spare" })
		c.converged()

		dead := skein.NodeID("c1")
		if lead.cfg.Node == dead {
			dead = "a1"
		}
		c.kill(dead)
		want := map[skein.NodeID][]skein.NodeID{"c1": {"a1", "b1", "c2"}, "a1": {"a2", "b1", "c1"}}[dead]
		c.until("the spare of the zone in the place of the dead voter", 20*time.Second, func() bool {
			s := c.leader().Status()
			slices.Sort(s.Voters)
			return slices.Equal(s.Voters, want) && !slices.Contains(s.Spares, dead)
		})
		if s := c.leader().Status(); !s.SurvivesZone {
			t.Errorf("survives a zone: got %+v", s)
		}
		c.propose(c.leader(), sayCmd(1, 1, 1))
		c.converged()

		c.start(dead) // it comes back as the spare of its zone, with what it holds
		c.until("the returned node as a spare", 20*time.Second, func() bool { return c.nodes[dead].Status().Role == "spare" })
		c.converged()
	})
}

func TestVoterOfALostQuorumIsNotRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		for id := range c.nodes {
			if id != lead.cfg.Node {
				c.kill(id)
				break
			}
		}
		time.Sleep(30 * time.Second)
		if n := len(c.leader().Status().Voters); n != 3 {
			t.Errorf("voters with one dead and nobody to replace it: got %d, want 3", n)
		}
	})
}

func TestFollowerCatchesUpFromSnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.tune = func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 20, 5 }
		c.start("a1", "b1", "c1")
		c.leader()
		c.kill("c1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		for i := range 60 {
			c.propose(lead, sayCmd(1, i+1, skein.Seq(1+2*i)))
		}
		c.until("a log that was cut", time.Minute, func() bool {
			first, err := lead.disk.logs.FirstIndex()
			return err == nil && first > 20
		})
		c.start("c1", "d1") // d1 starts empty
		c.converged()
		for _, id := range []skein.NodeID{"c1", "d1"} {
			c.until("a replica with everything", 10*time.Second, func() bool {
				st, err := c.nodes[id].disk.store.get(sid(1))
				return err == nil && st != nil && st.Count == 60
			})
			events, err := c.nodes[id].History(t.Context(), sid(1), 0, 500)
			if err != nil || len(events) != 121 {
				t.Errorf("history on %s: got %d events, %v, want 121", id, len(events), err)
			}
		}
		// What came by snapshot is there after a restart too.
		c.kill("c1")
		c.start("c1")
		c.propose(c.leader(), sayCmd(1, 61, 121))
		c.converged()
	})
}

// TestFenceFallsOnAnIdleGroup: what the voter gets is one snapshot, and nothing comes behind it.
func TestFenceFallsOnAnIdleGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.tune = func(cfg *Config) { cfg.TrailingEntries = 1 }
		c.start("a1", "b1", "c1")
		lead := c.leader()
		c.propose(lead, openCmd(1), sayCmd(1, 1, 1))
		c.converged()
		id := skein.NodeID("b1")
		if lead.cfg.Node == id {
			id = "c1"
		}
		c.kill(id)
		if err := lead.raft.Load().Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		index, _ := lead.Hash()
		removeFile(t, c.dir, id, logDir)
		c.start(id)
		c.until("a fenced replica", time.Second, func() bool { return c.nodes[id].Status().Fenced })
		c.until("the fence to fall", 20*time.Second, func() bool { return !c.nodes[id].Status().Fenced })
		var l raft.Log
		if err := c.nodes[id].disk.logs.GetLog(index, &l); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d in the log of the voter: got %v, want %v: it came otherwise than by the snapshot", index, err, raft.ErrLogNotFound)
		}
	})
}

func TestQuarantinedVoterRejoins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		c.propose(c.leader(), openCmd(1), sayCmd(1, 1, 1))
		c.converged()
		c.kill("b1")
		removeFile(t, c.dir, "b1", logDir) // its vote is gone with it
		c.start("b1")
		if fenced, err := mustRejoin(c.nodes["b1"].cfg.Dir); !fenced || err != nil {
			t.Errorf("note of a voter that lost its log: got %v, %v, want true", fenced, err)
		}
		c.until("a fenced replica", time.Second, func() bool { return c.nodes["b1"].Status().Fenced })
		c.until("the fence to fall", 20*time.Second, func() bool { return !c.nodes["b1"].Status().Fenced })
		c.converged()
		if fenced, err := mustRejoin(c.nodes["b1"].cfg.Dir); fenced || err != nil {
			t.Errorf("note after the rejoin: got %v, %v", fenced, err)
		}
	})
}
