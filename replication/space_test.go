package replication

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

const (
	gib = uint64(1 << 30)
	mib = uint64(1 << 20)
)

func TestMarkOf(t *testing.T) {
	for _, tt := range []struct {
		free, total uint64
		was, want   spaceMark
	}{
		{500 * gib, 1000 * gib, roomy, roomy},
		{20 * gib, 1000 * gib, roomy, roomy}, // a fiftieth, but much
		{gib - 1, 1000 * gib, roomy, soft},
		{256*mib - 1, 1000 * gib, roomy, hard},
		{200 * mib, gib, roomy, roomy}, // little, but a fifth
		{140 * mib, gib, roomy, soft},
		{40 * mib, gib, roomy, hard},
		{gib + mib, 1000 * gib, soft, soft}, // it does not flicker
		{gib + gib/5, 1000 * gib, soft, roomy},
		{260 * mib, 1000 * gib, hard, hard},
		{300 * mib, 1000 * gib, hard, soft},
		{2 * gib, 1000 * gib, hard, roomy},
		{0, 0, roomy, roomy},
	} {
		if got := markOf(tt.free, tt.total, tt.was); got != tt.want {
			t.Errorf("%d of %d bytes after mark %d: got %d, want %d", tt.free, tt.total, tt.was, got, tt.want)
		}
	}
}

// disks is the free space of the nodes of a cluster, on disks of 1000 GiB.
type disks map[skein.NodeID]*atomic.Uint64

func spaced(c *cluster) disks {
	d := disks{}
	c.tune = func(cfg *Config) {
		free := &atomic.Uint64{}
		free.Store(500 * gib)
		d[cfg.Node] = free
		cfg.Space = func() (uint64, uint64, error) { return free.Load(), 1000 * gib, nil }
	}
	return d
}

func (c *cluster) refused(m *member, cmd session.Command) {
	c.t.Helper()
	_, err := m.Propose(c.t.Context(), cmd)
	e, ok := errors.AsType[*skein.Error](err)
	if !ok || e.Code != skein.CodeStorageFull || e.RetryAfter <= 0 {
		c.t.Errorf("propose on %s with a full disk: got %v, want %v with advice when to retry", m.cfg.Node, err, skein.CodeStorageFull)
	}
}

func TestSoftMarkRefusesWhatIsNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		free := spaced(c)
		c.start("a1", "b1", "c1")
		lead := c.leader()
		var follower *member
		for _, m := range c.nodes {
			if m != lead {
				follower = m
			}
		}
		c.propose(lead, openCmd(1), askCmd(1, 1))
		free[lead.cfg.Node].Store(gib / 2)
		c.until("the soft mark", 3*time.Second, func() bool { return lead.Status().DiskMark == "soft" })
		for _, m := range []*member{lead, follower} {
			c.refused(m, openCmd(2))
			c.refused(m, sayCmd(1, 2, 2))
		}
		if r := c.propose(follower, askCmd(1, 1)); !r[0].Duplicate {
			t.Error("a repeat of a turn that is known: not answered as one")
		}
		c.propose(follower, openCmd(1))
		run := session.Run{Turn: turnID(1), Attempt: 1}
		c.propose(lead, session.Command{Session: sid(1), Body: session.Renew{Run: run}},
			session.Command{Session: sid(1), Body: session.Complete{Run: run, Reply: session.Reply{Text: "answer"}}})
		if !lead.IsLeader() {
			t.Error("the soft mark took the leadership away")
		}
		free[lead.cfg.Node].Store(100 * gib)
		c.until("room again", 3*time.Second, func() bool { return lead.Status().DiskMark == "" })
		c.propose(follower, openCmd(2))
		c.converged()
	})
}

func TestHardMarkHandsLeadershipAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		free := spaced(c)
		c.start("a1", "b1", "c1")
		old := c.leader()
		c.propose(old, openCmd(1))
		reserve := filepath.Join(old.cfg.Dir, reserveFile)
		c.until("a reserve", 3*time.Second, func() bool { _, err := os.Stat(reserve); return err == nil })
		free[old.cfg.Node].Store(100 * mib)
		c.until("another leader", 5*time.Second, func() bool { id, ok := old.Leader(); return ok && id != old.cfg.Node })
		if _, err := os.Stat(reserve); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the reserve at the hard mark: got %v, want %v", err, os.ErrNotExist)
		}
		c.propose(old, sayCmd(1, 1, 1)) // the others have room
		free[old.cfg.Node].Store(100 * gib)
		c.until("a reserve again", 3*time.Second, func() bool { _, err := os.Stat(reserve); return err == nil })
		c.converged()
	})
}

func TestLeaderKeepsOutWhatFollowersHaveNoRoomFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		free := spaced(c)
		c.start("a1", "b1", "c1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		full := 0
		for id := range c.nodes {
			if id != lead.cfg.Node {
				free[id].Store(gib / 2)
				full++
				time.Sleep(2 * compareEvery)
				if full == 1 {
					c.propose(lead, openCmd(2)) // one of three
				}
			}
		}
		c.refused(lead, openCmd(3))
		for _, f := range free {
			f.Store(500 * gib)
		}
		time.Sleep(2 * compareEvery)
		c.propose(lead, openCmd(3))
	})
}

func TestFullDiskIsCompacted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		free := spaced(c)
		c.start("a1", "b1", "c1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		for i := range 2 * fullTrailing {
			c.propose(lead, sayCmd(1, i+1, skein.Seq(1+2*i)))
		}
		if list, err := lead.disk.snapshots.List(); err != nil || len(list) != 0 {
			t.Fatalf("snapshots before: got %d, %v, want none", len(list), err)
		}
		free[lead.cfg.Node].Store(gib / 2)
		c.until("a log that was cut", 10*time.Second, func() bool {
			first, err := lead.disk.logs.FirstIndex()
			return err == nil && first > fullTrailing/2
		})
		if got := lead.raft.Load().ReloadableConfig().TrailingLogs; got != fullTrailing {
			t.Errorf("entries kept behind a snapshot: got %d, want %d", got, fullTrailing)
		}
		free[lead.cfg.Node].Store(500 * gib)
		c.until("the usual setting", 3*time.Second, func() bool { return lead.raft.Load().ReloadableConfig().TrailingLogs == lead.cfg.TrailingEntries })
	})
}

func TestSpaceOfTheSystem(t *testing.T) {
	free, total, err := statSpace(t.TempDir())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system is not asked for its free space")
	}
	if err != nil || total == 0 || free > total {
		t.Errorf("free space: got %d of %d, %v", free, total, err)
	}
	dir := t.TempDir()
	if err := makeReserve(dir); err != nil {
		t.Skipf("this file system has no reserves: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, reserveFile)); err != nil || info.Size() != reserveBytes {
		t.Errorf("reserve: got %+v, %v, want %d bytes", info, err, reserveBytes)
	}
}
