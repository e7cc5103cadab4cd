package cli

import (
	"errors"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/node"
)

// Exit codes; the README lists them. Those from 10 on say how a node ended, so that who restarts it can tell what a restart
// mends: deployments/systemd names the ones that it does not.
const (
	exitOK       = 0
	exitFault    = 1
	exitUsage    = 2
	exitDiskHung = 10
	exitStorage  = 11
	exitDiverged = 12
	exitCorrupt  = 13
	exitRefused  = 14
)

// exitCode gives the code of an error.
func exitCode(err error) int {
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	ended, ok := errors.AsType[*nodeError](err)
	if !ok {
		return exitFault
	}
	for _, kind := range []struct {
		err  error
		code int
	}{
		{node.ErrDiskHung, exitDiskHung}, {node.ErrDiverged, exitDiverged}, {node.ErrCorrupt, exitCorrupt}, {node.ErrStorage, exitStorage},
	} {
		if errors.Is(ended, kind.err) {
			return kind.code
		}
	}
	if skein.CodeOf(ended) == skein.CodeRefused {
		return exitRefused
	}
	return exitFault
}

// nodeError is how a node of this process ended, apart from what other nodes answer to a command.
type nodeError struct{ err error }

func (e *nodeError) Error() string { return e.err.Error() }
func (e *nodeError) Unwrap() error { return e.err }
