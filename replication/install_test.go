package replication

import (
	"bytes"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// TestStaleSnapshotIsDeclined: a follower that is ahead of a snapshot keeps what it has confirmed.
func TestStaleSnapshotIsDeclined(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		r := lead.raft.Load()
		if err := r.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		list, err := lead.disk.snapshots.List()
		if err != nil || len(list) == 0 {
			t.Fatalf("snapshots: got %v, %v", list, err)
		}
		for i := range 20 {
			c.propose(lead, sayCmd(1, i+1, skein.Seq(1+2*i)))
		}
		c.converged()
		var follower *member
		for _, m := range c.nodes {
			if m != lead {
				follower = m
			}
		}
		meta, content, err := lead.disk.snapshots.Open(list[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		var data bytes.Buffer
		if _, err := data.ReadFrom(content); err != nil {
			t.Fatal(err)
		}
		to := raft.ServerID(follower.cfg.Node)
		req := &raft.InstallSnapshotRequest{
			RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(lead.cfg.Node), Addr: []byte(lead.cfg.Node)},
			SnapshotVersion: meta.Version, Term: r.CurrentTerm(), LastLogIndex: meta.Index, LastLogTerm: meta.Term,
			Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex, Size: meta.Size,
		}
		before, err := follower.disk.logs.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		var resp raft.InstallSnapshotResponse
		if err := lead.transport.InstallSnapshot(to, raft.ServerAddress(to), req, &resp, &data); err != nil || !resp.Success {
			t.Errorf("the snapshot: got %+v, %v, want success", resp, err)
		}
		if after, err := follower.disk.logs.LastIndex(); err != nil || after < before {
			t.Errorf("log: ends at %d, %v, want at least %d", after, err, before)
		}
		if first, err := follower.disk.logs.FirstIndex(); err != nil || first != 1 {
			t.Errorf("log: begins at %d, %v, want 1", first, err)
		}
		c.propose(lead, sayCmd(1, 21, 41))
		time.Sleep(time.Second)
		c.converged()
	})
}
