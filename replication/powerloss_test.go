package replication

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/e2e/powerfs"
	"github.com/skein-mesh/skein/session"
)

// TestPowerServer is the process of the file system that loses power; it is started by mountPower.
func TestPowerServer(t *testing.T) {
	if asked, err := powerfs.Serve(); err != nil {
		t.Fatal(err)
	} else if !asked {
		t.Skip("started by the power loss tests")
	}
}

func mountPower(t *testing.T) *powerfs.Mounted {
	t.Helper()
	m, err := powerfs.Mount(t.TempDir(), exec.Command(os.Args[0], "-test.run=^TestPowerServer$"))
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("needs root and /dev/fuse: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() }) //nolint:errcheck // its exit status is that of a test without the rest
	return m
}

// outage is a group whose replicas all lose power at once, again and again.
type outage struct {
	disk   *powerfs.Mounted
	rng    *rand.Rand
	seed   uint64
	gen    int // of the directory that holds the replicas
	fabric *fabric
	voters []skein.NodeID
	nodes  map[skein.NodeID]*member

	acked, sent [2]int // turns of each session; sent is acked, or one more
	opened      [2]bool
	has         map[skein.NodeID]standingOf
	big         bool // replies fill the log's files quickly
}

// standingOf is what a replica has promised while the power was on.
type standingOf struct{ index, term uint64 }

// errOut ends a round: the power has failed.
var errOut = errors.New("the power has failed")

var generation int

func newOutage(disk *powerfs.Mounted, seed uint64, voters ...skein.NodeID) (*outage, error) {
	generation++
	o := &outage{
		disk: disk, seed: seed, rng: rand.New(rand.NewPCG(seed, 11)), gen: generation * 100, voters: voters, fabric: newFabric(),
		nodes: map[skein.NodeID]*member{}, has: map[skein.NodeID]standingOf{},
	}
	return o, os.Mkdir(o.dir(), 0o700)
}

func (o *outage) name() string { return fmt.Sprintf("g%d", o.gen) }
func (o *outage) dir() string  { return filepath.Join(o.disk.Dir, o.name()) }

// start opens and runs a replica.
func (o *outage) start(id skein.NodeID) error {
	l := o.fabric.up(id, zoneOf(id))
	g, err := Open(Config{
		Node: id, Region: "eu", Zone: zoneOf(id), Dir: filepath.Join(o.dir(), string(id)), Layer: l, Voters: o.voters,
		Peers: peers{o.fabric, id}, SnapshotEntries: 1 << 20, TrailingEntries: 2,
		Space: func() (free, total uint64, err error) { return 1<<30 + 1<<20, 1 << 31, nil }, // no room for the reserve of 16 MiB
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", id, err)
	}
	o.fabric.mu.Lock()
	l.port.serve = g.Serve
	o.fabric.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{Group: g, stop: cancel, done: make(chan error, 1)}
	go func() { m.done <- g.Run(ctx) }()
	o.nodes[id] = m
	return nil
}

// kept checks what a replica still has of what it promised; it has just been opened.
func (o *outage) kept(id skein.NodeID) error {
	m, was := o.nodes[id], o.has[id]
	found, _, err := m.disk.survey()
	if err != nil {
		return err
	}
	if aside, err := filepath.Glob(filepath.Join(m.cfg.Dir, quarantineAs+"*")); err != nil || len(aside) > 0 {
		return fmt.Errorf("%s has set its state aside: %v, %v", id, aside, err)
	}
	if last := max(found.last, found.snapshot); last < was.index {
		return fmt.Errorf("%s had confirmed entry %d and has %d", id, was.index, last)
	}
	term, err := m.disk.logs.GetUint64([]byte("CurrentTerm"))
	if err != nil && was.term > 0 || term < was.term {
		return fmt.Errorf("%s had been in term %d and is in %d: %v", id, was.term, term, err)
	}
	return nil
}

// stop ends replicas in order; when the power has failed before, all they still do is lost.
func (o *outage) stop(ids ...skein.NodeID) (err error) {
	for _, id := range ids {
		o.fabric.down(id)
		if m := o.nodes[id]; m != nil {
			m.stop()
		}
	}
	for _, id := range ids {
		if m := o.nodes[id]; m != nil {
			err = errors.Join(err, <-m.done)
			delete(o.nodes, id)
		}
	}
	return err
}

// on reports whether the power is on: what was seen before the call counts then.
func (o *outage) on() error {
	failed, err := o.disk.Failed()
	if err == nil && failed {
		err = errOut
	}
	return err
}

// note remembers what the replicas have promised by now.
func (o *outage) note() error {
	now := map[skein.NodeID]standingOf{}
	for id, m := range o.nodes {
		r := m.raft.Load()
		if r == nil {
			continue
		}
		s := standingOf{index: r.AppliedIndex(), term: r.CurrentTerm()}
		now[id] = s
	}
	for _, m := range o.nodes {
		if !m.IsLeader() || m.transport == nil {
			continue
		}
		for id := range o.nodes {
			if s, ok := now[id]; ok && id != m.cfg.Node {
				s.index = max(s.index, m.transport.progress(raft.ServerID(id)))
				now[id] = s
			}
		}
	}
	if err := o.on(); err != nil {
		return err
	}
	for id, s := range now {
		s.index, s.term = max(s.index, o.has[id].index), max(s.term, o.has[id].term)
		o.has[id] = s
	}
	return nil
}

// lead waits for a leader.
func (o *outage) lead() (*member, error) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, id := range o.voters {
			if m := o.nodes[id]; m != nil && m.IsLeader() {
				return m, nil
			}
		}
	}
	return nil, errors.New("no leader within 20 s")
}

