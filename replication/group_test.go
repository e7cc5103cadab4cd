package replication

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

func TestProposeForwardAndRepeat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "d1") // d1 is a gateway without a replica at first
		lead := c.leader()
		var follower *member
		for _, m := range c.nodes {
			if m != lead && m.cfg.Node != "d1" {
				follower = m
			}
		}
		for i, m := range []*member{lead, follower, c.nodes["d1"]} {
			c.propose(m, openCmd(i))
			got := c.propose(m, sayCmd(i, 1, 1))[0]
			if got.Duplicate || got.State.Seq != 3 {
				t.Errorf("first turn on %s: got duplicate %v, seq %d, want false, 3", m.cfg.Node, got.Duplicate, got.State.Seq)
			}
			again := c.propose(m, sayCmd(i, 1, 1))[0]
			if !again.Duplicate || again.State.Seq != 3 {
				t.Errorf("repeat on %s: got duplicate %v, seq %d, want true, 3", m.cfg.Node, again.Duplicate, again.State.Seq)
			}
			st, err := m.Read(t.Context(), sid(i), 2)
			if err != nil || st.Turns[0].Reply != "answer 1" {
				t.Errorf("read on %s: got %+v, %v", m.cfg.Node, st, err)
			}
		}
		_, err := c.nodes["d1"].Read(t.Context(), "eu~nobody", 0)
		if !errors.Is(err, skein.ErrUnknownSession) {
			t.Errorf("unknown session on a gateway: got %v, want %v", err, skein.ErrUnknownSession)
		}
		_, err = follower.Read(t.Context(), "eu~nobody", 0)
		if !errors.Is(err, skein.ErrUnknownSession) {
			t.Errorf("unknown session on a follower: got %v, want %v", err, skein.ErrUnknownSession)
		}
		events, err := c.nodes["d1"].History(t.Context(), sid(0), 0, 10)
		if err != nil || len(events) != 3 {
			t.Errorf("history on a gateway: got %d events, %v, want 3", len(events), err)
		}
		c.converged()
	})
}

func TestReadWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "d1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		type got struct {
			st  *session.State
			err error
		}
		replies := make(chan got, len(c.nodes))
		for _, m := range c.nodes {
			go func() {
				st, err := m.Read(t.Context(), sid(1), 1)
				replies <- got{st, err}
			}()
		}
		time.Sleep(3 * time.Second)
		if n := len(replies); n != 0 {
			t.Errorf("reads that did not wait: got %d, want 0", n)
		}
		c.propose(lead, sayCmd(1, 1, 1))
		for range c.nodes {
			if g := <-replies; g.err != nil || g.st.Seq != 3 {
				t.Errorf("read: got %+v, %v, want seq 3", g.st, g.err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := lead.Read(ctx, sid(1), 3); !errors.Is(err, skein.ErrNoQuorum) {
			t.Errorf("read with nothing new: got %v, want %v", err, skein.ErrNoQuorum)
		}
	})
}

func TestLeaderKilledAndRestarted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		old := c.leader()
		c.propose(old, openCmd(1), sayCmd(1, 1, 1))
		killed := time.Now()
		c.kill(old.cfg.Node)
		next := c.leader()
		if took := time.Since(killed); took > 2*time.Second {
			t.Errorf("election: took %v, want at most 2s", took)
		}
		c.propose(next, sayCmd(1, 2, 3))
		c.start(old.cfg.Node)
		c.converged()
		st, err := c.nodes[old.cfg.Node].Read(t.Context(), sid(1), 4)
		if err != nil || len(st.Turns) != 2 {
			t.Fatalf("read after the restart: got %+v, %v, want two turns", st, err)
		}
	})
}

func TestProposeWaitsForAnElection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "d1")
		old := c.leader()
		c.propose(c.nodes["d1"], openCmd(1))
		c.fabric.down(old.cfg.Node) // it still believes to lead for a moment
		done := make(chan []session.Result, 1)
		go func() { done <- c.propose(c.nodes["d1"], sayCmd(1, 1, 1)) }()
		if r := <-done; r[0].State.Seq != 3 {
			t.Errorf("turn across an election: got seq %d, want 3", r[0].State.Seq)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := old.Propose(ctx, openCmd(2)); !errors.Is(err, skein.ErrNoQuorum) && !errors.Is(err, skein.ErrUnknownOutcome) {
			t.Errorf("propose on a node that is cut off: got %v, want no quorum or unknown outcome", err)
		}
		c.stopNode(old.cfg.Node)
	})
}

func TestRestartFromDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		c.start("a1", "b1", "c1")
		lead := c.leader()
		for i := range 20 {
			c.propose(lead, openCmd(i), askCmd(i, 1))
		}
		c.converged()
		index, hash := lead.Hash()
		c.stopAll()
		c.nodes = map[skein.NodeID]*member{}
		c.start("a1", "b1", "c1")
		defer c.stopAll()
		for id, m := range c.nodes {
			if i, h := m.Hash(); i < index || h != hash {
				t.Errorf("%s after the restart: got index %d hash %x, want %d %x", id, i, h, index, hash)
			}
		}
		lead = c.leader()
		if n := len(lead.OpenTurns()); n != 20 {
			t.Errorf("open turns after the restart: got %d, want 20", n)
		}
		list, err := lead.Sessions("", 5)
		if err != nil || len(list) != 5 || list[0].ID != sid(0) {
			t.Errorf("sessions: got %d, %v, want 5 from %s", len(list), err, sid(0))
		}
		if n := lead.Status().Sessions; n != 20 {
			t.Errorf("status: got %d sessions, want 20", n)
		}
		c.converged()
	})
}

func TestClockTicksWhileTurnsAreOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		time.Sleep(10 * time.Second)
		if got := lead.Clock(); got != 0 {
			t.Errorf("clock of an idle group: got %v, want 0", got)
		}
		c.propose(lead, askCmd(1, 1))
		time.Sleep(10 * time.Second)
		if got := time.Duration(lead.Clock()); got < 8*time.Second || got > 10*time.Second {
			t.Errorf("clock after 10 s with an open turn: got %v", got)
		}
	})
}

func TestTransferLeadership(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		old := c.leader()
		c.propose(old, openCmd(1))
		changed := old.LeaderChanged()
		if err := old.TransferLeadership(t.Context()); err != nil {
			t.Fatalf("transfer: %v", err)
		}
		<-changed
		c.until("another leader", time.Second, func() bool {
			id, ok := old.Leader()
			return ok && id != old.cfg.Node
		})
		c.propose(old, sayCmd(1, 1, 1))
		next := c.leader()
		began := time.Now()
		c.stopNode(next.cfg.Node) // in order: leadership is handed over, no election by silence
		c.fabric.down(next.cfg.Node)
		c.leader()
		if took := time.Since(began); took > 250*time.Millisecond {
			t.Errorf("stop of a leader: the next took %v, want at most 250ms", took)
		}
	})
}
