package replication

import (
	"context"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
)

// run flushes until ctx ends, every interval while there are changes; an idle store sleeps. Beside that it compacts a file of which
// half is free.
func (s *store) run(ctx context.Context, interval time.Duration) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	var compactor sync.WaitGroup
	defer compactor.Wait()
	inner, stop := context.WithCancel(ctx)
	defer stop()
	next := make(chan time.Time, 1) // when a compaction may begin; empty while one is under way
	next <- time.Time{}
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
		select {
		case at := <-next:
			if time.Now().Before(at) || !s.wasteful() {
				next <- at
				continue
			}
			compactor.Go(func() { next <- s.compactNow(inner) })
		default:
		}
	}
}

// compactNow gives when the next compaction may begin.
func (s *store) compactNow(ctx context.Context) time.Time {
	begun := time.Now()
	if err := s.compact(ctx); err != nil {
		if ctx.Err() == nil {
			s.log.Warn("the state file is not compacted", "err", err, "again_in", compactAgain)
		}
		return time.Now().Add(compactAgain)
	}
	s.log.Info("the state file is compacted", "took", time.Since(begun).Round(time.Millisecond))
	return time.Now().Add(compactRest)
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

	hung := time.AfterFunc(diskHungExit, func() { s.fatal(fmt.Errorf("%s: %w: a flush has run for %v", s.path(), ErrDiskHung, diskHungExit)) })
	defer hung.Stop()
	err := guarded(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			defer trim(tx)
			return writeChanges(tx, s.known, changes, at)
		})
	})
	if err != nil {
		return fmt.Errorf("%s: flush: %w", s.path(), err)
	}
	if s.compacting != nil {
		s.compacting.note(changes, at)
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
