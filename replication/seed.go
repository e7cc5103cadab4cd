package replication

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
)

// verifyState checks a state file, without a change to it: that it is of a format that this build reads, that every record in it
// has its checksum, that every session can be read, and that it stands where want says.
func verifyState(path string, want Standing) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if fresh, err := checkFormat(path); err != nil || fresh {
		return errors.Join(err, fmt.Errorf("%s: %w: it is empty", path, errCorrupt))
	}
	db, err := openDB(path, true)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bolt.Tx) error {
		at, err := readMark(tx)
		if err != nil {
			return err
		}
		if err := at.standing(want.Size).differs(want); err != nil {
			return err
		}
		return verifyRecords(tx, at)
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (s Standing) differs(want Standing) error {
	if s != want {
		return fmt.Errorf("%w: it stands at index %d of term %d with %d sessions and hash %x, want %d of %d with %d and %x",
			errCorrupt, s.Index, s.Term, s.Sessions, s.Hash[:8], want.Index, want.Term, want.Sessions, want.Hash[:8])
	}
	return nil
}

// verifyRecords reads everything: events in their order, then each session with what it refers to.
func verifyRecords(tx *bolt.Tx, at mark) error {
	for _, name := range [][]byte{eventsBucket, indexBucket, marksBucket, metaBucket, sessionsBucket, goneBucket} {
		b := tx.Bucket(name)
		if b == nil {
			return fmt.Errorf("%w: it has no bucket %s", errCorrupt, name)
		}
		if err := b.ForEach(func(k, v []byte) error {
			_, err := unseal(k, v)
			return err
		}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, b := range []struct {
		name []byte
		want uint64
		what string
	}{{sessionsBucket, at.sessions, "sessions"}, {goneBucket, at.purged + at.erased, "sessions that are gone"}} {
		found := uint64(0)
		err := tx.Bucket(b.name).ForEach(func(id, _ []byte) error {
			found++
			_, err := readState(tx, skein.SessionID(id))
			return err
		})
		if err == nil && found != b.want {
			err = fmt.Errorf("%w: it has %d %s and says %d", errCorrupt, found, b.what, b.want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Seed says what a replica is made of, and for whom.
type Seed struct {
	Recovery
	Standing     // that the state file must have
	Groups   int // of the region
}

// Plant makes the first replica of one group in the directory of a region, from the state file that r holds. All of it is
// verified; after an error the group's directory is gone again. There must be none before.
func Plant(region string, r io.Reader, seed Seed) (err error) {
	dir := GroupDir(region, seed.Groups, int(seed.Group))
	if err := errors.Join(MakeDir(region), MakeDir(dir)); err != nil {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	path := filepath.Join(dir, stateFile)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("data directory %s holds a state already", dir), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := spoolState(path, r, seed.Size); err != nil {
		return err
	}
	if err := verifyState(path, seed.Standing); err != nil {
		return err
	}
	if err := errors.Join(stamped(path), writeGroups(region, seed.Groups)); err != nil {
		return err
	}
	d, err := openDisk(dir, newRaftLog(slog.New(slog.DiscardHandler)), func(error) {})
	if err != nil {
		return err
	}
	d.store.key = seed.SnapshotKey
	return errors.Join(d.aloneFrom(seed.Node, seed.Epoch), d.close(), syncDir(dir))
}

func stamped(path string) error {
	_, err := stampBase(path)
	return err
}

// spoolState writes a state file of size bytes, synced.
func spoolState(path string, r io.Reader, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, r)
	if err == nil && n != size {
		err = fmt.Errorf("%w: %d bytes came, want %d", errCorrupt, n, size)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
