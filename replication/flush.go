package replication

import (
	"context"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
)

// run flushes until ctx ends, every interval while there are changes; an idle store sleeps.
func (s *store) run(ctx context.Context, interval time.Duration) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		timer.Reset(interval)
		select {
		case <-timer.C:
		case <-s.kick:
		case <-ctx.Done():
			return
		}
		if err := s.flush(); err != nil {
			s.fatal(err)
			return
		}
	}
}

// flush writes everything that is applied in one synced transaction. After an error the store writes nothing more:
// what the disk holds is unknown, and a later flush would put its mark behind changes that were lost.
func (s *store) flush() error {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	if s.broken == nil {
		s.broken = s.flushLocked()
	}
	return s.broken
}

// flushLocked needs flushMu.
func (s *store) flushLocked() error {
	s.mu.Lock()
	if s.at.index == s.durable {
		s.mu.Unlock()
		return nil
	}
	changes, at := s.dirty, s.at
	s.flushing, s.dirty = changes, map[skein.SessionID]*change{}
	s.pending, s.bytes = 0, 0
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
	s.mu.Unlock()

	hung := time.AfterFunc(diskHungExit, func() { s.fatal(fmt.Errorf("%s: %w: a flush has run for %v", s.path(), errDiskHung, diskHungExit)) })
	defer hung.Stop()
	err := s.db.Update(func(tx *bolt.Tx) error { return s.writeChanges(tx, changes, at) })
	if err != nil {
		return fmt.Errorf("%s: flush: %w", s.path(), err)
	}
	s.flushed(at.index)
	return nil
}

func (s *store) flushed(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.flushing {
		s.clean.put(id, c.state) // a newer one in dirty goes before it
	}
	s.flushing, s.durable = nil, index
}
