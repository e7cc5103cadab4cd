package replication

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
)

// A state file of which half is free pages is copied into a fresh one, which takes its place. The group goes on meanwhile: what is
// flushed during the copy is noted and written to the copy afterwards. Until the rename the old file is the state.
const (
	compactFile  = stateFile + ".compact"
	compactLeast = 16 << 20         // bytes of a file for which it is worth it
	compactChunk = 4 << 20          // bytes of a transaction of the copy; the log's syncs wait for it
	compactNotes = 64 << 20         // bytes of changes that may be noted; past it the copy is given up
	compactHeld  = 192 << 20        // bytes of the states that they keep in memory, likewise
	compactAgain = 10 * time.Minute // after one that was given up
	compactRest  = time.Minute      // after one
	compactTurns = 8                // rounds in which it may try to catch up while the group goes on
)

// errGivenUp says that the copy cannot become the state.
var errGivenUp = errors.New("the compaction was given up")

// compaction is a copy under way. Its notes belong to the store's flushMu.
type compaction struct {
	store *store
	path  string
	to    *bolt.DB        // the copy
	known *cache[*places] // of the copy
	void  atomic.Bool     // the state was replaced, or too much has changed
	notes map[skein.SessionID]*change
	at    mark // behind the notes
	bytes int  // of the notes' events
	held  int  // of their states
}

// note remembers what was flushed. Callers hold the store's flushMu.
func (c *compaction) note(changes map[skein.SessionID]*change, at mark) {
	for id, later := range changes {
		for i := range later.events {
			c.bytes += len(later.events[i].value)
		}
		c.held += sizeOf(later.state)
		if was := c.notes[id]; was != nil {
			c.held -= sizeOf(was.state)
			was.merge(later)
		} else {
			copied := *later
			copied.events = later.events[:len(later.events):len(later.events)]
			c.notes[id] = &copied
		}
	}
	c.at = at
	if c.bytes > compactNotes || c.held > compactHeld {
		c.giveUp()
	}
}

// giveUp ends a compaction whose copy will not be the state. Callers hold the store's flushMu.
func (c *compaction) giveUp() {
	c.void.Store(true)
	c.notes, c.bytes, c.held = nil, 0, 0
	c.store.compacting = nil
}

// wasteful reports whether half of the file or more is free pages.
func (s *store) wasteful() bool {
	var free, used int64
	if err := s.view(func(tx *bolt.Tx) error { // whose file a restore may be about to replace
		st := tx.DB().Stats()
		free, used = int64(st.FreePageN+st.PendingPageN)*int64(tx.DB().Info().PageSize), tx.Size()
		return nil
	}); err != nil {
		return false
	}
	return used >= s.compactLeast && 2*free >= used
}

// compact rewrites the state file. After an error the state is still the old file, and it may be tried again, unless the store is
// broken.
func (s *store) compact(ctx context.Context) error {
	c, tx, err := s.beginCompaction()
	if err != nil {
		return err
	}
	err = c.copy(ctx, tx)
	if err = errors.Join(err, tx.Rollback()); err == nil {
		err = c.catchUp()
	}
	var old *bolt.DB
	if err == nil {
		old, err = c.finish()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("compact %s: %w", s.path(), err), c.abandon())
	}
	return old.Close() // waits for those who still read it
}

// beginCompaction gives a transaction that reads what the notes begin behind.
func (s *store) beginCompaction() (*compaction, *bolt.Tx, error) {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	if s.broken != nil {
		return nil, nil, s.broken
	}
	tx, err := s.begin()
	if err != nil {
		return nil, nil, err
	}
	c := &compaction{store: s, path: filepath.Join(s.dir, compactFile), notes: map[skein.SessionID]*change{}}
	c.known = newCache(knownPlaces, knownBytes, sizeOfPlaces)
	if err := c.roomFor(tx); err != nil {
		return nil, nil, errors.Join(err, tx.Rollback())
	}
	s.compacting = c
	return c, tx, nil
}

