package replication

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

// A snapshot is a magic with a version, the size of the state file (8 bytes, big endian), a copy of the state file,
// and an HMAC-SHA-256 (RFC 2104) over all of that under Config.SnapshotKey.
const (
	snapshotMagic  = "SKNSNAP3" // the last byte is the version
	snapshotHeader = len(snapshotMagic) + 8
)

// image is a snapshot that raft has asked for and not yet stored.
type image struct {
	store *store
	need  uint64 // the last entry that the state machine had applied when the label was chosen
}

var _ raft.FSMSnapshot = (*image)(nil)

// Snapshot captures where the state machine stands.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	return &image{store: m.store, need: m.store.mark().index}, nil
}

// Persist flushes, and notes in sink that the state file has the state. What that has beyond the label is skipped on
// replay. It fails unless the disk has reached the label: the log is cut only behind what is durable.
func (i *image) Persist(sink raft.SnapshotSink) error {
	if err := i.store.flush(); err != nil {
		i.store.fatal(err)
		return err
	}
	if d := i.store.durableIndex(); d < i.need {
		return fmt.Errorf("snapshot: the disk is at %d, the label at %d", d, i.need)
	}
	if _, err := sink.Write(place{reached: i.need}.encode()); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// Release does nothing: an image holds no resources.
func (i *image) Release() {}

func (s *store) writeSnapshot(w io.Writer) error {
	sum := hmac.New(sha256.New, s.key)
	out := io.MultiWriter(w, sum)
	err := s.view(func(tx *bolt.Tx) error {
		head := binary.BigEndian.AppendUint64([]byte(snapshotMagic), uint64(tx.Size()))
		if _, err := out.Write(head); err != nil {
			return err
		}
		n, err := tx.WriteTo(out)
		if err == nil && n != tx.Size() {
			err = io.ErrShortWrite
		}
		return err
	})
	if err == nil {
		_, err = w.Write(sum.Sum(nil))
	}
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// readSnapshot copies the state file in r to w and verifies it; on an error nothing of it may be used.
func readSnapshot(key []byte, r io.Reader, w io.Writer) error {
	sum := hmac.New(sha256.New, key)
	in := io.TeeReader(r, sum)
	head := make([]byte, snapshotHeader)
	if _, err := io.ReadFull(in, head); err != nil {
		return fmt.Errorf("snapshot: %w: header: %w", errCorrupt, err)
	}
	if err := checkMagic(string(head[:len(snapshotMagic)])); err != nil {
		return err
	}
	size := binary.BigEndian.Uint64(head[len(snapshotMagic):])
	if size > 1<<62 {
		return fmt.Errorf("snapshot: %w: it says %d bytes", errCorrupt, size)
	}
	if _, err := io.CopyN(w, in, int64(size)); err != nil {
		return fmt.Errorf("snapshot: %w: content: %w", errCorrupt, err)
	}
	want := sum.Sum(nil)
	got := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r, got); err != nil {
		return fmt.Errorf("snapshot: %w: checksum: %w", errCorrupt, err)
	}
	if !hmac.Equal(got, want) {
		return fmt.Errorf("snapshot: %w: checksum mismatch: it was changed, or written under the secret of another mesh", errCorrupt)
	}
	if n, _ := r.Read(make([]byte, 1)); n != 0 {
		return fmt.Errorf("snapshot: %w: bytes behind the end", errCorrupt)
	}
	return nil
}

func checkMagic(magic string) error {
	const name = len(snapshotMagic) - 1
	switch {
	case magic == snapshotMagic:
		return nil
	case magic[:name] == snapshotMagic[:name]:
		return fmt.Errorf("snapshot: it has version %q, this build reads version %q; use the build that wrote it", magic[name:], snapshotMagic[name:])
	}
	return fmt.Errorf("snapshot: %w: not a snapshot", errCorrupt)
}

// Restore replaces the state by a snapshot. A failure is fatal: raft has published the snapshot already.
func (m *machine) Restore(r io.ReadCloser) error {
	if m.broken != nil {
		return m.broken
	}
	if err := m.store.restore(r); err != nil {
		m.broken = fmt.Errorf("restore: %w", err)
		m.fatal(m.broken)
		return m.broken
	}
	m.passed.forget()
	return nil
}

// restore puts the state of a snapshot in the place of the state file: the file that a note names, or what r
// holds, verified in a file beside it. Changes that wait for the disk are dropped: the snapshot has them.
func (s *store) restore(r io.Reader) error {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	next, err := s.arrived(r)
	if err != nil {
		return err
	}
	if s.compacting != nil {
		s.compacting.giveUp()
	}
	s.dbMu.Lock()
	err = s.db.Close()
	if err == nil {
		err = replaceFile(next, s.path())
	}
	var db *bolt.DB
	if err == nil {
		db, err = openState(s.path())
	}
	if err == nil {
		s.db = db
	}
	s.dbMu.Unlock()
	if err == nil {
		err = s.load(db)
	}
	if err != nil {
		s.broken = fmt.Errorf("take the snapshot's place: %w", err)
	}
	return s.broken
}

// arrived gives the path of the state to take, verified and stamped.
func (s *store) arrived(r io.Reader) (string, error) {
	in := bufio.NewReaderSize(r, 4096)
	head, _ := in.Peek(4096)
	if p, ok := decodePlace(head); ok {
		if p.file == "" {
			return "", fmt.Errorf("%w: the snapshot has no state of its own", errCorrupt)
		}
		return filepath.Join(s.dir, p.file), nil
	}
	next := filepath.Join(s.dir, stateFile+".next")
	if err := spoolSnapshot(s.key, in, next); err != nil {
		return "", err
	}
	_, err := stampBase(next)
	return next, err
}

// spoolSnapshot writes the state file in r to path, synced, and removes it again when it does not verify.
func spoolSnapshot(key []byte, r io.Reader, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(&syncedWriter{file: f}, 256<<10)
	err = readSnapshot(key, r, w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// stampBase notes in a state file that it came by snapshot, so that the boot rule does not expect a log that
// reaches as far, and gives the index that it has reached.
func stampBase(path string) (reached uint64, err error) {
	db, err := openState(path)
	if err != nil {
		return 0, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		at, err := readMark(tx)
		if err != nil {
			return err
		}
		reached = at.index
		return writeBase(tx, at.index)
	})
	return reached, errors.Join(err, db.Close())
}
