package replication

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// others gives the members that are not the leader.
func (c *cluster) others(lead *member) []*member {
	var list []*member
	for _, node := range []skein.NodeID{"a1", "b1", "c1", "d1", "e1"} {
		if m := c.nodes[node]; m != nil && m != lead {
			list = append(list, m)
		}
	}
	return list
}

// TestReadOfTheLatest: such a read sees what was committed before it, from every node, also one without a replica.
func TestReadOfTheLatest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "d1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		seq := skein.Seq(1)
		for turn := range 5 {
			for _, m := range append(c.others(lead), lead) {
				c.propose(lead, sayCmd(1, 10*turn+int(seq), seq))
				seq += 2
				st, err := m.ReadFresh(t.Context(), sid(1), session.Freshness{Latest: true})
				if err != nil || st.Seq != seq {
					t.Fatalf("read at %s: got %+v, %v, want seq %d", m.cfg.Node, st, err, seq)
				}
			}
		}
		if _, err := c.nodes["d1"].ReadFresh(t.Context(), "eu~nobody", session.Freshness{Latest: true}); !errors.Is(err, skein.ErrUnknownSession) {
			t.Errorf("unknown session: got %v, want %v", err, skein.ErrUnknownSession)
		}
	})
}

// TestLeaderThatIsCutOffGivesNoLatest: a leader that a majority no longer hears answers no read of the latest, also with a
// spare on its side, which the library's VerifyLeader would count.
func TestLeaderThatIsCutOffGivesNoLatest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		spare := lead.cfg.Node[:1] + "2" // in the leader's zone, so that it is no better voter
		c.start(skein.NodeID(spare))
		c.until("a spare", 30*time.Second, func() bool { return len(lead.Status().Spares)+len(lead.Status().Voters) > 3 })
		away := []skein.NodeID{lead.cfg.Node, skein.NodeID(spare)}
		c.fabric.split(away...)
		// The old leader believes that it leads until its lease ends; all that time it answers no such read.
		for lead.IsLeader() {
			for _, f := range []session.Freshness{{Latest: true}, {MaxAge: time.Nanosecond}} {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				st, err := lead.ReadFresh(ctx, sid(1), f)
				cancel()
				if err == nil {
					t.Fatalf("a leader that is cut off answered a read of %+v: %+v", f, st)
				}
			}
		}
		next := c.others(lead)
		var heir *member
		c.until("another leader", 10*time.Second, func() bool {
			for _, m := range next {
				if m.cfg.Node != skein.NodeID(spare) && m.IsLeader() {
					heir = m
				}
			}
			return heir != nil
		})
		c.propose(heir, sayCmd(1, 1, 1))
		for _, node := range away {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			if st, err := c.nodes[node].ReadFresh(ctx, sid(1), session.Freshness{Latest: true}); err == nil {
				t.Errorf("%s is cut off and answered %+v", node, st)
			}
			cancel()
		}
		c.fabric.split()
		for _, node := range away {
			if st, err := c.nodes[node].ReadFresh(t.Context(), sid(1), session.Freshness{Latest: true}); err != nil || st.Seq != 3 {
				t.Errorf("%s after the partition: got %+v, %v, want seq 3", node, st, err)
			}
		}
	})
}

// TestReadOfAnAge: a follower answers by itself for as long as what it knows is young enough, then it asks; cut off, it gives
// nothing that is older.
func TestReadOfAnAge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const age = 3 * time.Second
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		c.propose(lead, openCmd(1))
		c.converged()
		m := c.others(lead)[0]
		read := func() (*session.State, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return m.ReadFresh(ctx, sid(1), session.Freshness{MaxAge: age})
		}
		if st, err := read(); err != nil || st.Seq != 1 {
			t.Fatalf("read: %+v, %v", st, err)
		}
		asked := time.Now()
		c.until("the follower has all that it was told of", time.Second, func() bool { return m.enough(session.Freshness{MaxAge: age}) })
		before := lead.disk.store.mark().index
		for range 5 {
			if st, err := read(); err != nil || st.Seq != 1 {
				t.Errorf("read: %+v, %v", st, err)
			}
		}
		if got := lead.disk.store.mark().index; got != before {
			t.Errorf("reads of a young enough state wrote %d entries", got-before)
		}
		c.fabric.split(m.cfg.Node)
		c.propose(c.leader(), sayCmd(1, 1, 1))
		for time.Since(asked) < age+2*time.Second {
			began := time.Since(asked)
			if st, err := read(); err == nil && began > age {
				t.Fatalf("%v after it was last told, a follower that is cut off gives %+v", began, st)
			}
			time.Sleep(100 * time.Millisecond)
		}
		c.fabric.split()
		c.until("an answer", 10*time.Second, func() bool { _, err := read(); return err == nil })
		if st, err := read(); err != nil || st.Seq != 3 {
			t.Errorf("after the partition: %+v, %v, want seq 3", st, err)
		}
	})
}

// TestQueryOfEveryNode: who said what is told by every node, as new as it is asked for.
func TestQueryOfEveryNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "d1")
		lead := c.leader()
		for n := range 3 {
			c.propose(lead, openCmd(n), sayCmd(n, 1, 1))
		}
		c.propose(lead, session.Command{Session: sid(1), At: time.Unix(1002, 0), Body: session.Close{Reason: "client"}})
		c.converged()
		for _, m := range append(c.others(lead), lead) {
			q := session.Query{Subject: "ada", From: time.Unix(1001, 0), Limit: 4, Fresh: session.Freshness{Latest: true}}
			first, err := m.Query(t.Context(), q)
			if err != nil || spots(first.Said) != "eu~s0 2, eu~s0 3, eu~s1 2, eu~s1 3" || first.Next == "" {
				t.Fatalf("at %s: %s, next %q, %v", m.cfg.Node, spots(first.Said), first.Next, err)
			}
			q.After, q.Fresh = first.Next, session.Freshness{}
			rest, err := m.Query(t.Context(), q)
			if err != nil || spots(rest.Said) != "eu~s1 4, eu~s2 2, eu~s2 3" || rest.Next != "" {
				t.Fatalf("at %s: %s, next %q, %v", m.cfg.Node, spots(rest.Said), rest.Next, err)
			}
			if got := rest.Said[1].Event; got.Text != "question 1" || got.Memory != nil {
				t.Errorf("at %s: %+v", m.cfg.Node, got)
			}
		}
		if _, err := c.nodes["d1"].Query(t.Context(), session.Query{Subject: "ada", Limit: 1, After: "?"}); skein.CodeOf(err) != skein.CodeMalformed {
			t.Errorf("a cursor of somebody's own: %v, want malformed", err)
		}
		const sessions = 3 * sweepBatch // pages
		var many []session.Command
		for n := 3; n < sessions; n++ {
			many = append(many, openCmd(n))
		}
		c.propose(lead, many...)
		r := &Region{groups: []*Group{c.nodes["d1"].Group}}
		if n, err := r.EraseSubject(t.Context(), "ada"); n != sessions || err != nil {
			t.Errorf("erase of the subject: %d, %v, want %d", n, err, sessions)
		}
		if f, err := lead.Query(t.Context(), session.Query{Subject: "ada", Limit: 10}); err != nil || len(f.Said) > 0 {
			t.Errorf("after the erase: %s, %v", spots(f.Said), err)
		}
		c.converged()
	})
}
