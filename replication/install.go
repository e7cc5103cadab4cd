package replication

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
)

// halfWritten is what the library appends to the name of a snapshot that is being written.
const halfWritten = ".tmp"

var errHeld = errors.New("this replica has all of the snapshot")

// snapshotGate keeps a snapshot that brings nothing from being installed. A leader may send one to a follower that has
// gone on since: it replicates once more, when it stops doing so, to a member that it removed, and that member
// may be back by then. The library would drop every entry of the log, also those behind the snapshot that the
// follower has confirmed and the leader has counted, and then panic over the hole. Raft keeps the log if
// it has the snapshot's last entry (Ongaro and Ousterhout, section 7).
//
// The decision falls in Create: the library calls it on its main loop, where no entry can come between.
type snapshotGate struct {
	raft.SnapshotStore
	dir   string // of the snapshots
	holds func(index, term uint64) bool

	mu       sync.Mutex // guards the fields below
	incoming *raft.InstallSnapshotRequest
	declined bool
}

// expect announces what the library is about to receive; nil: it has ended. It reports whether the last one was declined.
func (s *snapshotGate) expect(req *raft.InstallSnapshotRequest) (declined bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	declined = s.declined
	s.incoming, s.declined = req, false
	return declined
}

// Create refuses the announced snapshot when this replica has it. It makes the names of the new one's files durable, which
// the library leaves out: a power loss would leave a snapshot without content behind a log that was cut.
func (s *snapshotGate) Create(v raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, t raft.Transport) (raft.SnapshotSink, error) {
	if s.decline(index, term) {
		return nil, errHeld
	}
	sink, err := s.SnapshotStore.Create(v, index, term, conf, confIndex, t)
	if err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Join(s.dir, sink.ID()+halfWritten)); err != nil {
		return nil, fmt.Errorf("new snapshot: %w", errors.Join(err, sink.Cancel()))
	}
	return sink, nil
}

func (s *snapshotGate) decline(index, term uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.incoming; r != nil && r.LastLogIndex == index && r.LastLogTerm == term {
		s.declined = s.holds(index, term)
	}
	return s.declined
}

// holdsEntry reports whether everything up to an entry is here: it is in the log, or was applied.
func (g *Group) holdsEntry(index, term uint64) bool {
	if r := g.raft.Load(); r != nil && r.AppliedIndex() >= index {
		return true
	}
	var l raft.Log
	return g.disk.logs.GetLog(index, &l) == nil && l.Term == term
}
