package replication

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A leader whose disk hangs keeps its lease by heartbeats alone (hashicorp/raft issue 503). Past diskHungQuiet
// its transport falls silent, so that the others elect; past diskHungExit the process has to end. A hung write is never
// given up while the replica runs on: it may still reach the disk.
const (
	diskHungQuiet = 2 * time.Second
	diskHungExit  = 10 * time.Second
)

// watchedLog is the log and stable store that raft sees. The first error of a write or a damaged entry is fatal
// and sticks: after a failed append the record may be on disk all the same and commit later.
type watchedLog struct {
	inner  rawLog
	fatal  func(error)
	disk   func() bool // whether any log on this disk hangs; nil: there are no others
	live   atomic.Bool // raft runs: its goroutines are ended rather than let into a panic
	since  atomic.Int64
	broken atomic.Pointer[error]
	keep   func() uint64 // the first entry that must stay in the log, 0: none has to
	epoch  time.Time     // since counts from here
	syncs  syncTimes     // how long appends took

	entries, bytes atomic.Uint64 // appended since the start
}

// rawLog is what watchedLog watches; a test puts a slow or failing one here.
type rawLog interface {
	raft.LogStore
	raft.MonotonicLogStore
	raft.StableStore
}

func newWatchedLog(inner rawLog, fatal func(error)) *watchedLog {
	return &watchedLog{inner: inner, fatal: fatal, keep: func() uint64 { return 0 }, epoch: time.Now()}
}

// hung reports whether a write, to this log or another one on its disk, has run for longer than a leader may stay silent
// about it.
func (w *watchedLog) hung() bool {
	if w.disk != nil {
		return w.disk()
	}
	return w.stuck()
}

// stuck is hung for this log alone.
func (w *watchedLog) stuck() bool {
	since := w.since.Load()
	return since != 0 && time.Since(w.epoch)-time.Duration(since) > diskHungQuiet
}

// appended gives how many entries were appended since the start, and their bytes.
func (w *watchedLog) appended() (entries, bytes uint64) { return w.entries.Load(), w.bytes.Load() }

// write runs a write of raft's main loop: while it lasts this replica can do nothing else, and hung sees it.
func (w *watchedLog) write(what string, f func() error) error {
	w.since.Store(int64(time.Since(w.epoch)) | 1)
	defer w.since.Store(0)
	return w.timed(what, f)
}

// timed runs one write under the watch.
func (w *watchedLog) timed(what string, f func() error) error {
	if err := w.broken.Load(); err != nil {
		return *err
	}
	exit := time.AfterFunc(diskHungExit, func() {
		w.fatal(fmt.Errorf("%s: %w: it has run for %v", what, ErrDiskHung, diskHungExit))
	})
	err := f()
	exit.Stop()
	if err != nil {
		err = fmt.Errorf("%w: %s, its outcome is unknown: %w", ErrStorage, what, err)
		w.broken.Store(&err)
		w.fatal(err)
	}
	return err
}

// end ends the calling goroutine of the library, which would panic on err; the group is stopping already.
func (w *watchedLog) end(err error) error {
	if w.live.Load() {
		runtime.Goexit()
	}
	return err
}

func (w *watchedLog) IsMonotonic() bool           { return w.inner.IsMonotonic() }
func (w *watchedLog) FirstIndex() (uint64, error) { return w.inner.FirstIndex() }
func (w *watchedLog) LastIndex() (uint64, error)  { return w.inner.LastIndex() }

func (w *watchedLog) GetLog(index uint64, l *raft.Log) error {
	err := w.inner.GetLog(index, l)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	w.fatal(fmt.Errorf("read the log: %w", err))
	return w.end(err)
}

func (w *watchedLog) StoreLog(l *raft.Log) error { return w.StoreLogs([]*raft.Log{l}) }

func (w *watchedLog) StoreLogs(logs []*raft.Log) error {
	began := time.Now()
	err := w.write("append to the log", func() error { return w.inner.StoreLogs(logs) })
	w.syncs.add(time.Since(began), time.Now())
	for _, l := range logs {
		w.bytes.Add(uint64(len(l.Data)))
	}
	w.entries.Add(uint64(len(logs)))
	return err
}

// DeleteRange removes entries; of the front, only what nobody needs. The library may keep as many as it likes.
func (w *watchedLog) DeleteRange(low, high uint64) error {
	if from := w.keep(); from != 0 && from <= high {
		last, err := w.inner.LastIndex()
		if err != nil {
			return err
		}
		if high < last {
			high = from - 1
		}
		if high < low {
			return nil
		}
	}
	return w.timed("cut the log", func() error { return w.inner.DeleteRange(low, high) })
}

func (w *watchedLog) Set(key, value []byte) error {
	return w.write("store the vote", func() error { return w.inner.Set(key, value) })
}

func (w *watchedLog) Get(key []byte) ([]byte, error) { return w.inner.Get(key) }

func (w *watchedLog) SetUint64(key []byte, value uint64) error {
	err := w.write("store the term", func() error { return w.inner.SetUint64(key, value) })
	if err != nil {
		return w.end(err)
	}
	return nil
}

func (w *watchedLog) GetUint64(key []byte) (uint64, error) { return w.inner.GetUint64(key) }
