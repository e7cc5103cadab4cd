package replication

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// TestRegionIsOneStore: what a region is asked over all groups is what one group would answer.
func TestRegionIsOneStore(t *testing.T) {
	for _, groups := range []int{1, 2, 8} {
		t.Run(fmt.Sprint(groups), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newRegionCluster(t, groups)
				defer c.stopAll()
				c.start(regionVoters...)
				c.settled()
				m := c.nodes["b1"]
				const sessions = 40
				var cmds []session.Command
				for n := range sessions {
					cmds = append(cmds, openCmd(n), askCmd(n, 1))
				}
				for i, res := range c.propose(m, cmds...) {
					if want := sid(i / 2); res.State == nil || res.State.ID != want {
						t.Errorf("result %d is of %v, want %s", i, res.State, want)
					}
				}
				var dead []session.Command
				for n := 0; n < sessions; n += 3 {
					dead = append(dead, failCmd(n, 1))
				}
				c.propose(m, dead...)
				st, err := m.Read(t.Context(), sid(7), 1)
				if err != nil || st.ID != sid(7) {
					t.Errorf("read: got %v, %v", st, err)
				}
				if events, err := m.History(t.Context(), sid(7), 0, 10); err != nil || len(events) != 2 {
					t.Errorf("history: got %d events, %v, want 2", len(events), err)
				}
				if _, err := m.Read(t.Context(), sid(99), 0); !errors.Is(err, skein.ErrUnknownSession) {
					t.Errorf("read of nothing: got %v, want %v", err, skein.ErrUnknownSession)
				}
				c.until("replicas with all of it", 5*time.Second, func() bool {
					open, died := 0, 0
					for _, g := range m.groups {
						st := g.Status()
						open, died = open+st.OpenTurns, died+st.DeadLetters
					}
					return open == sessions-len(dead) && died == len(dead)
				})
				c.pages(m, sessions, len(dead))
				if !m.Quorum() || !m.QuorumOf(sid(1)) {
					t.Error("no quorum")
				}
			})
		})
	}
}

// pages walks the lists of a region in pages of 7.
func (c *regionCluster) pages(m *regionMember, sessions, letters int) {
	c.t.Helper()
	var listed []skein.SessionID
	for after := skein.SessionID(""); ; {
		page, err := m.Sessions(after, 7)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, st := range page {
			listed = append(listed, st.ID)
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
	}
	if len(listed) != sessions || !slices.IsSorted(listed) || len(slices.Compact(slices.Clone(listed))) != sessions {
		c.t.Errorf("sessions: got %v, want %d in order", listed, sessions)
	}
	var seen []skein.SessionID
	for after := skein.SessionID(""); ; {
		page, next, err := m.DeadLetters(after, 4)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, l := range page {
			seen = append(seen, l.Session)
		}
		if after = next; next == "" {
			break
		}
	}
	if len(seen) != letters || !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != letters {
		c.t.Errorf("dead letters: got %v, want %d in order", seen, letters)
	}
}

// TestHungDiskSilencesAllGroups: a write that hangs in one group takes the leadership of all of them away, and ends the
// process of all; the others go on.
func TestHungDiskSilencesAllGroups(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newRegionCluster(t, 4)
		defer c.stopAll()
		sick := map[skein.NodeID]*sickLog{}
		c.prepare = func(r *Region) { sick[r.cfg.Node] = makeSick(r.groups[0]) }
		c.start(regionVoters...)
		lead := c.settled()[0]
		c.propose(c.nodes[lead], openCmd(1), openCmd(2), openCmd(3))
		old := c.nodes[lead]
		release := make(chan struct{})
		sick[lead].hang(release)
		began := time.Now()
		go old.groups[0].Propose(t.Context(), sayCmd(1, 1, 1)) //nolint:errcheck // it hangs
		c.until("no leadership on the hung disk", diskHungQuiet+5*time.Second, func() bool { return old.leads(lead) == 0 })
		var err error
		select {
		case err = <-old.done:
		case <-time.After(diskHungExit + 5*time.Second):
			t.Fatal("the region goes on")
		}
		if took := time.Since(began); !errors.Is(err, ErrDiskHung) || took < diskHungExit {
			t.Errorf("run: got %v after %v, want %v after %v", err, took, ErrDiskHung, diskHungExit)
		}
		delete(c.nodes, lead)
		close(release)
		c.down(lead)
		c.settled()
		for _, m := range c.nodes {
			c.propose(m, sayCmd(2, 1, 1))
			break
		}
	})
}

// TestFaultOfOneGroupEndsTheRegion: a write that fails ends all groups with its error; a replica that differs lets the
// others hand over first.
func TestFaultOfOneGroupEndsTheRegion(t *testing.T) {
	for _, fault := range []error{fmt.Errorf("%w: no space left on device", ErrStorage), ErrDiverged} {
		t.Run(fault.Error(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newRegionCluster(t, 2)
				defer c.stopAll()
				c.start(regionVoters...)
				lead := c.settled()[1]
				m := c.nodes[lead]
				m.groups[0].fatal(fault)
				if err := <-m.done; !errors.Is(err, fault) {
					t.Errorf("run: got %v, want %v", err, fault)
				}
				handed := false
				for id, other := range c.nodes {
					at, _ := other.groups[1].Leader()
					handed = handed || id != lead && at == id
				}
				if want := errors.Is(fault, ErrDiverged); handed != want {
					t.Errorf("group 1 has another leader already: %v, want %v", handed, want)
				}
				delete(c.nodes, lead)
				c.down(lead)
				c.settled()
			})
		})
	}
}

// TestFoundersThatDisagree: of three first voters one is configured for another number. The two that agree form the
// region, and the third ends with the reason; what it has stored does not keep it from coming back with the right number.
func TestFoundersThatDisagree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newRegionCluster(t, 2)
		defer c.stopAll()
		wrong := c.startWith("a1", 3)
		c.start("b1", "c1")
		if err := <-wrong.done; skein.CodeOf(err) != skein.CodeRefused || !strings.Contains(err.Error(), "set groups to 2") {
			t.Errorf("run with 3 groups: got %v", err)
		}
		delete(c.nodes, "a1")
		c.down("a1")
		c.settled()
		c.propose(c.nodes["b1"], openCmd(1), openCmd(2), openCmd(3))
		c.start("a1")
		c.settled()
		c.propose(c.nodes["a1"], sayCmd(1, 1, 1))
		c.until("a member of all groups", 20*time.Second, func() bool {
			return !slices.ContainsFunc(c.nodes["a1"].groups, func(g *Group) bool {
				st := g.Status()
				return st.Role == "none" || st.Fenced || st.Applied == 0
			})
		})
		c.nodes["a1"].stop()
		if err := <-c.nodes["a1"].done; err != nil {
			t.Error(err)
		}
		delete(c.nodes, "a1")
		c.down("a1")
		if _, err := c.open("a1", 3); skein.CodeOf(err) != skein.CodeRefused {
			t.Errorf("open with 3 groups as a member: got %v", err)
		}
		c.down("a1")
	})
}
