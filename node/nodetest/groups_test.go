package nodetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/node"
)

// newGrouped starts a mesh whose regions have so many groups.
func newGrouped(t *testing.T, layout string, groups int, seed uint64) *Mesh {
	t.Helper()
	return NewWith(t, layout, seed, func(c *node.Config) { c.Groups = groups })
}

// spreadOf counts the groups that each node leads, the most first.
func (m *Mesh) spreadOf(region skein.Region) []int {
	count := map[skein.NodeID]int{}
	for _, l := range m.Leaders(region) {
		count[l]++
	}
	var out []int
	for _, n := range count {
		out = append(out, n)
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

// spreadAs waits until the leaders are spread so.
func (m *Mesh) spreadAs(region skein.Region, want ...int) {
	m.t.Helper()
	var got []int
	defer func() {
		if m.t.Failed() {
			m.t.Log("led by each node: ", got)
		}
	}()
	m.Eventually(fmt.Sprint("leaders spread as ", want), 3*time.Minute, func() bool {
		got = m.spreadOf(region)
		return slices.Equal(got, want)
	})
}

// inEachGroup opens sessions until every group holds one, and gives them by group.
func (m *Mesh) inEachGroup(c *client.Client, region skein.Region) []*client.Session {
	m.t.Helper()
	r := m.Running()[0].node.Region()
	sessions := make([]*client.Session, len(r.Groups()))
	found := 0
	for i := 0; found < len(sessions); i++ {
		name := fmt.Sprint("s", i)
		at := slices.Index(r.Groups(), r.Of(skein.Session(region, name)))
		if sessions[at] == nil {
			sessions[at] = m.converse(c, name)
			found++
		}
	}
	return sessions
}

// TestLeadersSpread: 8 groups on 3 voters come to 3, 3 and 2, again after a kill and the return, and a node that drains
// leads none; the sessions of every group go on all the while.
func TestLeadersSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newGrouped(t, "eu=a,b,c", 8, 1)
		defer m.Close()
		m.Leader("eu")
		c := m.Client("eu", nil)
		defer c.Close()
		sessions := m.inEachGroup(c, "eu")
		talk := func(when string) {
			t.Helper()
			for i, s := range sessions {
				if r := say(t, s, "where is my order SO10021"); !strings.Contains(r.Text, "SO10021") {
					t.Errorf("group %d %s: got %q", i, when, r.Text)
				}
			}
		}
		talk("at first")
		m.spreadAs("eu", 3, 3, 2)
		leaders := m.Leaders("eu")
		time.Sleep(time.Minute)
		if now := m.Leaders("eu"); !slices.Equal(now, leaders) {
			t.Errorf("leaders in calm: got %v, want %v as before", now, leaders)
		}
		m.sameHash("eu")

		m.Kill(leaders[0])
		talk("after the kill")
		m.spreadAs("eu", 4, 4)
		m.Start(leaders[0])
		m.spreadAs("eu", 3, 3, 2)
		talk("after the return")
		m.sameHash("eu")

		drained := m.Leader("eu")
		m.Node(drained).SetDraining(true)
		m.Eventually("a drained node that leads nothing", 10*time.Second, func() bool { return !slices.Contains(m.Leaders("eu"), drained) })
		m.spreadAs("eu", 4, 4)
		talk("while one drains")
		time.Sleep(time.Minute)
		if slices.Contains(m.Leaders("eu"), drained) {
			t.Errorf("%s drains and leads again", drained)
		}
		m.Node(drained).SetDraining(false)
		m.spreadAs("eu", 3, 3, 2)
		talk("at last")
	})
}

// TestLeaderOfEachGroup kills the leader of each group in turn, under an open turn of that group: another node finishes it.
func TestLeaderOfEachGroup(t *testing.T) {
	for _, groups := range []int{2, 5} {
		t.Run(fmt.Sprint(groups), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newGrouped(t, "eu=a,b,c", groups, uint64(groups))
				defer m.Close()
				m.Leader("eu")
				c := m.Client("eu", nil)
				defer c.Close()
				for i, s := range m.inEachGroup(c, "eu") {
					leader := m.Leaders("eu")[i]
					m.Kill(leader)
					if r := say(t, s, "where is my order SO10021"); !strings.Contains(r.Text, "SO10021") {
						t.Errorf("group %d after the kill of %s: %+v", i, leader, r)
					}
					m.Start(leader)
					m.Eventually("return of "+string(leader), time.Minute, func() bool { return m.Node(leader).Region().Quorum() })
				}
				m.sameHash("eu")
			})
		})
	}
}

// TestOtherNumberOfGroupsIsRefused: a node that is configured for another number ends and says what to set, whether it
// is new or has been a member; nothing is mixed, and with the right number it is let in.
func TestOtherNumberOfGroupsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := map[skein.NodeID]int{"eu-b-2": 2}
		m := NewWith(t, "eu=a,b,c,b", 5, func(c *node.Config) {
			c.Groups = 4
			if n := wrong[c.Node]; n > 0 {
				c.Groups = n
			}
		})
		defer m.Close()
		newcomer := m.process("eu-b-2")
		<-newcomer.done
		if newcomer.err == nil || !strings.Contains(newcomer.err.Error(), "set groups to 4") {
			t.Errorf("a new node with 2 groups: got %v", newcomer.err)
		}
		newcomer.stop()
		newcomer.stop = nil
		m.Leader("eu")
		m.sameHash("eu")

		delete(wrong, "eu-b-2")
		m.Start("eu-b-2")
		m.Eventually("its part in the region", time.Minute, func() bool { return m.Node("eu-b-2").Region().Quorum() })

		member := m.process("eu-a-1")
		m.Stop("eu-a-1")
		cfg := member.cfg
		cfg.Groups = 1
		if n, err := node.New(cfg); err == nil || skein.CodeOf(err) != skein.CodeRefused || !strings.Contains(err.Error(), "set groups to 4") {
			t.Errorf("a member with 1 group: got %v, %v", n, err)
		}
		m.Start("eu-a-1")
		m.Eventually("its return", time.Minute, func() bool { return m.Node("eu-a-1").Region().Quorum() })
		m.sameHash("eu")
	})
}
