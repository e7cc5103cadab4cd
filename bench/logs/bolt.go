package logs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

var (
	entries = []byte("entries")
	stable  = []byte("stable")
)

// cutChunk is how many entries one transaction removes from the front, so that appends get in between.
const cutChunk = 2048

// boltLog is the Raft log in one bbolt file, as the product had it first: one synced transaction an append.
type boltLog struct{ db *bolt.DB }

func openBolt(path string) (*boltLog, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(entries)
		_, also := tx.CreateBucketIfNotExists(stable)
		return errors.Join(err, also)
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &boltLog{db}, nil
}

func (s *boltLog) Close() error { return s.db.Close() }

// FirstIndex gives the lowest index stored, 0 for an empty log.
func (s *boltLog) FirstIndex() (uint64, error) { return s.edge((*bolt.Cursor).First) }

// LastIndex gives the highest index stored, 0 for an empty log.
func (s *boltLog) LastIndex() (uint64, error) { return s.edge((*bolt.Cursor).Last) }

func (s *boltLog) edge(end func(*bolt.Cursor) ([]byte, []byte)) (index uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		if key, _ := end(tx.Bucket(entries).Cursor()); key != nil {
			index = binary.BigEndian.Uint64(key)
		}
		return nil
	})
	return index, err
}

// GetLog reads one entry; raft.ErrLogNotFound when it is not there.
func (s *boltLog) GetLog(index uint64, l *raft.Log) error {
	return s.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(entries).Get(number(index))
		if len(v) < 9 {
			return raft.ErrLogNotFound
		}
		l.Index, l.Term, l.Type = index, binary.BigEndian.Uint64(v), raft.LogType(v[8])
		l.Data = append([]byte(nil), v[9:]...)
		return nil
	})
}

// StoreLogs appends entries in one synced transaction.
func (s *boltLog) StoreLogs(logs []*raft.Log) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(entries)
		b.FillPercent = 0.95 // keys only rise
		for _, l := range logs {
			v := append(append(number(l.Term), byte(l.Type)), l.Data...)
			if err := b.Put(number(l.Index), v); err != nil {
				return fmt.Errorf("entry %d: %w", l.Index, err)
			}
		}
		return nil
	})
}

// DeleteRange removes the entries from low to high: a suffix in one transaction, so that a crash leaves no hole
// before a stale end, a prefix in chunks from the front.
func (s *boltLog) DeleteRange(low, high uint64) error {
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	step := uint64(cutChunk)
	if high >= last {
		step = high - low + 1
	}
	for ; low <= high; low += step {
		err := s.db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket(entries)
			for i := low; i <= min(low+step-1, high); i++ {
				if err := b.Delete(number(i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// SetUint64 stores a number, synced.
func (s *boltLog) SetUint64(key []byte, value uint64) error {
	return s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(stable).Put(key, number(value)) })
}

func number(i uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 16), i) }
