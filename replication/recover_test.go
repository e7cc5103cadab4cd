package replication

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

// recoverMember stops a node and makes it go on alone.
func (c *cluster) recoverMember(node skein.NodeID) (epoch uint64) {
	c.t.Helper()
	dir := filepath.Join(c.dir, string(node))
	found, err := Inspect(dir, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	epoch = NextEpoch(found.Epoch, time.Now())
	if err := Recover(dir, Recovery{Node: node, Epoch: epoch}); err != nil {
		c.t.Fatal(err)
	}
	return epoch
}

// reopen waits for a node to end with ErrReopen and starts it again.
func (c *cluster) reopen(node skein.NodeID) {
	c.t.Helper()
	m := c.nodes[node]
	if err := <-m.done; !errors.Is(err, ErrReopen) {
		c.t.Fatalf("run %s: got %v, want ErrReopen", node, err)
	}
	m.stop()
	delete(c.nodes, node)
	c.fabric.down(node)
	c.start(node)
}

// Two of three are lost for ever. The third goes on alone, with all that was acknowledged; two new nodes join it.
func TestRecoverAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		for i := range 20 {
			c.propose(lead, openCmd(i))
			c.propose(lead, sayCmd(i, 1, 1))
		}
		c.propose(lead, openCmd(20))
		c.propose(lead, askCmd(20, 1))
		c.converged()
		survivor := c.nodes["a1"].cfg.Node
		index, hash := c.nodes["a1"].Hash()
		for _, id := range []skein.NodeID{"a1", "b1", "c1"} {
			c.kill(id)
		}
		c.start(survivor)
		time.Sleep(3 * time.Second)
		if st := c.nodes[survivor].Status(); st.Leader != "" {
			t.Fatalf("alone it has a leader: %+v", st)
		}
		if err := OrderRecovery([]*Group{c.nodes[survivor].Group}, 1); skein.CodeOf(err) != skein.CodeRefused {
			t.Errorf("an old epoch: got %v, want it refused", err)
		}
		if err := OrderRecovery([]*Group{c.nodes[survivor].Group}, 7); err != nil {
			t.Fatal(err)
		}
		c.reopen(survivor)
		alone := c.leader()
		if gotIndex, gotHash := alone.Hash(); gotIndex < index || gotHash != hash {
			t.Errorf("it stands at %d %x, want at least %d %x", gotIndex, gotHash, index, hash)
		}
		if r, err := alone.Replica(); err != nil || r.Epoch != 7 || len(r.Voters) != 1 || r.Leader != survivor || r.Sessions != 21 {
			t.Errorf("it stands at %+v, %v", r, err)
		}
		for i := range 20 { // repeats are still known, and the sessions go on
			if again := c.propose(alone, sayCmd(i, 1, 1))[0]; !again.Duplicate {
				t.Errorf("session %d: a turn of before runs again", i)
			}
			c.propose(alone, sayCmd(i, 2, 3))
		}
		if open := alone.OpenTurns(); len(open) != 1 || open[0].Session != sid(20) {
			t.Errorf("open turns: %v", open)
		}
		if err := OrderRecovery([]*Group{alone.Group}, 8); skein.CodeOf(err) != skein.CodeRefused {
			t.Errorf("with a leader: got %v, want it refused", err)
		}
		c.voters = nil
		c.start("b2", "c2")
		c.until("three voters again", time.Minute, func() bool { return len(alone.Status().Voters) == 3 })
		c.converged()
	})
}

// The old majority comes back after a recovery. It does not win, and what it holds is set aside.
func TestOldMajorityComesBack(t *testing.T) {
	for _, together := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			c := newCluster(t, "a1", "b1", "c1")
			defer c.stopAll()
			c.start("a1", "b1", "c1")
			lead := c.leader()
			c.propose(lead, openCmd(1))
			c.converged()
			c.kill("a1") // what comes now it has never seen
			lead = c.leader()
			c.propose(lead, openCmd(2))
			c.converged()
			c.kill("b1")
			c.kill("c1")
			epoch := c.recoverMember("a1")
			c.start("a1")
			alone := c.leader()
			c.propose(alone, openCmd(3))
			_, hash := alone.Hash()
			if together {
				c.start("b1", "c1")
			} else { // they have gone on for a while where they cannot hear of it
				c.fabric.down("a1")
				c.start("b1", "c1")
				c.until("an old leader", 10*time.Second, func() bool { return c.nodes["b1"].IsLeader() || c.nodes["c1"].IsLeader() })
				old := c.nodes["b1"]
				c.propose(old, openCmd(4))
				c.stopNode("a1")
				c.start("a1")
			}
			c.reopen("b1")
			c.reopen("c1")
			alone = c.leader()
			if alone.cfg.Node != "a1" {
				t.Fatalf("%s leads", alone.cfg.Node)
			}
			c.until("three voters again", time.Minute, func() bool { return len(alone.Status().Voters) == 3 })
			c.converged()
			if _, got := alone.Hash(); got != hash {
				t.Error("the old majority has changed the state")
			}
			for _, id := range []skein.NodeID{"a1", "b1", "c1"} {
				r, err := c.nodes[id].Replica()
				if err != nil || r.Epoch != epoch || r.Sessions != 2 {
					t.Errorf("%s stands at %+v, %v; want epoch %d and 2 sessions", id, r, err, epoch)
				}
			}
			kept, err := filepath.Glob(filepath.Join(c.dir, "b1", quarantineAs+"*", stateFile))
			if err != nil || len(kept) != 1 {
				t.Errorf("what b1 held is not kept: %v, %v", kept, err)
			}
			c.propose(alone, openCmd(5))
			c.converged()
		})
	}
}

