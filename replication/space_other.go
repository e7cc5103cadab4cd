//go:build !linux

package replication

import (
	"errors"
	"os"
)

// statSpace does not know the disk: without Config.Space there are no marks.
func statSpace(string) (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }
