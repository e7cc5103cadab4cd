package seglog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// A segment begins with a header in a block of its own, which no append writes again: magic, sequence number,
// the index it goes on behind, CRC32C.
const (
	segmentMagic  = "SKNLOG01"
	segmentHeader = 8 + 8 + 8 + 4
	recordsAt     = 4096
	segmentSuffix = ".seg"
	newSuffix     = ".new" // until it is synced; a crash may leave one

	segmentBytes = 16 << 20 // from here on the next append begins a new file
	minZeroed    = 64 << 10 // space is zeroed ahead in steps of the file's size, from this
	maxZeroed    = 1 << 20  // to this
	maxAppend    = 1 << 30  // bytes of one append
)

// segment is one file. Log.mu guards what is not fixed when it is made.
type segment struct {
	path       string
	seq, after uint64

	first, last uint64   // entries that count; first 0: none
	offsets     []uint32 // of the records from first on; nil: not read yet
	end         uint32   // behind the last record
	size        int64    // zeroed up to here
	f           file     // nil: closed
}

func segmentName(seq uint64) string { return fmt.Sprintf("%016x%s", seq, segmentSuffix) }

// parseName gives the sequence number in a segment's name.
func parseName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 16, 64)
	return seq, err == nil
}

// createSegment makes the file that goes on behind after. When it returns, everything beyond after in older files
// is void for good.
func createSegment(fs fileSystem, dir string, seq, after uint64) (*segment, error) {
	path := filepath.Join(dir, segmentName(seq))
	f, err := fs.Create(path + newSuffix)
	if err != nil {
		return nil, fmt.Errorf("new segment: %w", err)
	}
	buf := make([]byte, 0, minZeroed)
	buf = append(buf, segmentMagic...)
	buf = binary.BigEndian.AppendUint64(buf, seq)
	buf = binary.BigEndian.AppendUint64(buf, after)
	buf = binary.BigEndian.AppendUint32(buf, crc32.Checksum(buf, castagnoli))
	_, err = f.WriteAt(buf[:minZeroed], 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.Rename(path+newSuffix, path)
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("new segment %s: %w", path, errors.Join(err, f.Close()))
	}
	return &segment{path: path, seq: seq, after: after, offsets: []uint32{}, end: recordsAt, size: minZeroed, f: f}, nil
}

// openSegment reads the header of a file. A file that has its name has a header: it was synced before.
func openSegment(fs fileSystem, dir string, seq uint64) (*segment, error) {
	s := &segment{path: filepath.Join(dir, segmentName(seq)), seq: seq}
	f, err := fs.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, segmentHeader)
	if _, err := f.ReadAt(buf, 0); err != nil {
		return nil, fmt.Errorf("%s: %w: header: %w", s.path, ErrCorrupt, err)
	}
	body := buf[:segmentHeader-4]
	switch {
	case string(buf[:8]) != segmentMagic:
		return nil, fmt.Errorf("%s: %w: not a log segment of a version that this build knows", s.path, ErrCorrupt)
	case binary.BigEndian.Uint32(buf[len(body):]) != crc32.Checksum(body, castagnoli):
		return nil, fmt.Errorf("%s: %w: checksum of the header", s.path, ErrCorrupt)
	case binary.BigEndian.Uint64(buf[8:]) != seq:
		return nil, fmt.Errorf("%s: %w: the header is that of segment %x", s.path, ErrCorrupt, binary.BigEndian.Uint64(buf[8:]))
	}
	s.after = binary.BigEndian.Uint64(buf[16:])
	return s, nil
}

// readFirst finds the index of the first record of a file that is known to have one.
func (s *segment) readFirst(fs fileSystem) error {
	f, err := fs.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, recordHeader)
	if _, err := f.ReadAt(head, recordsAt); err != nil {
		return fmt.Errorf("%s: %w: offset %d: %w", s.path, ErrCorrupt, recordsAt, err)
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(head[4:])) + recordHeader
	if n > size-recordsAt {
		return s.corrupt(recordsAt)
	}
	buf := make([]byte, n)
	if _, err := f.ReadAt(buf, recordsAt); err != nil {
		return fmt.Errorf("%s: offset %d: %w", s.path, recordsAt, err)
	}
	r, ok := parseRecord(s.seq, recordsAt, buf)
	if !ok || r.index <= s.after {
		return s.corrupt(recordsAt)
	}
	s.first = r.index
	return nil
}

func (s *segment) corrupt(offset uint32) error {
	return fmt.Errorf("%s: %w: bad record at offset %d", s.path, ErrCorrupt, offset)
}

// scanned is what a file holds.
type scanned struct {
	f       file
	first   uint64
	offsets []uint32
	end     uint32
}

// scan reads the records of a file up to index last; 0 takes what is there up to a torn end, after a sync, since
// some of it may be in the page cache alone. The caller closes the file.
func (s *segment) scan(fs fileSystem, last uint64) (out scanned, err error) {
	f, err := fs.Open(s.path)
	if err != nil {
		return out, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if last == 0 {
		if err := f.Sync(); err != nil {
			return out, fmt.Errorf("%s: %w", s.path, err)
		}
	}
	buf, err := readWhole(f)
	if err != nil {
		return out, fmt.Errorf("%s: %w", s.path, err)
	}
	out = scanned{f: f, offsets: []uint32{}, end: recordsAt}
	next := uint64(0)
	for last == 0 || next <= last {
		rest := buf[min(int(out.end), len(buf)):]
		r, ok := parseRecord(s.seq, out.end, rest)
		if ok && next != 0 && r.index != next || ok && r.index <= s.after {
			return out, fmt.Errorf("%s: %w: entry %d at offset %d is out of order", s.path, ErrCorrupt, r.index, out.end)
		}
		if !ok {
			later, found := appendedLater(s.seq, out.end, rest)
			if last != 0 || found {
				return out, fmt.Errorf("%w (a good record of a later append: %v, at %d)", s.corrupt(out.end), found, later)
			}
			return out, nil
		}
		if next == 0 {
			out.first = r.index
		}
		next = r.index + 1
		out.offsets = append(out.offsets, out.end)
		out.end += uint32(r.length)
	}
	return out, nil
}

func readWhole(f file) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxAppend+2*segmentBytes {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrCorrupt, size)
	}
	buf := make([]byte, size)
	if n, err := f.ReadAt(buf, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else {
		buf = buf[:n]
	}
	return buf, nil
}
