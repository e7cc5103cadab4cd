package seglog

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData writes the content out with the file's size, but without its times: an append into zeroed space then
// needs no commit of the file system's journal.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
