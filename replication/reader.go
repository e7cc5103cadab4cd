package replication

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// view runs f in a read transaction. Transactions are short: a long one keeps pages from being reused.
func (s *store) view(f func(*bolt.Tx) error) (err error) {
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	if s.views.Add(1)%trimEvery == 0 {
		trim(tx)
	}
	if err := guarded(func() error { return f(tx) }); err != nil {
		return fmt.Errorf("%s: %w", s.path(), err)
	}
	return nil
}

// trim gives mapped pages back when there are many.
func trim(tx *bolt.Tx) {
	if fileResident() > mostMapped {
		forgetMapped(tx)
	}
}

// begin begins a read transaction, whose file stays open until it ends.
func (s *store) begin() (*bolt.Tx, error) {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path(), err)
	}
	return tx, nil
}

// takeOver opens the state file in the place of the one that is open, and gives that. Callers hold flushMu.
func (s *store) takeOver() (old *bolt.DB, err error) {
	db, err := openState(s.path())
	if err != nil {
		return nil, err
	}
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	old, s.db = s.db, db
	return old, nil
}
