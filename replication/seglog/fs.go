package seglog

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// fileSystem is what the log needs of a file system. The tests put one below it that loses power.
type fileSystem interface {
	// MakeDir makes dir unless it is there, durably.
	MakeDir(dir string) error
	// List gives the names in dir.
	List(dir string) ([]string, error)
	// Create opens a new or emptied file for reading and writing.
	Create(path string) (file, error)
	// Open opens a file that is there for reading and writing.
	Open(path string) (file, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes what was created, renamed and removed in dir durable.
	SyncDir(dir string) error
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	// Sync makes the content durable, with as much of the metadata as it takes to read it back.
	Sync() error
	Size() (int64, error)
	Close() error
}

// hostFS is the file system of the machine.
type hostFS struct{}

type hostFile struct{ *os.File }

func (f hostFile) Sync() error { return syncData(f.File) }

func (f hostFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (fs hostFS) MakeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return fs.SyncDir(filepath.Dir(dir)) // also when it is there: a crash may have come between
}

func (hostFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (hostFS) Create(path string) (file, error) { return openHost(path, os.O_CREATE|os.O_TRUNC) }
func (hostFS) Open(path string) (file, error)   { return openHost(path, 0) }

func openHost(path string, flags int) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	return hostFile{f}, nil
}

func (hostFS) Rename(from, to string) error { return os.Rename(from, to) }
func (hostFS) Remove(path string) error     { return os.Remove(path) }

func (hostFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
