package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// errCorrupt marks data on this disk that does not verify; the text around it names the file.
var errCorrupt = errors.New("data on disk is corrupt")

// openDB opens a bbolt file. bbolt panics on damaged pages and the kernel faults on a file that was cut short;
// at this one place both become errors that name the file.
func openDB(path string, fill func(*bolt.Tx) error) (db *bolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("open %s: %w: %v", path, errCorrupt, p)
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout:         time.Second, // another process holds the lock
		NoFreelistSync:  true,        // one page fewer per commit; rebuilt at open
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: 1 << 20, // grows by doubling; an idle group stays small
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: another process has it open", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("open %s: %w: %w", path, errCorrupt, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := checkSize(db, path); err != nil {
		db.Close()
		return nil, err
	}
	if err := db.Update(fill); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// checkSize finds a file that lost its end.
func checkSize(db *bolt.DB, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	return db.View(func(tx *bolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("open %s: %w: %d bytes, its header says %d", path, errCorrupt, info.Size(), tx.Size())
		}
		return nil
	})
}

// makeBuckets creates buckets that are missing.
func makeBuckets(names ...[]byte) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		for _, name := range names {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	}
}

// seal puts a CRC32C over key and value before the value: bbolt does not notice a flipped bit.
func seal(key, value []byte) []byte {
	buf := make([]byte, 4, 4+len(value))
	binary.BigEndian.PutUint32(buf, crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value))
	return append(buf, value...)
}

// unseal checks a sealed value and gives its content, which is valid as long as sealed is.
func unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, fmt.Errorf("%w: record %q has %d bytes", errCorrupt, key, len(sealed))
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, sealed[4:])
	if binary.BigEndian.Uint32(sealed) != sum {
		return nil, fmt.Errorf("%w: record %q: checksum mismatch", errCorrupt, key)
	}
	return sealed[4:], nil
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// replaceFile renames from over to, durably. Both are in one directory.
func replaceFile(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}
