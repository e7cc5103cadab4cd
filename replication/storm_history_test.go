package replication

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/e2e/histories"
)

var stormNodes = []skein.NodeID{"a1", "b1", "c1", "d1"} // the first three are the first voters

// storm is a group under concurrent clients, whose nodes, disks and paths fail.
type storm struct {
	*cluster
	sky    *weather
	rng    *rand.Rand
	parts  map[skein.NodeID]*sickParts
	dead   map[skein.NodeID]bool // to be started again
	faults []string
	ghosts []*raft.Raft // of runs that ended with an error
	caught int          // crashes between the receipt of a snapshot and its restore

	mu   sync.Mutex // guards the fields below
	live []*Group
	skew time.Duration
}

// ramDir gives a directory in memory where there is one: what survives here is not the page cache's business.
func ramDir(t testing.TB) string {
	if dir, err := os.MkdirTemp("/dev/shm", "skein-"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

func newStorm(t *testing.T, seed uint64, dir string) *storm {
	s := &storm{
		cluster: newCluster(t, stormNodes[:3]...), sky: newWeather(seed), rng: rand.New(rand.NewPCG(seed, 3)),
		parts: map[skein.NodeID]*sickParts{}, dead: map[skein.NodeID]bool{},
	}
	s.dir, s.sky.zones = dir, stormNodes
	s.tune = func(cfg *Config) {
		cfg.SnapshotEntries, cfg.TrailingEntries = 200, 20
		cfg.Peers = sky{s.sky, cfg.Node}
		cfg.Layer = s.sky.up(cfg.Node, nil)
		cfg.Space = func() (free, total uint64, err error) { return 1 << 40, 1 << 40, nil }
		cfg.RTT = func(skein.NodeID) time.Duration {
			s.sky.mu.Lock()
			defer s.sky.mu.Unlock()
			return 2 * s.sky.latency
		}
	}
	s.prepare = func(g *Group) {
		s.sky.set(func() { s.sky.ports[g.cfg.Node].serve = g.Serve })
		p := &sickParts{log: &hangingLog{rawLog: g.watched.inner}, snapshots: &stagedSnapshots{SnapshotStore: g.disk.snapshots}}
		g.watched.inner, g.disk.snapshots = p.log, p.snapshots
		s.parts[g.cfg.Node] = p
	}
	return s
}

// begin starts all nodes and opens the sessions.
func (s *storm) begin() {
	s.start(stormNodes...)
	s.publish()
	lead := s.leader()
	for i := range historySessions {
		s.propose(lead, openCmd(i))
	}
}

// publish tells the clients which nodes run.
func (s *storm) publish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = nil
	for _, id := range stormNodes {
		if m := s.nodes[id]; m != nil {
			s.live = append(s.live, m.Group)
		}
	}
}

func (s *storm) pick(rng *rand.Rand) *Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.live) == 0 {
		return nil
	}
	return s.live[rng.IntN(len(s.live))]
}

// skewed is how wrong the clock of a proposer is.
func (s *storm) skewed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.skew
}

// crash takes a node off the network and ends it. What hangs comes back with an error, as it does not into a process
// that is dead.
func (s *storm) crash(ids ...skein.NodeID) {
	for _, id := range ids {
		s.sky.off(id)
	}
	for _, id := range ids {
		m := s.nodes[id]
		if m == nil {
			continue
		}
		delete(s.nodes, id)
		s.dead[id] = true
		s.parts[id].release(errDown)
		m.stop()
		if err := <-m.done; err != nil { // it was cut off in the middle
			s.ghosts = append(s.ghosts, m.raft.Load())
		}
	}
	s.publish()
}

// reap collects nodes that ended on their own; want is the error that they may end with.
func (s *storm) reap(want ...error) {
	for id, m := range s.nodes {
		select {
		case err := <-m.done:
			if !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
				s.faults = append(s.faults, fmt.Sprintf("%s ended: %v", id, err))
			}
			s.sky.off(id)
			s.parts[id].release(errDown)
			s.ghosts = append(s.ghosts, m.raft.Load())
			delete(s.nodes, id)
			s.dead[id] = true
		default:
		}
	}
	s.publish()
}

