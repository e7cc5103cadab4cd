package replication

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestClassified(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "state.db", Err: syscall.ENOSPC}
	for _, x := range []struct {
		err     error
		storage bool
	}{
		{full, true},
		{fmt.Errorf("flush: %w", full), true},
		{fmt.Errorf("%w: append: %w", ErrStorage, full), true},
		{fmt.Errorf("read: %w: %w", ErrCorrupt, syscall.EIO), false},
		{ErrDiskHung, false},
		{ErrDiverged, false},
		{errTransferStuck, false},
	} {
		got := classified(x.err)
		if errors.Is(got, ErrStorage) != x.storage || !errors.Is(got, x.err) {
			t.Errorf("%v: got %v, is of the storage: %v, want %v", x.err, got, errors.Is(got, ErrStorage), x.storage)
		}
	}
}
