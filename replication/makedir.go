package replication

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// MakeDir makes dir, and what is missing above it, with mode 0700. Each directory in which one was made is synced: a power
// loss would otherwise take a new directory with everything that was synced in it.
func MakeDir(dir string) error { return makeDir(filepath.Clean(dir), syncDir) }

func makeDir(dir string, sync func(string) error) error {
	err := os.Mkdir(dir, 0o700)
	parent := filepath.Dir(dir)
	if errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeDir(parent, sync); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		return sync(parent)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	// It was made before, perhaps by a process that died ahead of the sync. A parent that may not be read is not ours.
	if err := sync(parent); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}
