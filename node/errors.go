package node

import "github.com/skein-mesh/skein/replication"

// Why Run ends without being asked, as package replication tells it; others are wrapped by no name of their own.
var (
	ErrDiskHung = replication.ErrDiskHung // a restart is right once the disk answers
	ErrStorage  = replication.ErrStorage  // a restart is right once the disk is well and has room
	ErrDiverged = replication.ErrDiverged // a restart copies the state anew
	ErrCorrupt  = replication.ErrCorrupt  // a restart finds the same; the error names the file
)
