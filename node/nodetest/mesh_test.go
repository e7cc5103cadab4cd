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

// sameHash waits until every replica of the region stands at the same index with the same hash, and returns it.
func (m *Mesh) sameHash(region skein.Region) [32]byte {
	m.t.Helper()
	var hash [32]byte
	m.Eventually("equal replicas", time.Minute, func() bool {
		replicas, index := 0, uint64(0)
		for _, p := range m.Running() {
			if st := p.node.Group().Status(); p.Region != region || st.Role == "none" {
				continue
			}
			i, h := p.node.Group().Hash()
			if replicas > 0 && (i != index || h != hash) {
				return false
			}
			replicas, index, hash = replicas+1, i, h
		}
		return replicas >= 3 && index > 0
	})
	return hash
}

func TestPartitionHealRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(t, "eu=a,a,b,b,c,c", 1)
		defer m.Close()
		leader := m.Leader("eu")
		voters := m.Node(leader).Group().Status().Voters
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
		m.Eventually("return of "+string(leader), time.Minute, func() bool { return m.Node(leader).Group().Quorum() })
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
			m.Eventually(fmt.Sprintf("return of %s", p.ID), time.Minute, func() bool { return m.Node(p.ID).Group().Quorum() })
		}
		m.sameHash("eu")
	})
}
