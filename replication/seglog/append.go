package seglog

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// keepBuffer is how large a buffer for appends is kept between them.
const keepBuffer = 2 << 20

// StoreLog appends one entry.
func (l *Log) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries that follow each other, with one write and one sync. The first may leave a gap behind the
// log's end; it must not be at or before it.
func (l *Log) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.broken != nil {
		return l.broken
	}
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	for i, e := range entries {
		if e.Index <= last || i > 0 && e.Index != last+1 {
			return fmt.Errorf("%s: append: entry %d behind entry %d", l.dir, e.Index, last)
		}
		last = e.Index
	}
	if err := l.append(entries); err != nil {
		l.broken = fmt.Errorf("%s: append: %w", l.dir, err)
		return l.broken
	}
	return nil
}

func (l *Log) append(entries []*raft.Log) error {
	if err := l.makeRoom(entries[0].Index); err != nil {
		return err
	}
	s := l.active
	l.mu.RLock()
	start, size := s.end, s.size
	l.mu.RUnlock()
	buf, offsets := l.buf[:0], make([]uint32, 0, len(entries))
	for _, e := range entries {
		offsets = append(offsets, start+uint32(len(buf)))
		if len(buf)+len(e.Data)+len(e.Extensions) > maxAppend {
			return fmt.Errorf("more than %d bytes at once", maxAppend)
		}
		buf = appendRecord(buf, s.seq, start, e)
	}
	end := int64(start) + int64(len(buf))
	if end > size { // zero the space for the next appends on the way, so that their syncs change no metadata
		step := min(max(size, minZeroed), maxZeroed)
		size = (end + step - 1) / step * step
		buf = append(buf, make([]byte, size-end)...)
	}
	if l.buf = buf; cap(buf) > keepBuffer {
		l.buf = nil
	}
	if _, err := s.f.WriteAt(buf, int64(start)); err != nil {
		return err
	}
	if err := s.f.Sync(); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.first == 0 {
		s.first = entries[0].Index
	}
	if l.first == 0 {
		l.first = entries[0].Index
	}
	s.offsets, s.end, s.size = append(s.offsets, offsets...), uint32(end), size
	s.last = entries[len(entries)-1].Index
	l.last = s.last
	return nil
}

// makeRoom begins a new file when there is none to go on in, when it is full, or before a gap.
func (l *Log) makeRoom(index uint64) error {
	l.mu.RLock()
	s, last := l.active, l.last
	fits := s != nil && (s.first == 0 || s.end < l.full && index == last+1)
	l.mu.RUnlock()
	if fits {
		return nil
	}
	return l.goOnBehind(last)
}

// goOnBehind makes the file that cuts the log off behind after, which is an entry of it or 0.
func (l *Log) goOnBehind(after uint64) error {
	s, err := createSegment(l.fs, l.dir, l.seq+1, after)
	if err != nil {
		return err
	}
	l.seq++
	l.active = s
	var void []*segment
	l.mu.Lock()
	kept := l.segments[:0:0]
	for _, old := range l.segments {
		if old.first == 0 || old.first > after {
			void = append(void, old)
			continue
		}
		old.last = min(old.last, after)
		kept = append(kept, old)
	}
	l.segments = append(kept, s)
	l.last = after
	if len(kept) == 0 {
		l.first, l.last = 0, 0
	}
	l.mu.Unlock()
	return l.removeVoid(void)
}