// heal mends everything, and starts what is down.
func (s *storm) heal(want ...error) {
	s.sky.heal()
	s.reap(want...)
	for _, p := range s.parts {
		p.release(nil)
	}
	for _, m := range s.nodes {
		emptyOut(m.disk.store)
	}
	for _, id := range stormNodes {
		if s.dead[id] {
			s.wake(id)
		}
	}
	s.publish()
}

// emptyOut ends fillUp.
func emptyOut(s *store) {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	s.db.MaxSize = 0
}

// wake starts a node again, once what was left of its last run has let go of its files, as the end of a process does.
func (s *storm) wake(id skein.NodeID) {
	s.t.Helper()
	delete(s.dead, id)
	path := filepath.Join(s.dir, string(id), stateFile)
	s.until("the lock of "+path, 30*time.Second, func() bool {
		s.exorcise()
		f, err := os.Open(path)
		if err != nil {
			return errors.Is(err, os.ErrNotExist)
		}
		defer f.Close()
		return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
	})
	s.start(id)
}

func (s *storm) pass(least, most time.Duration) {
	time.Sleep(least + time.Duration(s.rng.Int64N(int64(most-least)+1)))
}

// lead gives the node that leads, or any that runs.
func (s *storm) lead() *member {
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, id := range stormNodes {
			if m := s.nodes[id]; m != nil && m.IsLeader() {
				return m
			}
		}
	}
	for _, m := range s.nodes {
		return m
	}
	return nil
}

// targets picks the leader, a voter that follows, or every node.
func (s *storm) targets(who string) []skein.NodeID {
	lead := s.lead()
	if lead == nil {
		return nil
	}
	switch who {
	case "leader":
		return []skein.NodeID{lead.cfg.Node}
	case "follower":
		voters := slices.Clone(lead.Status().Voters)
		s.rng.Shuffle(len(voters), func(i, j int) { voters[i], voters[j] = voters[j], voters[i] })
		for _, id := range voters {
			if id != lead.cfg.Node && s.nodes[id] != nil {
				return []skein.NodeID{id}
			}
		}
		return nil
	}
	var all []skein.NodeID
	for _, id := range stormNodes {
		if s.nodes[id] != nil {
			all = append(all, id)
		}
	}
	return all
}

// finish lets the group come to rest and judges what the clients saw.
func (s *storm) finish(c *crowd, picture string) error {
	s.pass(2*time.Second, 2*time.Second)
	s.faults = append(s.faults, c.end()...)
	s.reap()
	s.converged()
	all, err := finals(s.nodes)
	if err != nil {
		return err
	}
	err = histories.Check(c.rec.Operations(), picture, all...)
	for _, f := range s.faults {
		err = errors.Join(err, errors.New(f))
	}
	return err
}

// snapshotNow makes nodes take a snapshot, which cuts their logs.
func (s *storm) snapshotNow(ids ...skein.NodeID) {
	for _, id := range ids {
		if m := s.nodes[id]; m != nil {
			m.raft.Load().Snapshot().Error() //nolint:errcheck // there may be nothing new
		}
	}
}

func (s *storm) run(kind string, who string) {
	f := stormFaults[kind]
	f.run(s, s.targets(who))
	s.pass(time.Second, 2*time.Second)
	s.heal(f.ends...)
}

// transfer asks a node for a transfer and does not wait for it.
func (s *storm) transfer(from, to skein.NodeID) {
	if m := s.nodes[from]; m != nil {
		m.raft.Load().LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to))
	}
}

func (s *storm) stopStorm() {
	s.sky.heal()
	for _, p := range s.parts {
		p.release(nil)
	}
	s.crash(stormNodes...)
	time.Sleep(fatalGrace)
	s.exorcise()
}

// exorcise answers the calls that the library leaves behind in its queue when a replica ends with an error: in the world
// they end with the process, here a goroutine would wait for ever.
func (s *storm) exorcise() {
	field := func(v reflect.Value, name string) reflect.Value {
		f := v.Elem().FieldByName(name)
		return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
	}
	for _, r := range s.ghosts {
		for {
			call, ok := field(reflect.ValueOf(r), "applyCh").TryRecv()
			if !ok {
				break
			}
			field(call, "errCh").TrySend(reflect.ValueOf(raft.ErrRaftShutdown))
		}
	}
}
