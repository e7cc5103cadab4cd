package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"math/bits"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/skein-mesh/skein/replication/seglog"
)

// errCorrupt marks data on this disk that does not verify; the text around it names the file. The log says the same.
var errCorrupt = seglog.ErrCorrupt

// mmapSize is address space, not memory: to map a grown file anew, a write would wait for the copy of a snapshot, which is a
// read transaction, and look like a hung disk. 64 GiB, where addresses have 64 bits.
const mmapSize = 1 << (30 + 6*(bits.UintSize/64))

// guarded runs f, which reads or writes a bbolt file. bbolt panics on a damaged page: that becomes an error. The caller names the file.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errCorrupt, p)
		}
	}()
	return f()
}

// openDB opens a bbolt file. The list of free pages is written with each commit: to find them at a start every page would be read.
func openDB(path string, readOnly bool) (db *bolt.DB, err error) {
	if err := checkSize(path); err != nil {
		return nil, err
	}
	err = guarded(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:         time.Second, // another process holds the lock
			ReadOnly:        readOnly,
			FreelistType:    bolt.FreelistMapType,
			InitialMmapSize: mmapSize,
		})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: another process has it open", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("open %s: %w: %w", path, errCorrupt, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// A bbolt file begins with two meta pages, of which the one with the higher transaction number counts (bbolt,
// internal/common/meta.go). Numbers are in the order of the machine.
const (
	metaOffset  = 16 // behind the page header
	metaSize    = 64
	metaMagic   = 0xED0CDAED
	minPageSize = 4096
	maxPageSize = 64 << 10
)

// checkSize finds a file that lost its end before bbolt maps it: touching a page that is not there kills the process.
func checkSize(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	var used, newest uint64
	for at := int64(0); at <= maxPageSize; at = max(minPageSize, 2*at) {
		buf := make([]byte, metaSize)
		if _, err := f.ReadAt(buf, at+metaOffset); err != nil {
			break
		}
		if pages, txid, ok := readMeta(buf); ok && txid >= newest {
			used, newest = pages, txid
		}
	}
	if uint64(info.Size()) < used {
		return fmt.Errorf("open %s: %w: the file has %d bytes, its header says %d", path, errCorrupt, info.Size(), used)
	}
	return nil
}

// readMeta gives the bytes in use and the transaction number of a meta page, if it is one.
func readMeta(buf []byte) (used, txid uint64, ok bool) {
	order := binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(buf[:metaSize-8])
	page := order.Uint32(buf[8:])
	ok = order.Uint32(buf) == metaMagic && order.Uint64(buf[metaSize-8:]) == sum.Sum64() && page >= 512 && page <= maxPageSize
	return order.Uint64(buf[40:]) * uint64(page), order.Uint64(buf[48:]), ok
}

// sealSize is the length of the checksum before a sealed value.
const sealSize = 4

// seal puts a CRC32C over key and value before the value: bbolt does not notice a flipped bit.
func seal(key, value []byte) []byte {
	buf := append(make([]byte, sealSize, sealSize+len(value)), value...)
	sealInPlace(key, buf)
	return buf
}

// sealInPlace fills in the checksum of a value that has room for it at its beginning.
func sealInPlace(key, buf []byte) {
	binary.BigEndian.PutUint32(buf, crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, buf[sealSize:]))
}

// unseal checks a sealed value and gives its content, which is valid as long as sealed is.
func unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < sealSize {
		return nil, fmt.Errorf("%w: record %q has %d bytes", errCorrupt, key, len(sealed))
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, sealed[sealSize:])
	if binary.BigEndian.Uint32(sealed) != sum {
		return nil, fmt.Errorf("%w: record %q: checksum mismatch", errCorrupt, key)
	}
	return sealed[sealSize:], nil
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
