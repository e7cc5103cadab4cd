package replication

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// Known answers to the library's known faults; each fails when what meets the fault is taken out.

// TestHeartbeatsTakeTheMainLoop: a heartbeat on the library's fast path changes the term beside its main loop
// (hashicorp/raft issue 695).
func TestHeartbeatsTakeTheMainLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFabric()
		open := func(node skein.NodeID) *transport {
			return newTransport(newTrackedLayer(f.up(node, "a"), node), incoming{dir: t.TempDir()}, func() bool { return false }, newRaftLog(discardLog()))
		}
		from, to := open("a1"), open("b1")
		defer func() {
			for _, tr := range []*transport{from, to} {
				tr.shut()
				tr.wait()
			}
		}()
		fast := make(chan struct{}, 1)
		to.SetHeartbeatHandler(func(rpc raft.RPC) {
			fast <- struct{}{}
			rpc.Respond(&raft.AppendEntriesResponse{}, nil)
		})
		sent := make(chan error, 1)
		go func() {
			header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("a1"), Addr: []byte("a1")}
			sent <- from.AppendEntries("b1", "b1", &raft.AppendEntriesRequest{RPCHeader: header, Term: 9}, &raft.AppendEntriesResponse{})
		}()
		select {
		case rpc := <-to.Consumer():
			rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
		case <-fast:
			t.Error("the heartbeat took the fast path")
		case <-time.After(5 * time.Second):
			t.Error("the heartbeat did not arrive")
		}
		if err := <-sent; err != nil {
			t.Errorf("heartbeat: %v", err)
		}
	})
}

// TestStuckTransferEndsTheReplica: a leader that an interrupted transfer left refusing writes says so and ends
// (hashicorp/raft issue 696).
func TestStuckTransferEndsTheReplica(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		old := c.leader()
		flights, landed := make(chan flight), make(chan struct{}, 64)
		done := make(chan struct{})
		go func() {
			defer close(done)
			old.proposals.handOut(flights, landed, old.IsLeader)
		}()
		for range 8 {
			flights <- flight{future: refused{}}
			time.Sleep(time.Second)
		}
		close(flights)
		<-done
		select {
		case err := <-old.done:
			if !errors.Is(err, errTransferStuck) {
				t.Errorf("run: got %v, want %v", err, errTransferStuck)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("run goes on, want %v", errTransferStuck)
		}
		delete(c.nodes, old.cfg.Node)
		c.fabric.down(old.cfg.Node)
		c.propose(c.leader(), openCmd(1))
	})
}

// TestCrashBetweenInstallAndRestore: the library publishes a received snapshot before the state machine has taken
// it, and takes it as applied at the next start (rqlite issue 2747).
func TestCrashBetweenInstallAndRestore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.tune = func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 20, 5 }
		c.start("a1", "b1", "c1")
		c.propose(c.leader(), openCmd(1))
		c.converged()
		c.kill("c1")
		lead := c.leader()
		for i := range 60 {
			c.propose(lead, sayCmd(1, i+1, skein.Seq(1+2*i)))
		}
		c.until("a snapshot", 2*time.Minute, func() bool {
			first, err := lead.disk.logs.FirstIndex()
			return err == nil && first > 20
		})
		from, err := lead.disk.snapshots.List()
		if err != nil || len(from) == 0 {
			t.Fatalf("snapshots: got %d, %v", len(from), err)
		}
		newest := from[0]
		publish(t, lead, newest.ID, filepath.Join(c.dir, "c1"))
		c.start("c1")
		if got := c.nodes["c1"].disk.store.mark().index; got < newest.Index {
			t.Errorf("state of a replica that opens with a snapshot at %d: got index %d", newest.Index, got)
		}
		if c.nodes["c1"].Status().Fenced {
			t.Error("the replica has set its state aside")
		}
		c.converged()
		if st, err := c.nodes["c1"].disk.store.get(sid(1)); err != nil || st.Count != 60 {
			t.Errorf("session: got %+v, %v, want 60 turns", st, err)
		}
	})
}

// publish brings a snapshot of a leader to dir as far as the library's publication of it, and not to its restore.
func publish(t *testing.T, lead *member, id, dir string) {
	t.Helper()
	meta, r, err := lead.disk.snapshots.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	note, err := incoming{dir: dir, key: lead.cfg.SnapshotKey}.spool(r)
	if err != nil {
		t.Fatal(err)
	}
	labels, err := raft.NewFileSnapshotStoreWithLogger(dir, maxKept, newRaftLog(discardLog()))
	if err != nil {
		t.Fatal(err)
	}
	sink, err := labels.Create(meta.Version, meta.Index, meta.Term, meta.Configuration, meta.ConfigurationIndex, lead.transport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(note); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}
