package replication

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/skein-mesh/skein/replication/seglog"
)

// Why Run ends without being asked, or an Open is refused. Other errors call for nothing but a new start.
var (
	// ErrDiskHung: a write has run for ten seconds. The process has to end, since nobody knows whether it will still
	// reach the disk; a restart is right when the disk answers again.
	ErrDiskHung = errors.New("the disk hangs")
	// ErrStorage: a write to the disk failed. What it was to write may be there or not. A restart is right once the disk
	// is well and has room.
	ErrStorage = errors.New("the disk fails")
	// ErrDiverged: this replica holds something else than the majority. The next start sets it aside and copies it anew.
	ErrDiverged = errors.New("this replica differs from the majority; it is set aside and rebuilt at the next start")
	// ErrReopen: the directory has to be opened again, which does what was found to be due: this replica was set aside by a
	// newer cluster epoch, or an operator has ordered a recovery. The process may go on.
	ErrReopen = errors.New("the replica has to be opened again")
	// ErrCorrupt: what is on this disk does not verify. A restart finds the same; the error names the file.
	ErrCorrupt = seglog.ErrCorrupt
)

// classified gives an error of the system, met while a replica runs, its kind: it met the disk.
func classified(err error) error {
	if _, system := errors.AsType[syscall.Errno](err); !system || errors.Is(err, ErrStorage) || errors.Is(err, ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}