// roomFor refuses a copy that the disk may have no room for.
func (c *compaction) roomFor(tx *bolt.Tx) error {
	free, _, err := c.store.space()
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	need := uint64(tx.Size())
	if err == nil && free < need {
		err = fmt.Errorf("the disk has %d bytes left, the copy may need %d", free, need)
	}
	return err
}

// copy fills the copy with what tx reads, in transactions of a few MiB. Behind each it waits as long as that took: others write to
// this disk, too.
func (c *compaction) copy(ctx context.Context, tx *bolt.Tx) (err error) {
	if err := removeLeft(c.path); err != nil {
		return err
	}
	if c.to, err = openDB(c.path, false); err != nil {
		return err
	}
	return tx.ForEach(func(name []byte, from *bolt.Bucket) error {
		cursor := from.Cursor()
		for k, v := cursor.First(); ; {
			if ctx.Err() != nil || c.void.Load() {
				return errGivenUp
			}
			begun := time.Now()
			if err := c.to.Update(func(to *bolt.Tx) (err error) {
				k, v, err = fill(to, name, cursor, k, v)
				return err
			}); err != nil || k == nil {
				return err
			}
			trim(tx)
			select {
			case <-time.After(time.Since(begun)):
			case <-ctx.Done():
			}
		}
	})
}

// fill puts a record and those behind it into a bucket, up to a chunk, and gives the next one.
func fill(to *bolt.Tx, name []byte, from *bolt.Cursor, k, v []byte) (nextKey, nextValue []byte, err error) {
	b, err := to.CreateBucketIfNotExists(name)
	if err != nil {
		return nil, nil, err
	}
	b.FillPercent = 0.9 // records in the order of their keys; a few of them will grow
	for size := 0; k != nil && size < compactChunk; k, v = from.Next() {
		if err := b.Put(k, v); err != nil {
			return nil, nil, err
		}
		size += len(k) + len(v)
	}
	return k, v, nil
}

// catchUp writes what was flushed meanwhile, until that is little.
func (c *compaction) catchUp() error {
	for range compactTurns {
		c.store.flushMu.Lock()
		notes, at, few := c.take(), c.at, c.bytes < compactChunk
		c.store.flushMu.Unlock()
		if c.void.Load() {
			return errGivenUp
		}
		if err := c.write(notes, at); err != nil || few {
			return err
		}
	}
	return nil
}

// take gives the notes and begins anew. Callers hold the store's flushMu.
func (c *compaction) take() map[skein.SessionID]*change {
	notes := c.notes
	c.notes, c.bytes, c.held = map[skein.SessionID]*change{}, 0, 0
	return notes
}

func (c *compaction) write(notes map[skein.SessionID]*change, at mark) error {
	if len(notes) == 0 && at.index == 0 {
		return nil // nothing was flushed
	}
	return c.to.Update(func(tx *bolt.Tx) error { return writeChanges(tx, c.known, notes, at) })
}

// finish writes the last notes and lets the copy take the place of the state file. The flush waits for that long. It gives the old
// file, which some may still read.
func (c *compaction) finish() (old *bolt.DB, err error) {
	s := c.store
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	if c.void.Load() {
		return nil, errGivenUp
	}
	if s.broken != nil {
		return nil, s.broken
	}
	if err := c.write(c.take(), c.at); err != nil {
		return nil, err
	}
	if err := c.to.Close(); err != nil {
		return nil, err
	}
	if err := os.Rename(c.path, s.path()); err != nil {
		return nil, err
	}
	s.compacting = nil
	// From here on there is no way back: which of the two files a power loss leaves is not known before the directory is synced, and
	// both hold what was flushed so far, nothing more.
	if err = syncDir(s.dir); err == nil {
		old, err = s.takeOver()
	}
	if err != nil {
		s.broken = fmt.Errorf("%s: take the place of the compacted file: %w", s.path(), err)
		s.fatal(s.broken)
	}
	return old, err
}

// abandon removes the copy.
func (c *compaction) abandon() error {
	c.store.flushMu.Lock()
	if c.store.compacting == c {
		c.giveUp()
	}
	c.store.flushMu.Unlock()
	if c.to == nil {
		return nil
	}
	return errors.Join(c.to.Close(), removeLeft(c.path))
}

func removeLeft(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
