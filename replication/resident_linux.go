package replication

import (
	"bytes"
	"os"
	"strconv"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// fileResident gives how much of the files that this process maps is in its memory, as the kernel counts it.
func fileResident() int64 {
	buf, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(buf)
	if len(fields) < 3 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// forgetMapped takes the pages of the file that tx reads out of this process's memory. They stay in the page cache, from which the
// next touch maps them again. tx keeps the mapping where it is.
func forgetMapped(tx *bolt.Tx) {
	// An error leaves the pages where they are.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
}
