package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// maxAppend is how many entries go to a follower at once.
const maxAppend = 64

// Service is the name under which a Group reaches the Serve method of its peers.
const Service = "group"

// Peers tells a Group who is out there and reaches them.
type Peers interface {
	// Candidates lists the nodes of the region that may hold a replica, this one included. It is cheap.
	Candidates() []Candidate
	// Dial opens a stream to a service of a node; the stream's deadlines work.
	Dial(ctx context.Context, node skein.NodeID, service string) (net.Conn, error)
}

// Candidate is a node of the region as gossip sees it.
type Candidate struct {
	Node     skein.NodeID
	Zone     skein.Zone
	Healthy  bool // alive and not suspect
	Gone     bool // dead, or left
	Draining bool // takes no new work; it is never made a voter
}

// Timing is how fast a group notices, decides and writes. Every replica of a group should use the same. Heartbeat,
// Election and Lease are the least: they grow with slow disks, long round trips and frequent elections, see Status.
type Timing struct {
	Heartbeat time.Duration // silence before a follower calls an election; default 300 ms
	Election  time.Duration // how long a candidate waits, at least Heartbeat; default 300 ms
	Lease     time.Duration // silence of a majority before a leader steps down, at most Heartbeat; default 200 ms
	Commit    time.Duration // how soon followers learn of a commit when nothing else is sent; default 20 ms
	Flush     time.Duration // how long applied changes may wait for the disk; default 75 ms
	Calendar  time.Duration // between two steps of the calendar, at most 10 min; default 1 min
	Stable    time.Duration // how long a node must be well before it is promoted, or gone before it is replaced; default 10 s
}

// Config is what a Group needs.
type Config struct {
	Node   skein.NodeID // also its Raft server id and address
	Region skein.Region
	Zone   skein.Zone
	Dir    string // made with mode 0700; one group only
	Group  uint32 // number of the group within the region; stamped into every log entry

	Layer raft.StreamLayer // streams between replicas; addresses are node ids. The Group closes it
	// Voters form the group when it is created. Every one of them must be given the same list. It is read only
	// by a node that is in it and whose Dir is empty.
	Voters []skein.NodeID
	Peers  Peers
	Log    *slog.Logger // nil: discard
	Timing Timing
	// Unreadable is called for each stream of a peer that ended with a frame that cannot be read; nil: nobody is told.
	Unreadable func()

	// RTT estimates the round trip to a node, 0 where nothing is known; nil: never. Election timeouts follow it.
	RTT func(skein.NodeID) time.Duration

	// Space gives the bytes left on the disk of Dir, and its size; nil: the system is asked. See Status.DiskMark.
	Space func() (free, total uint64, err error)

	// SnapshotKey is what snapshots are sealed with: the same on every replica, at least 32 random bytes, or none.
	// Without one they are safe from accidents only.
	SnapshotKey []byte

	// SnapshotEntries is how many log entries call for a snapshot; default 2048. TrailingEntries is how many
	// stay in the log behind one, for followers that lag; default 4096.
	// More stay when much is written: a minute and a half of it, at most 256 MiB.
	SnapshotEntries, TrailingEntries uint64
	// SnapshotRate bounds how fast a snapshot is sent, in bytes per second; default 48 MiB. The library gives up a transfer
	// below 85 KiB a second.
	SnapshotRate int64

	Retention Retention // of sessions; the zero value keeps all
}

// Validate reports every fault of the configuration at once.
func (c *Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("replication: "+format, args...))
		}
	}
	check(skein.ValidName(string(c.Node)), "node %q is not a name", c.Node)
	check(c.Dir != "", "no directory")
	check(c.Layer != nil, "no stream layer")
	check(c.Peers != nil, "no peers")
	t := c.Timing.orDefault()
	check(t.Heartbeat >= 50*time.Millisecond, "heartbeat %v is under 50 ms", t.Heartbeat)
	check(t.Election >= t.Heartbeat, "election %v is under heartbeat %v", t.Election, t.Heartbeat)
	check(t.Lease <= t.Heartbeat, "lease %v is over heartbeat %v", t.Lease, t.Heartbeat)
	check(t.Calendar <= session.CalendarStep, "the calendar steps every %v, want at most %v", t.Calendar, session.CalendarStep)
	check(c.Retention.CloseAfter >= 0 && c.Retention.Keep >= 0, "retention: an age below 0")
	check(len(c.SnapshotKey) == 0 || len(c.SnapshotKey) >= 32, "a snapshot key of %d bytes, want at least 32", len(c.SnapshotKey))
	seen := map[skein.NodeID]bool{}
	for _, v := range c.Voters {
		check(skein.ValidName(string(v)), "voter %q is not a name", v)
		check(!seen[v], "voter %s is listed twice", v)
		seen[v] = true
	}
	return errors.Join(faults...)
}

func (t Timing) orDefault() Timing {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.Heartbeat, 300*time.Millisecond)
	set(&t.Election, max(t.Heartbeat, 300*time.Millisecond))
	set(&t.Lease, min(t.Heartbeat, 200*time.Millisecond))
	set(&t.Commit, 20*time.Millisecond)
	set(&t.Flush, 75*time.Millisecond)
	set(&t.Calendar, time.Minute)
	set(&t.Stable, 10*time.Second)
	return t
}

// raft gives the library's configuration.
func (c *Config) raft(logger *raftLog) *raft.Config {
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(c.Node)
	rc.HeartbeatTimeout, rc.ElectionTimeout = c.Timing.Heartbeat, c.Timing.Election
	rc.LeaderLeaseTimeout, rc.CommitTimeout = c.Timing.Lease, c.Timing.Commit
	rc.MaxAppendEntries = maxAppend
	rc.BatchApplyCh = true
	rc.NoLegacyTelemetry = true
	rc.ShutdownOnRemove = false // a removed node goes on as a gateway and may come back
	rc.NoSnapshotRestoreOnStart = true
	rc.SnapshotThreshold, rc.TrailingLogs = c.SnapshotEntries, c.TrailingEntries
	rc.SnapshotInterval = 5 * time.Second // and up to twice that; one costs a flush and a note
	rc.Logger = logger
	return rc
}
