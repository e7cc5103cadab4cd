package seglog

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// maxLoaded is how many older files may be open with their offsets in memory.
const maxLoaded = 16

// readTries bounds how often a read goes back to find its file, which others may close meanwhile.
const readTries = 8

// Log is a raft.LogStore and raft.StableStore. Its methods may be called from several goroutines.
type Log struct {
	fs  fileSystem
	dir string

	full uint32 // a file of this size is followed by another

	writing sync.Mutex // one append or truncation at a time; it guards the fields below and is held over I/O
	buf     []byte
	broken  error // the first failed write
	seq     uint64
	active  *segment // where appends go; nil: the next one makes a file

	removing sync.Mutex // files go one at a time, in order; held over I/O

	mu       sync.RWMutex // guards the fields below, and the segments'; no I/O under it
	segments []*segment   // oldest first; the newest may be empty, the others have entries
	first    uint64       // 0: empty
	last     uint64

	stable *stable
}

var (
	_ raft.LogStore          = (*Log)(nil)
	_ raft.MonotonicLogStore = (*Log)(nil)
	_ raft.StableStore       = (*Log)(nil)
)

// Open opens or makes the log in dir, whose parent exists. No other process may have it open.
func Open(dir string) (*Log, error) { return open(hostFS{}, dir) }

// IsMonotonic asks raft to remove the whole log when it has installed a snapshot, rather than leave entries before a
// gap: those may never have been committed, and a leader would hand them on.
func (l *Log) IsMonotonic() bool { return true }

// FirstIndex gives the lowest index stored, 0 for an empty log.
func (l *Log) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first, nil
}

// LastIndex gives the highest index stored, 0 for an empty log.
func (l *Log) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last, nil
}

// Close closes the files. Nothing waits to be written.
func (l *Log) Close() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.broken == nil {
		l.broken = fmt.Errorf("%s: %w", l.dir, os.ErrClosed)
	}
	l.mu.Lock()
	var files []file
	for _, s := range l.segments {
		if s.f != nil {
			files = append(files, s.f)
			s.f, s.offsets = nil, nil
		}
	}
	l.segments, l.first, l.last, l.active = nil, 0, 0, nil
	l.mu.Unlock()
	err := l.stable.close()
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// GetLog reads one entry; raft.ErrLogNotFound when it is not there.
func (l *Log) GetLog(index uint64, entry *raft.Log) error {
	for range readTries {
		s, f, at, n := l.find(index)
		if s == nil {
			return raft.ErrLogNotFound
		}
		if f == nil {
			if err := l.load(s); err != nil {
				return err
			}
			continue
		}
		buf := make([]byte, n)
		_, err := f.ReadAt(buf, int64(at))
		if errors.Is(err, os.ErrClosed) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: offset %d: %w", s.path, at, err)
		}
		r, ok := parseRecord(s.seq, at, buf)
		if !ok || r.index != index {
			return s.corrupt(at)
		}
		if err := decodeEntry(index, r.entry, entry); err != nil {
			return fmt.Errorf("%s: offset %d: %w", s.path, at, err)
		}
		return nil
	}
	return fmt.Errorf("%s: entry %d: its file is opened and closed all the time", l.dir, index)
}

// find gives the file of an entry and the place in it; f is nil while the file has not been read.
func (l *Log) find(index uint64) (s *segment, f file, at, n uint32) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if index < l.first || index > l.last || l.first == 0 {
		return nil, nil, 0, 0
	}
	i, found := slices.BinarySearchFunc(l.segments, index, func(s *segment, index uint64) int {
		switch {
		case s.first == 0 || s.first > index: // only the newest has none
			return 1
		case s.last < index:
			return -1
		}
		return 0
	})
	if !found {
		return nil, nil, 0, 0
	}
	s = l.segments[i]
	if s.f == nil {
		return s, nil, 0, 0
	}
	k := int(index - s.first)
	end := s.end
	if k+1 < len(s.offsets) {
		end = s.offsets[k+1]
	}
	return s, s.f, s.offsets[k], end - s.offsets[k]
}

// load reads the offsets of an older file.
func (l *Log) load(s *segment) error {
	l.mu.RLock()
	last := s.last
	l.mu.RUnlock()
	read, err := s.scan(l.fs, last)
	if errors.Is(err, os.ErrNotExist) {
		l.mu.RLock()
		gone := !slices.Contains(l.segments, s)
		l.mu.RUnlock()
		if gone {
			return nil // removed meanwhile: find says so
		}
	}
	if err != nil {
		return err
	}
	spare := read.f
	l.mu.Lock()
	if s.f == nil && slices.Contains(l.segments, s) && read.first == s.first {
		spare = l.unloadLocked()
		s.f, s.offsets, s.end = read.f, read.offsets, read.end
	}
	l.mu.Unlock()
	if spare != nil {
		return spare.Close()
	}
	return nil
}

// unloadLocked makes room for one more file in memory and gives the one that has to be closed, if any. The oldest goes:
// raft reads forward.
func (l *Log) unloadLocked() file {
	var oldest *segment
	n := 0
	for _, s := range l.segments[:len(l.segments)-1] {
		if s.f == nil {
			continue
		}
		if n++; oldest == nil {
			oldest = s
		}
	}
	if n < maxLoaded {
		return nil
	}
	f := oldest.f
	oldest.f, oldest.offsets = nil, nil
	return f
}
