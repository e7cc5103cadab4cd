package seglog

import (
	"errors"
	"fmt"
	"os"
)

// DeleteRange removes the entries from low to high, both included, from one end of the log. A suffix is gone for
// good when it returns; of a prefix the files go that lie in it, and the rest may come back when the log is opened.
func (l *Log) DeleteRange(low, high uint64) error {
	l.mu.RLock()
	first, last := l.first, l.last
	l.mu.RUnlock()
	var err error
	switch {
	case first == 0 || high < first || low > last || low > high:
		return nil
	case high >= last:
		err = l.deleteBack(low)
	case low <= first:
		err = l.deleteFront(high)
	default:
		err = fmt.Errorf("that is in the middle of %d to %d", first, last)
	}
	if err != nil {
		return fmt.Errorf("%s: delete %d to %d: %w", l.dir, low, high, err)
	}
	return nil
}

// deleteBack removes everything from low on.
func (l *Log) deleteBack(low uint64) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.broken != nil {
		return l.broken
	}
	if err := l.goOnBehind(l.lastBefore(low)); err != nil {
		l.broken = fmt.Errorf("%s: cut the end: %w", l.dir, err)
		return err
	}
	return nil
}

// lastBefore gives the highest entry below low, 0 when there is none.
func (l *Log) lastBefore(low uint64) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	after := uint64(0)
	if low > l.first {
		for _, s := range l.segments {
			if s.first != 0 && s.first < low {
				after = min(s.last, low-1)
			}
		}
	}
	return after
}

// deleteFront removes everything up to high; entries behind it stay. Appends go on meanwhile.
func (l *Log) deleteFront(high uint64) error {
	l.mu.Lock()
	if high >= l.last {
		l.mu.Unlock()
		return errors.New("the end was cut off meanwhile")
	}
	n := 0
	for n < len(l.segments)-1 && l.segments[n].last <= high {
		n++
	}
	gone := l.segments[:n]
	l.segments = l.segments[n:]
	l.first = max(high+1, l.segments[0].first)
	l.mu.Unlock()
	return l.remove(gone)
}

// remove deletes files, oldest first and each durably before the next, so that no crash brings back what a later
// file of them voids.
func (l *Log) remove(gone []*segment) error {
	l.removing.Lock()
	defer l.removing.Unlock()
	for _, s := range gone {
		if err := l.removeFile(s); err != nil {
			return err
		}
		if err := l.fs.SyncDir(l.dir); err != nil {
			return err
		}
	}
	return nil
}

// removeVoid deletes files that the newest file voids. They may come back: before that one can go, another is made,
// and its directory sync takes the removals along.
func (l *Log) removeVoid(void []*segment) error {
	l.removing.Lock()
	defer l.removing.Unlock()
	for _, s := range void {
		if err := l.removeFile(s); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) removeFile(s *segment) error {
	l.mu.Lock()
	f := s.f
	s.f, s.offsets = nil, nil
	l.mu.Unlock()
	var err error
	if f != nil {
		err = f.Close()
	}
	if rm := l.fs.Remove(s.path); !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}