// Two operators recover two replicas. The later one wins; nothing is mixed.
func TestRecoveredTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		c.converged()
		for _, id := range []skein.NodeID{"a1", "b1", "c1"} {
			c.kill(id)
		}
		c.recoverMember("a1")
		time.Sleep(time.Millisecond)
		c.recoverMember("b1")
		c.start("b1")
		c.propose(c.leader(), openCmd(2))
		c.fabric.down("b1")
		c.start("a1")
		c.until("a1 leads too", 5*time.Second, func() bool { return c.nodes["a1"].IsLeader() })
		c.propose(c.nodes["a1"], openCmd(3))
		c.stopNode("b1")
		c.start("b1")
		c.reopen("a1")
		c.until("two replicas", time.Minute, func() bool { return c.nodes["a1"].Status().Sessions == 2 && c.nodes["a1"].Status().Role != "none" })
		c.converged()
		if st, err := c.nodes["a1"].Read(t.Context(), sid(2), 0); err != nil || st == nil {
			t.Errorf("what the later one acknowledged: %v, %v", st, err)
		}
		if _, err := c.nodes["b1"].Read(t.Context(), sid(3), 0); !errors.Is(err, skein.ErrUnknownSession) {
			t.Errorf("what the earlier one acknowledged: %v", err)
		}
	})
}

// A crash at any step of a recovery is made good by the next start.
func TestRecoveryCrashes(t *testing.T) {
	steps := map[string]func(*disk, mark) error{
		"ordered":  func(*disk, mark) error { return nil },
		"snapshot": func(d *disk, at mark) error { return d.snapshotAlone("a1", at) },
		"log cut": func(d *disk, at mark) error {
			first, _ := d.logs.FirstIndex()
			last, _ := d.logs.LastIndex()
			return errors.Join(d.snapshotAlone("a1", at), d.logs.DeleteRange(first, last))
		},
		"epoch written": func(d *disk, at mark) error {
			return errors.Join(d.snapshotAlone("a1", at), d.raiseTerm(at.term), (&epochs{dir: d.dir}).set(9, 9))
		},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCluster(t, "a1", "b1", "c1")
				defer c.stopAll()
				c.start("a1", "b1", "c1")
				lead := c.leader()
				c.propose(lead, openCmd(1))
				c.converged()
				for _, id := range []skein.NodeID{"a1", "b1", "c1"} {
					c.kill(id)
				}
				dir := filepath.Join(c.dir, "a1")
				if err := orderRecovery(dir, 9); err != nil {
					t.Fatal(err)
				}
				d, err := openDisk(dir, newRaftLog(discardLog()), func(error) {})
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(step(d, d.store.mark()), d.close()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond) // the library names snapshots by their time
				c.start("a1")
				alone := c.leader()
				if r, err := alone.Replica(); err != nil || r.Epoch != 9 || r.Sessions != 1 || len(r.Voters) != 1 {
					t.Errorf("it stands at %+v, %v", r, err)
				}
				c.propose(alone, openCmd(2))
			})
		})
	}
}

// What cannot be recovered is refused with the way out, and left as it is.
func TestRecoverRefuses(t *testing.T) {
	empty := t.TempDir()
	if err := Recover(empty, Recovery{Node: "a1", Epoch: 9}); err == nil || !strings.Contains(err.Error(), "choose another") {
		t.Errorf("an empty directory: %v", err)
	}
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1")
		c.start("a1")
		c.propose(c.leader(), openCmd(1))
		dir := filepath.Join(c.dir, "a1")
		if _, err := Inspect(dir, 0); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("a running one: %v", err)
		}
		c.stopAll()
		if err := Recover(dir, Recovery{Node: "a1", Epoch: 1}); err == nil || !strings.Contains(err.Error(), "not above") {
			t.Errorf("an epoch that is not new: %v", err)
		}
		if ordered, err := hasNote(dir, recoverFile); err != nil || ordered {
			t.Errorf("an order was left: %v, %v", ordered, err)
		}
		if err := os.WriteFile(filepath.Join(dir, recoverFile), []byte("soon"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := Config{Node: "a1", Region: "eu", Zone: "a", Dir: dir, Layer: c.fabric.up("a1", "a"), Peers: peers{c.fabric, "a1"}}
		if _, err := Open(cfg); !errors.Is(err, errCorrupt) || !strings.Contains(err.Error(), recoverFile) {
			t.Errorf("an order that cannot be read: %v", err)
		}
	})
}
