package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"path/filepath"
	"slices"
	"sync"
)

// The stable file has two slots, written in turn, of two equal copies each: a write that is torn spares the other
// slot, a block that goes bad spares the other copy. First come the first copies of both slots, then the second ones: a
// bad stretch of two copies' length takes one of each at most, and never the newer slot alone, which would bring an
// older vote back. Files of builds that had the copies of a slot side by side are read alike. A copy: magic, generation, length, keys and values with their
// lengths (2 bytes each), CRC32C over the copy's generation and all before it.
const (
	stableName   = "stable"
	stableMagic  = "SKNSTB01"
	stableCopy   = 4096
	stableSize   = 4 * stableCopy
	stableHeader = 8 + 8 + 4
	stableMax    = stableCopy - stableHeader - 4 // bytes of keys and values
)

// errNotFound has the exact text by which the library knows a key that was never set.
var errNotFound = errors.New("not found")

type stable struct {
	path string

	mu         sync.Mutex // guards the fields below; held over a write, which readers have to wait for
	f          file
	generation uint64
	values     map[string][]byte
	broken     error
}

// openStable opens the file, and makes it when the log is fresh.
func openStable(fs fileSystem, dir string, fresh bool) (*stable, error) {
	s := &stable{path: filepath.Join(dir, stableName), values: map[string][]byte{}}
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", dir, err)
	}
	if !slices.Contains(names, stableName) {
		if !fresh {
			return nil, fmt.Errorf("%s: %w: the log is there, term and vote are not", s.path, ErrCorrupt)
		}
		if err := s.create(fs, dir); err != nil {
			return nil, fmt.Errorf("make %s: %w", s.path, err)
		}
		return s, nil
	}
	if s.f, err = fs.Open(s.path); err != nil {
		return nil, err
	}
	if err := s.read(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, errors.Join(err, s.f.Close()))
	}
	return s, nil
}

func (s *stable) create(fs fileSystem, dir string) error {
	f, err := fs.Create(s.path + newSuffix)
	if err != nil {
		return err
	}
	s.f = f
	_, err = f.WriteAt(make([]byte, stableSize), 0)
	if err == nil {
		err = s.write(0)
	}
	if err == nil {
		err = fs.Rename(s.path+newSuffix, s.path)
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// copiesAt gives where the copies of a generation's slot are.
func copiesAt(generation uint64) [2]int64 {
	first := int64(generation%2) * stableCopy
	return [2]int64{first, first + 2*stableCopy}
}

// write puts the values into the slot of generation, synced.
func (s *stable) write(generation uint64) error {
	one := s.encode(generation)
	for _, at := range copiesAt(generation) {
		if _, err := s.f.WriteAt(one, at); err != nil {
			return err
		}
	}
	return s.f.Sync()
}

// encode gives a copy.
func (s *stable) encode(generation uint64) []byte {
	var body []byte
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		body = binary.BigEndian.AppendUint16(body, uint16(len(k)))
		body = append(body, k...)
		body = binary.BigEndian.AppendUint16(body, uint16(len(s.values[k])))
		body = append(body, s.values[k]...)
	}
	buf := make([]byte, 0, stableCopy)
	buf = append(buf, stableMagic...)
	buf = binary.BigEndian.AppendUint64(buf, generation)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(body)))
	buf = append(buf, body...)
	buf = binary.BigEndian.AppendUint32(buf, crc32.Checksum(buf, castagnoli))
	return append(buf, make([]byte, stableCopy-len(buf))...)
}

// decodeStable reads a copy.
func decodeStable(buf []byte) (generation uint64, values map[string][]byte, ok bool) {
	if len(buf) < stableHeader+4 || string(buf[:8]) != stableMagic {
		return 0, nil, false
	}
	n := binary.BigEndian.Uint32(buf[16:])
	if uint64(n) > uint64(len(buf)-stableHeader-4) {
		return 0, nil, false
	}
	end := stableHeader + int(n)
	if binary.BigEndian.Uint32(buf[end:]) != crc32.Checksum(buf[:end], castagnoli) {
		return 0, nil, false
	}
	values = map[string][]byte{}
	for body := buf[stableHeader:end]; len(body) > 0; {
		key, rest, ok := cutField(body)
		if !ok {
			return 0, nil, false
		}
		value, rest, ok := cutField(rest)
		if !ok {
			return 0, nil, false
		}
		values[string(key)] = slices.Clone(value)
		body = rest
	}
	return binary.BigEndian.Uint64(buf[8:]), values, true
}

func cutField(buf []byte) (field, rest []byte, ok bool) {
	if len(buf) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(buf))
	if n > len(buf)-2 {
		return nil, nil, false
	}
	return buf[2 : 2+n], buf[2+n:], true
}

// read takes the newest copy that verifies, and mends its slot: with one copy left, the next bad block would bring the
// older slot back. It syncs first: what it sees may be in memory alone.
func (s *stable) read() error {
	if err := s.f.Sync(); err != nil {
		return err
	}
	buf, err := readWhole(s.f)
	if err != nil {
		return err
	}
	found := false
	for at := 0; at+stableCopy <= min(len(buf), stableSize); at += stableCopy {
		generation, values, ok := decodeStable(buf[at : at+stableCopy])
		if ok && (!found || generation > s.generation) {
			s.generation, s.values, found = generation, values, true
		}
	}
	if !found {
		return fmt.Errorf("%w: none of its copies of term and vote verifies", ErrCorrupt)
	}
	return s.mend(buf)
}

// mend writes again what buf, the file, does not hold of the present generation.
func (s *stable) mend(buf []byte) error {
	one, mended := s.encode(s.generation), false
	for _, at := range copiesAt(s.generation) {
		if int(at)+stableCopy <= len(buf) && bytes.Equal(buf[at:at+stableCopy], one) {
			continue
		}
		if _, err := s.f.WriteAt(one, at); err != nil {
			return err
		}
		mended = true
	}
	if !mended {
		return nil
	}
	return s.f.Sync()
}

func (s *stable) set(key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	size := 0
	next := maps.Clone(s.values)
	next[string(key)] = slices.Clone(value)
	for k, v := range next {
		size += 4 + len(k) + len(v)
	}
	if size > stableMax {
		return fmt.Errorf("%s: set %s: more than %d bytes in all", s.path, key, stableMax)
	}
	old := s.values
	s.values = next
	if err := s.write(s.generation + 1); err != nil {
		s.values = old
		s.broken = fmt.Errorf("%s: set %s: %w", s.path, key, err)
		return s.broken
	}
	s.generation++
	return nil
}

func (s *stable) get(key []byte) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[string(key)]
	return slices.Clone(v), ok
}

func (s *stable) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = fmt.Errorf("%s is closed", s.path)
	}
	return s.f.Close()
}

// Set stores a value, synced. Keys and values have 4 KiB in all.
func (l *Log) Set(key, value []byte) error { return l.stable.set(key, value) }

// Get reads a value. The error for a key that was never set has the text that raft looks for.
func (l *Log) Get(key []byte) ([]byte, error) {
	v, ok := l.stable.get(key)
	if !ok {
		return nil, errNotFound
	}
	return v, nil
}

// SetUint64 stores a number, synced.
func (l *Log) SetUint64(key []byte, value uint64) error {
	return l.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 reads a number; for a key that was never set see Get.
func (l *Log) GetUint64(key []byte) (uint64, error) {
	v, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%s: %w: %s has %d bytes", l.stable.path, ErrCorrupt, key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}
