package nodetest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// say runs one turn and gives the reply.
func say(t *testing.T, s *client.Session, text string) client.Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	turn, err := s.Send(ctx, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	r, err := turn.Reply(ctx)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

func (m *Mesh) converse(c *client.Client, name string) *client.Session {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := c.Open(ctx, name, client.Options{})
	m.must(err)
	return s
}

// sameHash waits until every replica that the leader of its group lists stands at the same index with the same hash.
func (m *Mesh) sameHash(region skein.Region) {
	m.t.Helper()
	var seen string
	defer func() {
		if m.t.Failed() {
			m.t.Log(seen)
		}
	}()
	m.Eventually("equal replicas", time.Minute, func() bool {
		seen = ""
		same := true
		for number, leader := range m.Leaders(region) {
			lead := m.Node(leader).Region().Groups()[number]
			st := lead.Status()
			index, hash := lead.Hash()
			seen += fmt.Sprintf("\ngroup %d: leader %s: voters %v, spares %v", number, st.Leader, st.Voters, st.Spares)
			same = same && index > 0 && st.Role == "leader"
			for _, id := range append(st.Voters, st.Spares...) {
				g := m.Node(id).Region().Groups()[number]
				i, h := g.Hash()
				seen += fmt.Sprintf("\n%s: %s at %d, hash %.4x", id, g.Status().Role, i, h)
				same = same && i == index && h == hash
			}
		}
		return same
	})
}

func TestPartitionHealRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(t, "eu=a,a,b,b,c,c", 1)
		defer m.Close()
		leader := m.Leader("eu")
		voters := m.Node(leader).Region().Groups()[0].Status().Voters
		if len(voters) != 3 {
			t.Errorf("voters %v, want three", voters)
		}
		c := m.Client("eu", nil)
		defer c.Close()
		s := m.converse(c, "virtual")
		if r := say(t, s, "where is my order SO10021"); !strings.Contains(r.Text, "SO10021") {
			t.Errorf("got %q", r.Text)
		}

		zone := m.process(leader).Zone
		m.CutZone("eu", zone)
		for i := range 5 {
			if r := say(t, s, "现在到哪了？"); !strings.Contains(r.Text, "SO10021") || r.Zone == zone {
				t.Errorf("turn %d in the partition: %+v", i, r)
			}
		}
		m.Net.Cut(nil)
		m.sameHash("eu")

		leader = m.Leader("eu")
		m.Kill(leader)
		if r := say(t, s, "where is it now?"); !strings.Contains(r.Text, "SO10021") || r.Node == leader {
			t.Errorf("after the kill of %s: %+v", leader, r)
		}
		m.Start(leader)
		m.Eventually("return of "+string(leader), time.Minute, func() bool { return m.Node(leader).Region().Quorum() })
		say(t, s, "现在到哪了？")
		m.sameHash("eu")
	})
}

func TestForwardedToItsHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(t, "eu=a,b,c;us=a,b,c", 2)
		defer m.Close()
		m.Leader("eu")
		m.Leader("us")
		m.Eventually("regions that know each other", time.Minute, func() bool {
			for _, p := range m.Running() {
				if len(p.node.Mesh().Members()) != 6 {
					return false
				}
			}
			return true
		})
		c := m.Client("us", nil)
		defer c.Close()
		s := m.converse(c, "eu~traveller")
		r := say(t, s, "where is my order SO10021")
		if r.Region != "eu" || !strings.HasPrefix(string(r.Via), "us-") || !strings.Contains(r.Text, "SO10021") {
			t.Errorf("got %+v", r)
		}
		m.Kill(r.Node)
		if r := say(t, s, "现在到哪了？"); r.Region != "eu" || !strings.Contains(r.Text, "SO10021") {
			t.Errorf("after the kill at home: %+v", r)
		}
	})
}

func TestGracefulStopLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(t, "eu=a,b,c", 3)
		defer m.Close()
		m.Leader("eu")
		c := m.Client("eu", nil)
		defer c.Close()
		s := m.converse(c, "rolling")
		say(t, s, "where is my order SO10021")
		for i, p := range m.Running() {
			m.Stop(p.ID)
			if r := say(t, s, "现在到哪了？"); !strings.Contains(r.Text, "SO10021") || r.Node == p.ID {
				t.Errorf("restart %d of %s: %+v", i, p.ID, r)
			}
			m.Start(p.ID)
			m.Eventually(fmt.Sprintf("return of %s", p.ID), time.Minute, func() bool { return m.Node(p.ID).Region().Quorum() })
		}
		m.sameHash("eu")
	})
}
