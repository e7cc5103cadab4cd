package failover

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

func turnOf(i int, node skein.NodeID) Turn {
	return Turn{
		Session: skein.Session("eu", fmt.Sprintf("s%d", i)), Turn: skein.TurnID{Client: "c", Counter: 1}, Attempt: 1,
		Runner: skein.Runner{Node: node, Incarnation: 1},
	}
}

func meshOf(n int) *Machine {
	m := New(Config{InFlight: 10000})
	for i := range n {
		r := skein.Runner{Node: skein.NodeID(fmt.Sprintf("n%d", i)), Incarnation: 1}
		m.Step(0, NodeUp{r, skein.Zone(fmt.Sprintf("z%d", i%3)), true})
	}
	m.Step(0, Leader{"n1", true})
	return m
}

// TestTurnsOfLostNodeAreSpread takes the turns of one of six nodes: each of the others gets a fair share, but for n3,
// which is in the zone of the lost one.
func TestTurnsOfLostNodeAreSpread(t *testing.T) {
	const turns = 1000
	m := meshOf(6)
	for i := range turns {
		m.Step(0, turnOf(i, "n0"))
	}
	share := map[skein.NodeID]int{}
	for _, a := range m.Step(time.Second, NodeDead{Runner: skein.Runner{Node: "n0", Incarnation: 1}}) {
		if take, ok := a.(TakeTurn); ok {
			share[take.To.Node]++
		}
	}
	if len(share) != 4 || share["n3"] > 0 {
		t.Fatalf("turns went to %v, want n1, n2, n4 and n5", share)
	}
	for id, n := range share {
		if n < turns/4*7/10 || n > turns/4*13/10 {
			t.Errorf("%s got %d of %d turns, want about %d", id, n, turns, turns/4)
		}
	}
}

// TestInFlightIsBounded: the rest follows as the first ones are reported.
func TestInFlightIsBounded(t *testing.T) {
	m := New(Config{InFlight: 4})
	m.Step(0, NodeUp{skein.Runner{Node: "n1", Incarnation: 1}, "a", true})
	m.Step(0, Leader{"n1", true})
	m.Step(0, NodeDead{Runner: skein.Runner{Node: "n0", Incarnation: 1}})
	var out []Action
	for i := range 10 {
		out = append(out, m.Step(0, turnOf(i, "n0"))...)
	}
	if len(out) != 4 {
		t.Fatalf("got %d actions at once, want 4", len(out))
	}
	total := len(out)
	for range 10 {
		for _, a := range out {
			m.Step(0, ActionDone{Action: a})
		}
		out = m.Step(0, Tick{})
		total += len(out)
	}
	if total != 10 {
		t.Errorf("got %d actions in all, want 10", total)
	}
}

func TestRetryPauseIsBounded(t *testing.T) {
	m := New(Config{RetryMin: 100 * time.Millisecond, RetryMax: time.Second})
	var r retry
	want := []time.Duration{100, 200, 400, 800, 1000, 1000}
	for i, w := range want {
		r.fail(m)
		if got := r.after - m.now; got != w*time.Millisecond {
			t.Errorf("pause after failure %d: got %s, want %s", i+1, got, w*time.Millisecond)
		}
	}
	r.failures = 1 << 20
	r.fail(m)
	if got := r.after - m.now; got != time.Second {
		t.Errorf("pause after very many failures: got %s, want 1s", got)
	}
}

func TestDeadNodesAreForgotten(t *testing.T) {
	m := meshOf(2)
	m.Step(time.Second, NodeDead{Runner: skein.Runner{Node: "n0", Incarnation: 1}})
	m.Step(time.Second+forgetDead, Tick{})
	if len(m.nodes) != 1 {
		t.Errorf("got %d nodes after an hour, want 1", len(m.nodes))
	}
	got := m.Step(2*forgetDead, turnOf(1, "n0"))
	if len(got) != 0 {
		t.Errorf("a forgotten runner has no grace: got %v", got)
	}
}

// FuzzScenario: no event upsets the machine, and the same events have the same actions.
func FuzzScenario(f *testing.F) {
	f.Add("0s up n1#1 a voter\n0s leader n1 me\n1s dead n2#1 b\n1s turn s/1 n2#1\n2s tick")
	f.Add("0s draining n1\n0s failed take s/1 n1#1\n0s turns s/1 n2#1 q/1 n3#1")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := play(strings.ReplaceAll(text, "\r", ""))
		if err != nil {
			return
		}
		again, err := play(got)
		if err != nil || again != got {
			t.Errorf("a second play differs: %v\n%s\n---\n%s", err, got, again)
		}
	})
}
