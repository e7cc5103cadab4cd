package replication

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/skein-mesh/skein"
)

// refuseWrites opens the state file anew, for reading only: the next commit fails in the system.
func refuseWrites(t *testing.T, s *store) {
	t.Helper()
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(s.path(), 0, &bolt.Options{NoFreelistSync: true, OpenFile: func(name string, _ int, mode os.FileMode) (*os.File, error) {
		return os.OpenFile(name, os.O_RDONLY, mode)
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.db = db
}

// fillUp makes bbolt refuse to grow the state file.
func fillUp(_ *testing.T, s *store) {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	s.db.MaxSize = 1
}

// TestWriteErrorsEndTheReplicaAndLoseNothing: one replica's write fails while turns come in; what was
// acknowledged is there afterwards, once, also on that replica.
func TestWriteErrorsEndTheReplicaAndLoseNothing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*testing.T, *member, *sickLog)
		want  error
	}{
		{"append, no space", func(_ *testing.T, _ *member, s *sickLog) { s.fail(syscall.ENOSPC) }, syscall.ENOSPC},
		{"append, input/output error", func(_ *testing.T, _ *member, s *sickLog) { s.fail(syscall.EIO) }, syscall.EIO},
		{"commit of the state, no space", func(t *testing.T, m *member, _ *sickLog) { fillUp(t, m.disk.store) }, bolterrors.ErrMaxSizeReached},
		{"commit of the state, failed write", func(t *testing.T, m *member, _ *sickLog) { refuseWrites(t, m.disk.store) }, syscall.EBADF},
	} {
		for _, leads := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, leader %v", tt.name, leads), func(t *testing.T) {
				bubble(t, func(t *testing.T) { spoilOne(t, leads, tt.want, tt.spoil) })
			})
		}
	}
}

func spoilOne(t *testing.T, leads bool, want error, spoil func(*testing.T, *member, *sickLog)) {
	c := newCluster(t, "a1", "b1", "c1")
	defer c.stopAll()
	sick := map[skein.NodeID]*sickLog{}
	c.prepare = func(g *Group) { sick[g.cfg.Node] = makeSick(g) }
	c.start("a1", "b1", "c1")
	lead := c.leader()
	c.propose(lead, openCmd(1))
	var bad, good *member
	for _, m := range c.nodes {
		if (m == lead) == leads && bad == nil {
			bad = m
		} else {
			good = m
		}
	}
	const turns = 40
	for i := range turns {
		if i == turns/4 {
			spoil(t, bad, sick[bad.cfg.Node])
		}
		c.propose(good, sayCmd(1, i+1, skein.Seq(1+2*i)))
		time.Sleep(20 * time.Millisecond) // flushes come in between
	}
	select {
	case err := <-bad.done:
		if !errors.Is(err, want) {
			t.Errorf("run: got %v, want %v", err, want)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the replica goes on after a failed write")
	}
	node := bad.cfg.Node
	delete(c.nodes, node)
	c.fabric.down(node)
	c.start(node) // on a disk that is well
	c.converged()
	for id, m := range c.nodes {
		if st, err := m.disk.store.get(sid(1)); err != nil || st == nil || st.Count != turns || st.Seq != 1+2*turns {
			t.Errorf("session on %s: got %+v, %v, want %d turns", id, st, err, turns)
		}
		if m.Status().Fenced {
			t.Errorf("%s has set its state aside", id)
		}
	}
}

// sickSnapshots is a snapshot store whose files cannot be written while fail is set.
type sickSnapshots struct {
	raft.SnapshotStore
	fail  atomic.Bool
	tried atomic.Int32
}

type sickSink struct {
	raft.SnapshotSink
	store *sickSnapshots
}

func (s *sickSnapshots) Create(v raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(v, index, term, conf, confIndex, t)
	return sickSink{sink, s}, err
}

func (s sickSink) Write(buf []byte) (int, error) {
	if s.store.fail.Load() {
		s.store.tried.Add(1)
		return 0, syscall.ENOSPC
	}
	return s.SnapshotSink.Write(buf)
}

func TestFailedSnapshotKeepsTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.tune = func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 20, 5 }
		var all []*sickSnapshots
		c.prepare = func(g *Group) {
			s := &sickSnapshots{SnapshotStore: g.disk.snapshots}
			s.fail.Store(true)
			g.disk.snapshots = s
			all = append(all, s)
		}
		c.start("a1", "b1", "c1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		for i := range 60 {
			c.propose(lead, sayCmd(1, i+1, skein.Seq(1+2*i)))
		}
		tried := func() bool {
			for _, s := range all {
				if s.tried.Load() == 0 {
					return false
				}
			}
			return true
		}
		c.until("snapshots that failed", 2*time.Minute, tried)
		c.propose(lead, sayCmd(1, 61, 121))
		for id, m := range c.nodes {
			if first, err := m.disk.logs.FirstIndex(); err != nil || first != 1 {
				t.Errorf("log of %s after a failed snapshot: got first index %d, %v, want 1", id, first, err)
			}
			if left, err := filepath.Glob(filepath.Join(m.cfg.Dir, snapshotDir, "*")); err != nil || len(left) != 0 {
				t.Errorf("%s: what a failed snapshot left: %v, %v", id, left, err)
			}
		}
		for _, s := range all {
			s.fail.Store(false)
		}
		c.until("a log that was cut", 2*time.Minute, func() bool {
			first, err := lead.disk.logs.FirstIndex()
			return err == nil && first > 20
		})
		c.converged()
	})
}

func TestSnapshotThatCannotBeSpooledIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFabric()
		tr := newTransport(newTrackedLayer(f.up("a1", "a"), "a1"), incoming{dir: filepath.Join(t.TempDir(), "gone")}, func() bool { return false }, newRaftLog(discardLog()))
		defer func() {
			tr.shut()
			tr.wait()
		}()
		answer := make(chan raft.RPCResponse, 1)
		tr.admit(raft.RPC{Command: &raft.InstallSnapshotRequest{}, Reader: io.NopCloser(bytes.NewReader(nil)), RespChan: answer})
		if resp := <-answer; !errors.Is(resp.Error, os.ErrNotExist) {
			t.Errorf("snapshot without room to spool it: got %v, want %v", resp.Error, os.ErrNotExist)
		}
	})
}
