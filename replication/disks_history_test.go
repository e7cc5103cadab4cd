package replication

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/hashicorp/raft"
)

// sickParts are the disk of one run of one node.
type sickParts struct {
	log       *hangingLog
	snapshots *stagedSnapshots
}

// hangingLog is a log whose writes hang or fail.
type hangingLog struct {
	rawLog

	mu   sync.Mutex // guards the fields below
	hung chan struct{}
	err  error
	once bool // err is that of the next write only
	gone bool // the process counts as dead
}

func (h *hangingLog) spoil(err error, hang, once bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err, h.once = err, once
	if hang {
		h.hung = make(chan struct{})
	}
}

// release ends what spoil began; writes that hang return err when there is one.
func (h *hangingLog) release(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hung != nil {
		close(h.hung)
	}
	h.hung, h.err, h.once, h.gone = nil, err, false, err != nil
}

func (h *hangingLog) admit() error {
	h.mu.Lock()
	hung := h.hung
	h.mu.Unlock()
	if hung != nil {
		<-hung
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.err
	if h.once {
		h.err, h.once = nil, false
	}
	return err
}

func (h *hangingLog) StoreLogs(logs []*raft.Log) error {
	if err := h.admit(); err != nil {
		return err
	}
	return h.rawLog.StoreLogs(logs)
}

// SetUint64 fails only in a process that goes on: the library ends a goroutine of its own at that, and leaves calls
// unanswered, which nothing but the end of the process ends.
func (h *hangingLog) SetUint64(key []byte, v uint64) error {
	err := h.admit()
	h.mu.Lock()
	gone := h.gone
	h.mu.Unlock()
	if err != nil && !gone {
		return err
	}
	return h.rawLog.SetUint64(key, v)
}

func (p *sickParts) release(err error) {
	p.log.release(err)
	p.snapshots.release()
}

// stagedSnapshots is a snapshot store whose files cannot be written, or that stops before one is read.
type stagedSnapshots struct {
	raft.SnapshotStore

	mu      sync.Mutex // guards the fields below
	full    bool
	stop    chan struct{} // closed to let Open go on
	reached chan struct{} // closed when Open was called
	opened  bool          // reached is closed
}

func (s *stagedSnapshots) set(full, stop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
	if stop {
		s.stop, s.reached, s.opened = make(chan struct{}), make(chan struct{}), false
	}
}

func (s *stagedSnapshots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = false
	if s.stop != nil {
		close(s.stop)
		s.stop = nil
	}
}

type stagedSink struct {
	raft.SnapshotSink
	store *stagedSnapshots
}

func (s *stagedSnapshots) Create(v raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(v, index, term, conf, confIndex, t)
	if err != nil {
		return nil, err
	}
	return stagedSink{sink, s}, nil
}

func (s stagedSink) Write(buf []byte) (int, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.store.full {
		return 0, syscall.ENOSPC
	}
	return s.SnapshotSink.Write(buf)
}

// reaching gives what is closed when Open is stopped.
func (s *stagedSnapshots) reaching() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reached
}

// Open stops where told, before anything is read: the snapshot is complete, the state machine has not seen it.
func (s *stagedSnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	stop := s.stop
	if stop != nil && !s.opened {
		s.opened = true
		close(s.reached)
	}
	s.mu.Unlock()
	if stop == nil {
		return s.SnapshotStore.Open(id)
	}
	<-stop
	return nil, nil, fmt.Errorf("open snapshot %s: %w", id, errors.ErrUnsupported)
}
