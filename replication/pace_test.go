package replication

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

func TestPacer(t *testing.T) {
	const base = 300 * time.Millisecond
	type look struct {
		at        time.Duration
		term      uint64
		sync, rtt time.Duration
		want      time.Duration
	}
	for _, tt := range []struct {
		name  string
		looks []look
	}{
		{"quiet", []look{{0, 1, 0, 0, base}, {time.Hour, 1, 5 * time.Millisecond, 2 * time.Millisecond, base}}},
		{"slow disk", []look{{0, 1, 0, 0, base}, {1 * time.Second, 1, 100 * time.Millisecond, 0, 500 * time.Millisecond}}},
		{"long way", []look{{0, 1, 0, 80 * time.Millisecond, 800 * time.Millisecond}}},
		{"bounded", []look{{0, 1, time.Second, 0, maxHeartbeat}}},
		{"lowered by halves", []look{
			{0, 1, 400 * time.Millisecond, 0, maxHeartbeat}, {time.Minute, 1, 0, 0, maxHeartbeat},
			{2 * time.Minute, 1, 0, 0, time.Second}, {3 * time.Minute, 1, 0, 0, time.Second},
			{4 * time.Minute, 1, 0, 0, 500 * time.Millisecond}, {6 * time.Minute, 1, 0, 0, base}, {60 * time.Minute, 1, 0, 0, base},
		}},
		{"not below a disk that stays slow", []look{{0, 1, 400 * time.Millisecond, 0, maxHeartbeat}, {10 * time.Minute, 1, 300 * time.Millisecond, 0, 1500 * time.Millisecond}}},
		{"three elections in a minute", []look{
			{0, 5, 0, 0, base}, {1 * time.Second, 6, 0, 0, base}, {20 * time.Second, 7, 0, 0, base}, {50 * time.Second, 8, 0, 0, 2 * base},
			{2 * time.Minute, 8, 0, 0, 2 * base}, {3 * time.Minute, 8, 0, 0, base},
		}},
		{"three elections in an hour", []look{{0, 5, 0, 0, base}, {1 * time.Minute, 6, 0, 0, base}, {20 * time.Minute, 7, 0, 0, base}, {50 * time.Minute, 8, 0, 0, base}}},
		{"the first term is no election", []look{{0, 90, 0, 0, base}, {1, 91, 0, 0, base}, {2, 92, 0, 0, base}, {3, 92, 0, 0, base}}},
	} {
		began := time.Unix(1000, 0)
		p := newPacer(base, began)
		for _, l := range tt.looks {
			p.see(l.term, began.Add(l.at))
			if got := p.timeout(l.sync, l.rtt, began.Add(l.at)); got != l.want {
				t.Errorf("%s: after %v: got %v, want %v", tt.name, l.at, got, l.want)
			}
		}
	}
}

func TestSyncTimes(t *testing.T) {
	at := time.Unix(1000, 0)
	s := &syncTimes{}
	for range minSyncs - 1 {
		s.add(70*time.Millisecond, at)
	}
	if got := s.p999(at); got != 0 {
		t.Errorf("too few: got %v, want 0", got)
	}
	for range 9000 {
		s.add(900*time.Microsecond, at)
	}
	if got := s.p999(at); got < 70*time.Millisecond || got > 105*time.Millisecond {
		t.Errorf("a tenth slow: got %v, want 70 to 105 ms", got)
	}
	if got := s.p999(at.Add(90 * time.Second)); got == 0 {
		t.Error("the minute before is forgotten")
	}
	if got := s.p999(at.Add(5 * time.Minute)); got != 0 {
		t.Errorf("after five minutes: got %v, want 0", got)
	}
	s.add(time.Hour, at)
	for range 10_000 {
		s.add(time.Microsecond, at)
	}
	if got := s.p999(at); got != syncLeast {
		t.Errorf("one slow in ten thousand: got %v, want %v", got, syncLeast)
	}
}

func TestElectionTimeoutFollowsTheDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		is := func(heartbeat, lease time.Duration) func() bool {
			return func() bool {
				for _, m := range c.nodes {
					if s := m.Status(); s.Heartbeat != heartbeat || s.Election != heartbeat || s.Lease != lease {
						return false
					}
				}
				return true
			}
		}
		c.until("the configured timeouts", time.Second, is(300*time.Millisecond, 200*time.Millisecond))
		for _, m := range c.nodes {
			for range minSyncs {
				m.watched.syncs.add(200*time.Millisecond, time.Now())
			}
		}
		slow := syncFactor * 256 * time.Millisecond // the bound of the bucket that holds 200 ms is 192 ms or more
		c.until("longer timeouts", 3*time.Second, func() bool { return lead.Status().Heartbeat > time.Second })
		if got := lead.Status().Heartbeat; got > slow {
			t.Errorf("heartbeat: got %v, want at most %v", got, slow)
		}
		c.propose(lead, openCmd(1))
		c.until("the configured timeouts again", 15*time.Minute, is(300*time.Millisecond, 200*time.Millisecond))
		if !lead.IsLeader() {
			t.Error("the leader has changed")
		}
	})
}

// TestStretchedLease: followers that do not answer for longer than the library's lease, but not for longer than the stretched one.
func TestStretchedLease(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sync  time.Duration
		stays bool
	}{{"timeouts as configured", 0, false}, {"timeouts raised", 300 * time.Millisecond, true}} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCluster(t, "a1", "b1", "c1")
				defer c.stopAll()
				sick := map[skein.NodeID]*sickLog{}
				c.prepare = func(g *Group) { sick[g.cfg.Node] = makeSick(g) }
				c.start("a1", "b1", "c1")
				lead := c.leader()
				c.propose(lead, openCmd(1))
				for _, m := range c.nodes {
					for range 10 * minSyncs {
						m.watched.syncs.add(tt.sync, time.Now())
					}
				}
				time.Sleep(2 * time.Second)
				term := lead.Status().Term
				release := make(chan struct{})
				for id, s := range sick {
					if id != lead.cfg.Node {
						s.hang(release)
					}
				}
				time.AfterFunc(500*time.Millisecond, func() { close(release) })
				c.propose(c.nodes[lead.cfg.Node], sayCmd(1, 1, 1))
				if got := c.leader().Status().Term == term; got != tt.stays {
					t.Errorf("still in the same term: got %v, want %v", got, tt.stays)
				}
			})
		})
	}
}

func TestHeartbeatToADeadFollowerFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFabric()
		tr := newTransport(newTrackedLayer(f.up("a1", "a"), "a1"), incoming{dir: t.TempDir()}, func() bool { return false }, newRaftLog(discardLog()))
		defer func() {
			tr.shut()
			tr.wait()
		}()
		tr.patience.Store(int64(time.Second))
		tr.pulse("b1").heard = time.Now()
		req := &raft.AppendEntriesRequest{Term: 3}
		if err := tr.AppendEntries("b1", "b1", req, &raft.AppendEntriesResponse{}); !errors.Is(err, errDown) {
			t.Errorf("heartbeat to a node whose stream is refused: got %v, want %v", err, errDown)
		}
	})
}
