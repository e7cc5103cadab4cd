package seglog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// open reads the headers of all files and the records of the newest one; older files are read when they are asked
// for. It changes nothing but what a crash left over.
func open(fs fileSystem, dir string) (*Log, error) {
	if err := fs.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("log %s: %w", dir, err)
	}
	// What is seen here may be in memory alone: the process may have died between a rename and its sync.
	if err := fs.SyncDir(dir); err != nil {
		return nil, fmt.Errorf("log %s: %w", dir, err)
	}
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", dir, err)
	}
	l := &Log{fs: fs, dir: dir, full: segmentBytes}
	void, err := l.readSegments(names)
	if err == nil {
		err = l.clear(names, void)
	}
	if err == nil {
		l.stable, err = openStable(fs, dir, len(l.segments) == 0)
	}
	if err != nil {
		for _, s := range l.segments {
			if s.f != nil {
				err = errors.Join(err, s.f.Close())
			}
		}
		if l.stable != nil {
			err = errors.Join(err, l.stable.close())
		}
		return nil, err
	}
	return l, nil
}

// clear removes files that were not finished and files without an entry that counts.
func (l *Log) clear(names []string, void []*segment) error {
	for _, name := range names {
		if strings.HasSuffix(name, newSuffix) {
			if err := l.fs.Remove(filepath.Join(l.dir, name)); err != nil {
				return fmt.Errorf("log %s: %w", l.dir, err)
			}
		}
	}
	if err := l.removeVoid(void); err != nil {
		return fmt.Errorf("log %s: %w", l.dir, err)
	}
	return nil
}

// readSegments builds the list of files, and gives those that hold nothing that counts.
func (l *Log) readSegments(names []string) (void []*segment, err error) {
	var seqs []uint64
	for _, name := range names {
		if seq, ok := parseName(name); ok {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	var all []*segment
	for _, seq := range seqs {
		s, err := openSegment(l.fs, l.dir, seq)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, nil
	}
	newest := all[len(all)-1]
	l.seq = newest.seq
	read, err := newest.scan(l.fs, 0)
	if err != nil {
		return nil, err
	}
	newest.f, newest.first, newest.offsets, newest.end = read.f, read.first, read.offsets, read.end
	l.segments = []*segment{newest}
	if n := len(read.offsets); n > 0 {
		newest.last = newest.first + uint64(n) - 1
	}
	bound := newest.after
	for _, s := range slices.Backward(all[:len(all)-1]) {
		if bound <= s.after {
			void = append(void, s)
		} else {
			if err := s.readFirst(l.fs); err != nil {
				return nil, err
			}
			if s.first > bound {
				return nil, fmt.Errorf("%s: %w: it begins with entry %d, later files go on behind %d", s.path, ErrCorrupt, s.first, bound)
			}
			s.last = bound
			l.segments = append(l.segments, s)
		}
		bound = min(bound, s.after)
	}
	slices.Reverse(l.segments)
	slices.Reverse(void)
	l.findEdges()
	return void, nil
}

// findEdges sets first and last from the files.
func (l *Log) findEdges() {
	for _, s := range l.segments {
		if s.first == 0 {
			continue
		}
		if l.first == 0 {
			l.first = s.first
		}
		l.last = s.last
	}
}
