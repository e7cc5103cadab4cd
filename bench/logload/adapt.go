package logload

import (
	"encoding/binary"
	"fmt"
)

// entrySize is the number of bytes of data in an entry.
const entrySize = 1 << 10

// Store is a Raft log with its term, of any version of raft.
type Store interface {
	append(first uint64, n int) error // n entries, synced
	read(index uint64) error          // and verify
	bounds() (first, last uint64, err error)
	remove(low, high uint64) error
	setTerm(n uint64) error
	close() error
}

// LogStore is raft.LogStore and raft.StableStore, as far as they are measured, with L the raft.Log of some version.
type LogStore[L any] interface {
	FirstIndex() (uint64, error)
	LastIndex() (uint64, error)
	GetLog(index uint64, entry *L) error
	StoreLogs(entries []*L) error
	DeleteRange(low, high uint64) error
	SetUint64(key []byte, value uint64) error
	Close() error
}

// Entry makes entries of one version of raft and gives back their data.
type Entry[L any] struct {
	Make func(index uint64, data []byte) *L
	Data func(*L) []byte
}

// Adapt makes a store measurable.
func Adapt[L any](s LogStore[L], e Entry[L]) Store { return adapted[L]{s, e} }

type adapted[L any] struct {
	store LogStore[L]
	entry Entry[L]
}

func (a adapted[L]) append(first uint64, n int) error {
	entries := make([]*L, n)
	block := make([]byte, n*entrySize)
	for i := range entries {
		data := block[i*entrySize : (i+1)*entrySize : (i+1)*entrySize]
		index := first + uint64(i)
		binary.BigEndian.PutUint64(data, index)
		entries[i] = a.entry.Make(index, data)
	}
	return a.store.StoreLogs(entries)
}

func (a adapted[L]) read(index uint64) error {
	var l L
	if err := a.store.GetLog(index, &l); err != nil {
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	data := a.entry.Data(&l)
	if len(data) != entrySize || binary.BigEndian.Uint64(data) != index {
		return fmt.Errorf("entry %d is not what was written", index)
	}
	return nil
}

func (a adapted[L]) bounds() (first, last uint64, err error) {
	if first, err = a.store.FirstIndex(); err != nil {
		return 0, 0, err
	}
	last, err = a.store.LastIndex()
	return first, last, err
}

func (a adapted[L]) remove(low, high uint64) error { return a.store.DeleteRange(low, high) }
func (a adapted[L]) setTerm(n uint64) error        { return a.store.SetUint64([]byte("CurrentTerm"), n) }
func (a adapted[L]) close() error                  { return a.store.Close() }