// write adds a turn to a session, which has to follow the ones that were acknowledged.
func (o *outage) write(s int) error {
	m, err := o.lead()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if !o.opened[s] {
		if _, err := m.Propose(ctx, openCmd(s)); err != nil {
			return err
		}
		if err := o.on(); err != nil {
			return err
		}
		o.opened[s] = true
	}
	o.sent[s] = o.acked[s] + 1
	cmd := sayCmd(s, o.sent[s], skein.Seq(1+2*o.acked[s]))
	a := cmd.Body.(session.Accept)
	size := 1 + o.rng.IntN(3000)
	if o.big {
		size = 60 << 10
	}
	a.Reply = &session.Reply{Text: strings.Repeat(fmt.Sprint(o.sent[s]%10), size)}
	cmd.Body = a
	results, err := m.Propose(ctx, cmd)
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return fmt.Errorf("turn %d of %s: %w", o.sent[s], sid(s), err)
	}
	if err := o.on(); err != nil {
		return err
	}
	o.acked[s] = o.sent[s]
	return nil
}

// verify reads everything back at every replica; a turn on its way when the power failed may be there.
func (o *outage) verify() error {
	m, err := o.lead()
	if err != nil {
		return err
	}
	for s := range o.acked {
		if !o.opened[s] {
			continue
		}
		st, err := o.count(m, s)
		if err != nil {
			return err
		}
		if st != o.acked[s] && st != o.sent[s] {
			return fmt.Errorf("%s has %d turns, %d were acknowledged", sid(s), st, o.acked[s])
		}
		if err := o.on(); err != nil {
			return err
		}
		o.acked[s], o.sent[s] = st, st
	}
	for id, m := range o.nodes {
		for s := range o.acked {
			if !o.opened[s] {
				continue
			}
			if n, err := o.count(m, s); err != nil || n != o.acked[s] {
				return fmt.Errorf("%s at %s: %d turns, %w, want %d", sid(s), id, n, err, o.acked[s])
			}
		}
	}
	return nil
}

// count reads a session and its history, and compares the two.
func (o *outage) count(m *member, s int) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	after := skein.Seq(0)
	if n := o.acked[s]; n > 0 {
		after = skein.Seq(2 * n)
	}
	st, err := m.Read(ctx, sid(s), after)
	if err != nil {
		old, _ := m.disk.store.get(sid(s))
		return 0, fmt.Errorf("read %s: %w; %d turns were acknowledged, it holds %+v", sid(s), err, o.acked[s], old)
	}
	entries, err := entriesOf(m.Group, sid(s))
	if err != nil {
		return 0, fmt.Errorf("history of %s: %w", sid(s), err)
	}
	if len(entries) != int(st.Count) {
		return 0, fmt.Errorf("%s: the state has %d turns, the history %d", sid(s), st.Count, len(entries))
	}
	tail := tailOf(st)
	for i, e := range entries {
		if want := fmt.Sprintf("question %d", i+1); e.Record != want {
			return 0, fmt.Errorf("%s: entry %d is %q, want %q", sid(s), i, e.Record, want)
		}
		if k := i - (len(entries) - len(tail)); k >= 0 && tail[k] != e {
			return 0, fmt.Errorf("%s: the state tells turn %d otherwise than the history", sid(s), i+1)
		}
	}
	return len(entries), nil
}
