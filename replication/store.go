package replication

import (
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

const (
	stateFile = "state.db"

	cleanStates  = 1024     // sessions kept in memory that the disk has too
	cleanBytes   = 16 << 20 // likewise
	mostMapped   = 96 << 20 // bytes of mapped files that may stay in memory
	trimEvery    = 128      // reads of the file between two looks at that
	flushOps     = 8192     // changes that call for a flush at once
	maxPending   = 16384    // changes that may wait for the disk; beyond it the state machine waits
	maxPendBytes = 32 << 20 // likewise, in bytes of events
)

// change is what happened to one session since the last flush.
type change struct {
	state  *session.State
	events []storedEvent // kept ones, rising

	letters int // by how many dead letters the session has more than before this entry
}

// merge takes in what happened to the session after c.
func (c *change) merge(later *change) {
	c.state = later.state
	c.events = append(c.events, later.events...)
}

// batch is what one log entry did, published at once so that a flush never splits an entry.
type batch struct {
	at      mark
	changes map[skein.SessionID]*change
}

// store is the state of the group: bbolt behind an overlay in memory. The state machine is the only writer.
type store struct {
	dir   string
	key   []byte // of snapshots
	fatal func(error)
	kick  chan struct{} // capacity 1: a flush is wanted at once
	wake  chan struct{} // capacity 1: there is something to flush

	flushMu sync.Mutex // one flush, snapshot start or restore at a time; guards broken and known
	broken  error      // the first failed flush or restore; nothing is written after it
	known   *cache[*places]

	compacting   *compaction // nil: none is under way; guarded by flushMu
	compactLeast int64
	space        func() (free, total uint64, err error)
	log          *slog.Logger

	dbMu sync.RWMutex // guards db against the swap of a restore or a compaction; held while a transaction begins
	db   *bolt.DB

	views atomic.Uint64 // read transactions so far

	mu       sync.Mutex // guards the fields below; no I/O under it
	dirty    map[skein.SessionID]*change
	flushing map[skein.SessionID]*change
	clean    *cache[*session.State]
	open     map[skein.SessionID]*session.State // sessions with an open turn
	letters  int                                // dead letters in all sessions
	at       mark                               // what dirty, flushing and the disk hold together
	durable  uint64                             // index that the disk holds
	pending  int                                // changes in dirty
	bytes    int
	room     chan struct{} // closed when a flush made room
	watchers map[skein.SessionID]*watcher
	watching int
}

// openStore opens or makes the state file of dir. fatal is called with an error that ends the replica.
func openStore(dir string, fatal func(error)) (*store, error) {
	s := &store{
		dir: dir, fatal: fatal, kick: make(chan struct{}, 1), wake: make(chan struct{}, 1), watchers: map[skein.SessionID]*watcher{},
		compactLeast: compactLeast, space: func() (free, total uint64, err error) { return statSpace(dir) }, log: slog.New(slog.DiscardHandler),
	}
	if err := removeLeft(filepath.Join(dir, compactFile)); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	db, err := openState(s.path())
	if err != nil {
		return nil, err
	}
	if err := s.load(db); err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

func (s *store) path() string { return filepath.Join(s.dir, stateFile) }

// load makes db the store's and builds the overlay from it. Callers hold flushMu or are alone.
func (s *store) load(db *bolt.DB) error {
	var at mark
	letters := 0
	open := map[skein.SessionID]*session.State{}
	err := guarded(func() error {
		return db.View(func(tx *bolt.Tx) (err error) {
			if at, err = readMark(tx); err != nil {
				return err
			}
			letters = countLetters(tx)
			return tx.Bucket(openBucket).ForEach(func(id, _ []byte) error {
				st, err := readState(tx, skein.SessionID(id))
				if err == nil && st != nil {
					open[st.ID] = st
				}
				return err
			})
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.path(), err)
	}
	s.known = newCache(knownPlaces, knownBytes, sizeOfPlaces)
	s.dbMu.Lock()
	s.db = db
	s.dbMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty, s.flushing, s.clean, s.open = map[skein.SessionID]*change{}, nil, newCache(cleanStates, cleanBytes, sizeOf), open
	s.at, s.durable, s.pending, s.bytes, s.letters = at, at.index, 0, 0, letters
	for id := range s.watchers {
		s.notifyLocked(id)
	}
	return nil
}

// get gives the newest state of a session, nil when there is none.
func (s *store) get(id skein.SessionID) (*session.State, error) {
	if st := s.cached(id); st != nil {
		return st, nil
	}
	var st *session.State
	err := s.view(func(tx *bolt.Tx) (err error) {
		st, err = readState(tx, id)
		return err
	})
	return st, err
}

func (s *store) cached(id skein.SessionID) *session.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.dirty[id]; c != nil {
		return c.state
	}
	if c := s.flushing[id]; c != nil {
		return c.state
	}
	if st, ok := s.clean.get(id); ok {
		return st
	}
	return nil
}

// publish takes in what one log entry did. Only the state machine calls it.
func (s *store) publish(b batch) {
	s.mu.Lock()
	for id, c := range b.changes {
		s.takeLocked(id, c)
	}
	s.at = b.at
	s.pending++
	full := s.pending >= flushOps || s.bytes >= maxPendBytes/4
	s.mu.Unlock()
	signal(s.wake)
	if full {
		signal(s.kick)
	}
}

func (s *store) takeLocked(id skein.SessionID, c *change) {
	if old := s.dirty[id]; old != nil {
		old.merge(c)
	} else {
		s.dirty[id] = c
	}
	s.letters += c.letters
	s.pending += 1 + len(c.events)
	for i := range c.events {
		s.bytes += len(c.events[i].value)
	}
	if _, open := c.state.OpenTurn(); open {
		s.open[id] = c.state
	} else {
		delete(s.open, id)
	}
	s.notifyLocked(id)
}

// waitRoom blocks while too much waits for the disk; it returns at once when stop is closed.
func (s *store) waitRoom(stop <-chan struct{}) {
	for {
		s.mu.Lock()
		if s.pending < maxPending && s.bytes < maxPendBytes {
			s.mu.Unlock()
			return
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-stop:
			return
		}
	}
}

// mark gives the index that is applied with what belongs to it.
func (s *store) mark() mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *store) durableIndex() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable
}

// openStates lists the sessions that have an open turn.
func (s *store) openStates() map[skein.SessionID]*session.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.open)
}

func (s *store) openCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// overlaid gives what the overlay holds of a session's events, oldest first.
func (s *store) overlaid(id skein.SessionID) []storedEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	var events []storedEvent
	for _, m := range []map[skein.SessionID]*change{s.flushing, s.dirty} {
		if c := m[id]; c != nil {
			if events = append(events, c.events...); c.state.Phase.Gone() {
				events = nil
			}
		}
	}
	return events
}

func (s *store) close() error {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	return s.db.Close()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
