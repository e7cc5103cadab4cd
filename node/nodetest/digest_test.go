package nodetest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/mesh"
)

// TestDeathIsKnownInEveryRegion also holds when another region has lost a node before.
func TestDeathIsKnownInEveryRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(t, "eu=a,b,c;us=a,b,c;ap=a,b,c", 4)
		defer m.Close()
		m.Eventually("members", time.Minute, func() bool {
			for _, p := range m.Running() {
				voters := 0
				for _, q := range p.node.Mesh().Members() {
					if q.Voter && q.Status == mesh.Alive {
						voters++
					}
				}
				if voters != 9 {
					return false
				}
			}
			return true
		})
		for _, dead := range []string{"eu-a-1", "us-a-1"} {
			p := m.process(m.nodes[0].ID)
			for _, q := range m.nodes {
				if string(q.ID) == dead {
					p = q
				}
			}
			began := time.Now()
			m.Net.Kill(p.Addr)
			unaware := func() (list []string) {
				for _, q := range m.Running() {
					if at, ok := q.node.Mesh().Member(p.ID); q != p && ok && at.Status != mesh.Dead {
						list = append(list, fmt.Sprintf("%s: %s", q.ID, at.Status))
					}
				}
				return list
			}
			for limit := began.Add(2 * time.Second); len(unaware()) > 0; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatalf("the death of %s is not known everywhere: %v", dead, unaware())
				}
			}
			t.Logf("%s: %v", dead, time.Since(began))
			m.end(p)
		}
	})
}
