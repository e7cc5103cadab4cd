package replication

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// sickLog is a log store that hangs or fails on demand.
type sickLog struct {
	rawLog

	mu   sync.Mutex // guards the fields below
	hung chan struct{}
	err  error
}

// hang makes appends wait until c is closed.
func (s *sickLog) hang(c chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hung = c
}

// fail makes every write end with err.
func (s *sickLog) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sickLog) now() (chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hung, s.err
}

func (s *sickLog) StoreLogs(logs []*raft.Log) error {
	hung, err := s.now()
	if hung != nil {
		<-hung
	}
	if err != nil {
		return err
	}
	return s.rawLog.StoreLogs(logs)
}

func (s *sickLog) SetUint64(key []byte, v uint64) error {
	if _, err := s.now(); err != nil {
		return err
	}
	return s.rawLog.SetUint64(key, v)
}

// makeSick puts a sick log under a group that is not running yet.
func makeSick(g *Group) *sickLog {
	s := &sickLog{rawLog: g.watched.inner}
	g.watched.inner = s
	return s
}

func TestLeaderWithHungDiskFallsSilentThenEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		sick := map[skein.NodeID]*sickLog{}
		c.prepare = func(g *Group) { sick[g.cfg.Node] = makeSick(g) }
		c.start("a1", "b1", "c1")
		old := c.leader()
		c.propose(old, openCmd(1))
		release := make(chan struct{})
		sick[old.cfg.Node].hang(release)
		hung := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		lost := make(chan error, 1)
		go func() {
			_, err := old.Propose(ctx, sayCmd(1, 1, 1))
			lost <- err
		}()
		c.until("another leader", 5*time.Second, func() bool {
			for _, m := range c.nodes {
				if m != old && m.IsLeader() {
					return true
				}
			}
			return false
		})
		if took := time.Since(hung); took < diskHungQuiet {
			t.Errorf("fell silent after %v, want %v", took, diskHungQuiet)
		}
		if !old.Status().DiskHung {
			t.Error("status does not say that the disk hangs")
		}
		c.until("the old leader to know of its successor", time.Second, func() bool {
			id, ok := old.Leader()
			return ok && id != old.cfg.Node && !old.IsLeader()
		})
		if old.hears(old.raft.Load()) || old.fresh() {
			t.Errorf("a leader whose disk hangs: hears of a leader %v, is fresh %v, want neither", old.hears(old.raft.Load()), old.fresh())
		}
		if got := old.told(); got != "" {
			t.Errorf("a leader whose disk hangs names %q as the leader, want nobody", got)
		}
		c.propose(old, openCmd(2)) // goes to the successor
		err := <-old.done
		if took := time.Since(hung); !errors.Is(err, ErrDiskHung) || took < diskHungExit || took > diskHungExit+3*time.Second {
			t.Errorf("run: got %v after %v, want %v after %v", err, took, ErrDiskHung, diskHungExit)
		}
		if err := <-lost; !errors.Is(err, skein.ErrUnknownOutcome) {
			t.Errorf("the proposal in the hung write: got %v, want %v", err, skein.ErrUnknownOutcome)
		}
		delete(c.nodes, old.cfg.Node)
		close(release) // what hung comes back into a replica that has ended
		c.fabric.down(old.cfg.Node)
		c.propose(c.leader(), sayCmd(1, 1, 1))
	})
}

func TestStopDoesNotWaitForAHungDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		sick := map[skein.NodeID]*sickLog{}
		c.prepare = func(g *Group) { sick[g.cfg.Node] = makeSick(g) }
		c.start("a1", "b1", "c1")
		lead := c.leader()
		var follower *member
		for _, m := range c.nodes {
			if m != lead {
				follower = m
			}
		}
		release := make(chan struct{})
		defer close(release)
		sick[follower.cfg.Node].hang(release)
		c.propose(lead, openCmd(1))
		c.until("an append that hangs", time.Second, func() bool { return follower.watched.since.Load() != 0 })
		began := time.Now()
		follower.stop()
		err := <-follower.done
		if took := time.Since(began); !errors.Is(err, ErrDiskHung) || took > diskHungExit+2*time.Second {
			t.Errorf("run: got %v after %v, want %v after at most %v", err, took, ErrDiskHung, diskHungExit)
		}
		delete(c.nodes, follower.cfg.Node)
		c.fabric.down(follower.cfg.Node)
	})
}

func TestFailedAppendEndsTheReplica(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		sick := map[skein.NodeID]*sickLog{}
		c.prepare = func(g *Group) { sick[g.cfg.Node] = makeSick(g) }
		c.start("a1", "b1", "c1", "d1")
		old := c.leader()
		c.propose(c.nodes["d1"], openCmd(1))
		broken := errors.New("input/output error")
		sick[old.cfg.Node].fail(broken)
		c.propose(c.nodes["d1"], sayCmd(1, 1, 1)) // goes on at the next leader
		if err := <-old.done; !errors.Is(err, broken) {
			t.Errorf("run: got %v, want %v", err, broken)
		}
		delete(c.nodes, old.cfg.Node)
		c.fabric.down(old.cfg.Node)
		for _, m := range c.nodes {
			if st, err := m.Read(t.Context(), sid(1), 2); err != nil || st.Count != 1 {
				t.Errorf("turns on %s: got %+v, %v, want one", m.cfg.Node, st, err)
			}
		}
	})
}

func TestTransportIsSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFabric()
		tr := newTransport(newTrackedLayer(f.up("a1", "a"), "a1"), incoming{dir: t.TempDir()}, func() bool { return true }, newRaftLog(discardLog()))
		defer func() {
			tr.shut()
			tr.wait()
		}()
		if _, ok := any(tr).(raft.WithPreVote); !ok {
			t.Error("the transport has no pre-vote: the library would only warn")
		}
		called := false
		tr.SetHeartbeatHandler(func(raft.RPC) { called = true })
		if pipeline, err := tr.AppendEntriesPipeline("b1", "b1"); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
			t.Errorf("pipeline: got %v, %v, want %v", pipeline, err, raft.ErrPipelineReplicationNotSupported)
		}
		if err := tr.AppendEntries("b1", "b1", &raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{}); !errors.Is(err, errSilent) {
			t.Errorf("append while the disk hangs: got %v, want %v", err, errSilent)
		}
		tr.fenced.Store(true)
		if err := tr.RequestVote("b1", "b1", &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{}); !errors.Is(err, errFenced) {
			t.Errorf("vote behind the fence: got %v, want %v", err, errFenced)
		}
		answer := make(chan raft.RPCResponse, 1)
		tr.admit(raft.RPC{Command: &raft.RequestVoteRequest{}, RespChan: answer})
		if resp := <-answer; !errors.Is(resp.Error, errFenced) {
			t.Errorf("request for a vote behind the fence: got %v, want %v", resp.Error, errFenced)
		}
		if called {
			t.Error("the heartbeat fast path is in use")
		}
	})
}

// refused is a future of an entry that raft refuses because of a transfer.
type refused struct{ raft.ApplyFuture }

func (refused) Error() error { return raft.ErrLeadershipTransferInProgress }

func TestStuckTransferIsFoundOut(t *testing.T) {
	for _, tt := range []struct {
		leads bool
		want  time.Duration // 0: never
	}{{true, transferStuck + time.Second}, {false, 0}} {
		bubble(t, func(t *testing.T) {
			q := newProposals(0)
			began, found := time.Now(), time.Duration(0)
			q.stuck = func() {
				if found == 0 {
					found = time.Since(began)
				}
			}
			flights, landed := make(chan flight), make(chan struct{}, 64)
			done := make(chan struct{})
			go func() {
				defer close(done)
				q.handOut(flights, landed, func() bool { return tt.leads })
			}()
			for range 10 {
				flights <- flight{future: refused{}}
				time.Sleep(time.Second)
			}
			close(flights)
			<-done
			if found != tt.want {
				t.Errorf("leads %v: found out after %v, want %v", tt.leads, found, tt.want)
			}
		})
	}
}

func TestQueueIsBounded(t *testing.T) {
	q := newProposals(0)
	for i := range queueProposals {
		if err := q.put(&proposal{size: 1}); err != nil {
			t.Fatalf("proposal %d: %v", i, err)
		}
	}
	if err := q.put(&proposal{size: 1}); !errors.Is(err, skein.ErrOverloaded) {
		t.Errorf("one more: got %v, want %v", err, skein.ErrOverloaded)
	}
	q = newProposals(0)
	if err := q.put(&proposal{size: queueBytes + 1}); !errors.Is(err, skein.ErrOverloaded) {
		t.Errorf("too many bytes: got %v, want %v", err, skein.ErrOverloaded)
	}
	if got := q.bytes.Load(); got != 0 {
		t.Errorf("bytes of a refused proposal: got %d, want 0", got)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	cfg := Config{Node: "bad name", Voters: []skein.NodeID{"a", "a"}, Timing: Timing{Heartbeat: time.Millisecond}}
	err := cfg.Validate()
	for _, want := range []string{`node "bad name"`, "no directory", "no stream layer", "no peers", "heartbeat 1ms", "listed twice"} {
		if err == nil || !contains(err.Error(), want) {
			t.Errorf("validate: got %v, want it to say %q", err, want)
		}
	}
}

func TestUnreadableDirectoryIsNamed(t *testing.T) {
	f := newFabric()
	dir := filepath.Join("/dev/null", "x")
	_, err := Open(Config{Node: "a1", Dir: dir, Layer: f.up("a1", "a"), Peers: peers{f, "a1"}})
	if err == nil || !contains(err.Error(), dir) {
		t.Errorf("open: got %v, want it to name %s", err, dir)
	}
}

// TestCloseDoesNotWaitForAHungFlush: what hangs is the state file, when everything else has stopped.
func TestCloseDoesNotWaitForAHungFlush(t *testing.T) {
	f := newFabric()
	g, err := Open(Config{Node: "a1", Dir: t.TempDir(), Layer: f.up("a1", "a"), Peers: peers{f, "a1"}})
	if err != nil {
		t.Fatal(err)
	}
	g.machine.Apply(entryOf(t, 1, openCmd(1)))
	hang, err := g.disk.store.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.closeDisk() }()
	g.fatal(ErrDiskHung) // as the watch over the flush does
	select {
	case err := <-ended:
		if !errors.Is(err, ErrDiskHung) {
			t.Errorf("close: got %v, want %v", err, ErrDiskHung)
		}
	case <-time.After(diskHungExit):
		t.Error("close waits for a flush that hangs")
	}
	if err := hang.Rollback(); err != nil {
		t.Error(err)
	}
	g.disk.close() //nolint:errcheck // it may be closed already
}
