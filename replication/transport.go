package replication

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

const (
	rpcTimeout = 3 * time.Second // of one request between replicas; a snapshot gets more by its size
	connPool   = 3               // idle streams kept to each replica: entries, heartbeats, votes
)

var (
	errSilent = errors.New("this replica's disk hangs")
	errFenced = errors.New("this replica lost its disk and does not vote before it has caught up")
)

// transport is the library's transport made safe. It implements pre-vote by embedding; it
//   - keeps heartbeats on the main loop: their fast path changes the term beside it (hashicorp/raft issue 695);
//   - is silent while the disk hangs (issue 503);
//   - neither asks nor gives votes while the fence is up;
//   - spools the state of a snapshot to disk and verifies it, and gives raft a note of where it is: raft receives a snapshot on its
//     main loop and publishes it before the state machine has taken it;
//   - sends snapshots at a bounded rate, and keeps the entries behind them in the log;
//   - notes how far each follower is, which the library does not tell.
type transport struct {
	*raft.NetworkTransport
	layer  *trackedLayer
	apart  *apartTransport // carries snapshots; nil: the other one does
	silent func() bool
	fenced atomic.Bool
	unsure atomic.Bool   // it is not known yet whether the group has gone on without this replica, see inquire
	ahead  atomic.Uint64 // the highest commit index that a leader has told
	in     incoming
	holds  *holds // of the log
	rate   int64  // of snapshots that are sent, bytes per second
	leads  func() bool

	rpcs  chan raft.RPC
	stop  chan struct{}
	once  sync.Once // of closing stop
	pumps sync.WaitGroup
	spool chan struct{} // capacity 1: one snapshot at a time
	term  atomic.Uint64 // of the leader whose snapshot is wanted

	// patience is by how much the library's leader lease is stretched, in nanoseconds.
	patience atomic.Int64

	mu      sync.Mutex // guards the fields below
	matched map[raft.ServerID]uint64
	pulses  map[raft.ServerID]*pulse // each belongs to the follower's heartbeat loop in the library
}

var _ raft.WithPreVote = (*transport)(nil)

// incoming is where received snapshots are spooled, what they are verified with, what may decline them, and what clears
// those that were not taken.
type incoming struct {
	dir    string
	key    []byte
	gate   *snapshotGate
	forget func() error
}

func newTransport(layer *trackedLayer, in incoming, silent func() bool, logger *raftLog) *transport {
	inner := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: connPool, Timeout: rpcTimeout, Logger: logger,
		MaxRPCsInFlight: 1, // pipelining can wedge a follower for ever (hashicorp/raft issue 612)
	})
	t := &transport{
		NetworkTransport: inner, layer: layer, silent: silent, in: in, holds: &holds{}, rate: defaultSnapshotRate, leads: func() bool { return true },
		rpcs: make(chan raft.RPC), stop: make(chan struct{}), spool: make(chan struct{}, 1),
		matched: map[raft.ServerID]uint64{}, pulses: map[raft.ServerID]*pulse{},
	}
	t.pumps.Go(t.pump)
	return t
}

// SetHeartbeatHandler ignores the handler.
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// Consumer gives the requests of other replicas, votes filtered and snapshots spooled.
func (t *transport) Consumer() <-chan raft.RPC { return t.rpcs }

func (t *transport) pump() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			t.admit(rpc)
		case <-t.stop:
			return
		}
	}
}

func (t *transport) admit(rpc raft.RPC) {
	switch c := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		if c.LeaderCommitIndex > t.ahead.Load() { // only the pump writes it
			t.ahead.Store(c.LeaderCommitIndex)
		}
	case *raft.RequestVoteRequest, *raft.RequestPreVoteRequest:
		if t.mute() {
			rpc.Respond(nil, errFenced)
			return
		}
	case *raft.InstallSnapshotRequest:
		t.pumps.Go(func() { t.receive(rpc) })
		return
	}
	t.deliver(rpc)
}

// mute reports whether this replica neither gives nor asks for votes.
func (t *transport) mute() bool { return t.fenced.Load() || t.unsure.Load() }

func (t *transport) deliver(rpc raft.RPC) {
	select {
	case t.rpcs <- rpc:
	case <-t.stop:
	}
}

// AppendEntries sends entries or a heartbeat, and notes what the follower has.
func (t *transport) AppendEntries(id raft.ServerID, addr raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if t.silent() {
		return errSilent
	}
	if isHeartbeat(req) {
		return t.heartbeat(id, addr, req, resp)
	}
	err := t.NetworkTransport.AppendEntries(id, addr, req, resp)
	t.pulse(id).answered(err)
	if err == nil && resp.Success {
		match := req.PrevLogEntry
		if n := len(req.Entries); n > 0 {
			match = req.Entries[n-1].Index
		}
		t.note(id, match)
		t.holds.confirmed(string(id), match, len(req.Entries) < maxAppend, time.Now())
	}
	return err
}

func (t *transport) note(id raft.ServerID, match uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.matched[id] = max(t.matched[id], match)
}

// progress gives the highest index that a follower has confirmed since this node last became leader.
func (t *transport) progress(id raft.ServerID) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.matched[id]
}

func (t *transport) forgetProgress() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.matched)
}

// RequestVote asks for a vote unless the fence is up.
func (t *transport) RequestVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if t.mute() {
		return errFenced
	}
	return t.NetworkTransport.RequestVote(id, addr, req, resp)
}

// RequestPreVote asks whether a vote would be given, unless the fence is up.
func (t *transport) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if t.mute() {
		return errFenced
	}
	return t.NetworkTransport.RequestPreVote(id, addr, req, resp)
}

// shut ends every stream, so that requests under way fail at once. Raft closes the transport again; that is harmless.
func (t *transport) shut() {
	t.NetworkTransport.Close()
	t.layer.shut()
	if t.apart != nil {
		t.apart.shut()
	}
}

// wait ends what the transport started, and may be called again. Raft has stopped by then.
func (t *transport) wait() {
	t.once.Do(func() { close(t.stop) })
	t.pumps.Wait()
	t.CloseStreams()
	t.layer.wait()
	if t.apart != nil {
		t.apart.CloseStreams()
	}
}
