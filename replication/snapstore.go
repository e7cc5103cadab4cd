package replication

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// What a snapshot in the library's store holds is a note of where its state is: in the state file, or, while a received
// one waits to be restored, in a file beside it. A copy is made when somebody wants to read it, a follower above all.
const (
	placeMagic   = "SKNPLACE"
	placeMinimum = len(placeMagic) + 8
	incomingAs   = "incoming-" // state received from a leader, verified; the name of a file
	outgoingAs   = "outgoing-" // copy that is being read
)

// place is where the state of a snapshot is.
type place struct {
	reached uint64 // the index that the state has reached, which a label may exceed by entries without effect
	file    string // name of the file beside the state file that has it; empty: the state file
}

func (p place) encode() []byte {
	return append(binary.BigEndian.AppendUint64([]byte(placeMagic), p.reached), p.file...)
}

// decodePlace reads a note; ok is false when buf is something else.
func decodePlace(buf []byte) (p place, ok bool) {
	if len(buf) < placeMinimum || string(buf[:len(placeMagic)]) != placeMagic {
		return p, false
	}
	p.reached, p.file = binary.BigEndian.Uint64(buf[len(placeMagic):]), string(buf[placeMinimum:])
	if p.file != "" && (!strings.HasPrefix(p.file, incomingAs) || filepath.Base(p.file) != p.file) {
		return p, false
	}
	return p, true
}

// snapshots is the library's store with snapshots that hold no copy.
type snapshots struct {
	raft.SnapshotStore
	store *store
	holds *holds
	stop  <-chan struct{} // closed when the group stops: copies under way are given up

	readers atomic.Uint64 // so far: each holds the log by itself
	copying sync.Mutex    // one copy is made at a time
}

// Open opens a snapshot: its state, copied and sealed, or, for one that was received and is still to be restored, the note of where
// its state is, which store.restore reads. The entries behind its label stay in the log until it is closed.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.SnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	in := bufio.NewReaderSize(r, 4096)
	head, _ := in.Peek(4096)
	p, ok := decodePlace(head)
	if !ok || p.file != "" && exists(filepath.Join(s.store.dir, p.file)) {
		return meta, readCloser{in, r.Close}, nil
	}
	if err := r.Close(); err != nil {
		return nil, nil, err
	}
	held := s.holds.take(fmt.Sprintf("%s%d", outgoingAs, s.readers.Add(1)), meta.Index)
	out, err := s.copyOut(p)
	if err != nil {
		held()
		return nil, nil, fmt.Errorf("copy the state for snapshot %s: %w", id, err)
	}
	info, err := out.Stat()
	if err != nil {
		held()
		return nil, nil, errors.Join(err, discard(out))
	}
	sized := *meta
	sized.Size = info.Size()
	return &sized, readCloser{out, func() error { held(); return discard(out) }}, nil
}

// copyOut copies the state into a file of its own, so that no reader holds a transaction for as long as a slow network takes.
func (s *snapshots) copyOut(p place) (*os.File, error) {
	s.copying.Lock()
	defer s.copying.Unlock()
	if err := s.store.flush(); err != nil {
		return nil, err
	}
	if d := s.store.durableIndex(); d < p.reached {
		return nil, fmt.Errorf("%w: the state is at %d and was at %d when the snapshot was taken", errCorrupt, d, p.reached)
	}
	f, err := os.CreateTemp(s.store.dir, outgoingAs)
	if err != nil {
		return nil, err
	}
	w := newCopyWriter(f, s.stop)
	err = s.store.writeSnapshot(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, discard(f))
	}
	return f, nil
}

// placeOf gives where the state of a snapshot is; ok is false when it holds a state itself.
func (s *snapshots) placeOf(id string) (p place, ok bool, err error) {
	_, r, err := s.SnapshotStore.Open(id)
	if err != nil {
		return p, false, err
	}
	defer r.Close()
	buf, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return p, false, err
	}
	p, ok = decodePlace(buf)
	return p, ok, nil
}

type readCloser struct {
	io.Reader
	close func() error
}

func (r readCloser) Close() error { return r.close() }

// discard closes and removes a file.
func discard(f *os.File) error { return errors.Join(f.Close(), os.Remove(f.Name())) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// remove clears what a crash or a refusal left of states received or being read. A received one that a published
// snapshot names stays: it may be all that there is.
func (s *snapshots) remove(pattern string) error {
	left, err := filepath.Glob(filepath.Join(s.store.dir, pattern+"*"))
	if err != nil || len(left) == 0 {
		return err
	}
	list, err := s.List()
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, meta := range list {
		if p, ok, err := s.placeOf(meta.ID); err == nil && ok {
			named[p.file] = true
		}
	}
	var faults error
	for _, path := range left {
		if !named[filepath.Base(path)] {
			faults = errors.Join(faults, os.Remove(path))
		}
	}
	return faults
}
