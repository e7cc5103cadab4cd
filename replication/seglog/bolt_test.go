package seglog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

var (
	logsBucket   = []byte("logs")
	stableBucket = []byte("stable")
)

// deleteChunk is how many entries one transaction removes from the front, so that appends get in between.
const deleteChunk = 2048

// boltLog keeps the Raft log, the term and the vote in one bbolt file. It is what Log is measured against.
type boltLog struct {
	db   *bolt.DB
	path string
}

var (
	_ raft.LogStore    = (*boltLog)(nil)
	_ raft.StableStore = (*boltLog)(nil)
)

func openBolt(path string) (*boltLog, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(logsBucket)
		_, also := tx.CreateBucketIfNotExists(stableBucket)
		return errors.Join(err, also)
	})
	return &boltLog{db: db, path: path}, err
}

func (s *boltLog) Close() error { return s.db.Close() }

func indexKey(i uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), i) }

// FirstIndex gives the lowest index stored, 0 for an empty log.
func (s *boltLog) FirstIndex() (uint64, error) { return s.edge((*bolt.Cursor).First) }

// LastIndex gives the highest index stored, 0 for an empty log.
func (s *boltLog) LastIndex() (uint64, error) { return s.edge((*bolt.Cursor).Last) }

func (s *boltLog) edge(end func(*bolt.Cursor) ([]byte, []byte)) (i uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		key, _ := end(tx.Bucket(logsBucket).Cursor())
		if key == nil {
			return nil
		}
		if len(key) != 8 {
			return fmt.Errorf("%s: %w: a log key has %d bytes", s.path, ErrCorrupt, len(key))
		}
		i = binary.BigEndian.Uint64(key)
		return nil
	})
	return i, err
}

// GetLog reads one entry; raft.ErrLogNotFound when it is not there.
func (s *boltLog) GetLog(index uint64, l *raft.Log) error {
	return s.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(logsBucket).Get(indexKey(index))
		if v == nil {
			return raft.ErrLogNotFound
		}
		if err := decodeEntry(index, v, l); err != nil {
			return fmt.Errorf("%s: entry %d: %w", s.path, index, err)
		}
		return nil
	})
}

// StoreLog appends one entry.
func (s *boltLog) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries in one synced transaction.
func (s *boltLog) StoreLogs(logs []*raft.Log) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(logsBucket)
		b.FillPercent = 0.95 // keys only rise
		for _, l := range logs {
			if err := b.Put(indexKey(l.Index), appendEntry(nil, l)); err != nil {
				return fmt.Errorf("entry %d: %w", l.Index, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: append: %w", s.path, err)
	}
	return nil
}

// DeleteRange removes the entries from low to high, both included. A suffix goes in one transaction, so that a
// crash leaves no hole before a stale end; a prefix goes in chunks, from the front.
func (s *boltLog) DeleteRange(low, high uint64) error {
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	chunk := deleteChunk
	if high >= last {
		chunk = int(min(last, 1<<31)) + 1
	}
	for {
		n, err := s.deleteSome(low, high, chunk)
		if err != nil {
			return fmt.Errorf("%s: delete %d to %d: %w", s.path, low, high, err)
		}
		if n < chunk {
			return nil
		}
	}
}

func (s *boltLog) deleteSome(low, high uint64, chunk int) (n int, err error) {
	err = s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(logsBucket)
		var keys [][]byte
		c := b.Cursor()
		for k, _ := c.Seek(indexKey(low)); k != nil && len(keys) < chunk; k, _ = c.Next() {
			if binary.BigEndian.Uint64(k) > high {
				break
			}
			keys = append(keys, append([]byte(nil), k...))
		}
		n = len(keys)
		for _, k := range keys {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// Set stores a value, synced.
func (s *boltLog) Set(key, value []byte) error {
	err := s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(stableBucket).Put(key, value) })
	if err != nil {
		return fmt.Errorf("%s: set %s: %w", s.path, key, err)
	}
	return nil
}

// Get reads a value; errNotFound when it was never set.
func (s *boltLog) Get(key []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(stableBucket).Get(key)
		if v == nil {
			return errNotFound
		}
		value = append([]byte(nil), v...)
		return nil
	})
	return value, err
}

// SetUint64 stores a number, synced.
func (s *boltLog) SetUint64(key []byte, value uint64) error { return s.Set(key, indexKey(value)) }

// GetUint64 reads a number; errNotFound when it was never set.
func (s *boltLog) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%s: %w: %s has %d bytes", s.path, ErrCorrupt, key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}
