package replication

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

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
	err := s.db.Update(func(tx *bolt.Tx) error { return writeChanges(tx, changes, at) })
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
		s.clean.Add(id, c.state) // a newer one in dirty goes before it
	}
	s.flushing, s.durable = nil, index
}

func writeChanges(tx *bolt.Tx, changes map[skein.SessionID]*change, at mark) error {
	opts := proto.MarshalOptions{Deterministic: true}
	sessions, events, open := tx.Bucket(sessionsBucket), tx.Bucket(eventsBucket), tx.Bucket(openBucket)
	for _, id := range slices.Sorted(maps.Keys(changes)) { // in key order, neighbours share pages
		c, key := changes[id], []byte(id)
		value, err := opts.Marshal(stateToWire(c.state))
		if err != nil {
			return fmt.Errorf("encode session %s: %w", id, err)
		}
		if err := sessions.Put(key, seal(key, value)); err != nil {
			return err
		}
		for i := range c.events {
			key := eventKey(id, c.events[i].seq)
			if err := events.Put(key, seal(key, c.events[i].value)); err != nil {
				return err
			}
		}
		if _, isOpen := c.state.OpenTurn(); isOpen {
			err = open.Put(key, []byte{})
		} else {
			err = open.Delete(key)
		}
		if err == nil {
			err = writeLetters(tx, key, letters(c.state))
		}
		if err != nil {
			return err
		}
	}
	return writeMark(tx, at)
}
