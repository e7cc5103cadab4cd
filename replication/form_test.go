package replication

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

func TestJudgeForming(t *testing.T) {
	type answers = map[skein.NodeID]standing
	one, two, three := []skein.NodeID(nil), []skein.NodeID{"b"}, []skein.NodeID{"b", "c"}
	tests := []struct {
		name   string
		listed []skein.NodeID
		said   answers
		waited time.Duration
		want   outset
	}{
		{"alone, at once", one, nil, 0, askAgain},
		{"alone, gossip had its time", one, nil, formAlone, formGroup},
		{"alone, but gossip shows a group", one, answers{"x": born}, formAlone, joinGroup},
		{"alone, with others that know of no group", one, answers{"x": unborn}, formAlone, formGroup},
		{"two, both empty", two, answers{"b": unborn}, formAlone, formGroup},
		{"two, the other is silent", two, answers{"b": unheard}, time.Hour, askAgain},
		{"two, the other has a group", two, answers{"b": born}, 0, joinGroup},
		{"three, all empty", three, answers{"b": unborn, "c": unborn}, formAlone, formGroup},
		{"three, all empty, before gossip could show others", three, answers{"b": unborn, "c": unborn}, formAlone - 1, askAgain},
		{"three, one silent", three, answers{"b": unborn}, formPatience - 1, askAgain},
		{"three, one silent for long", three, answers{"b": unborn}, formPatience, formGroup},
		{"three, both silent", three, nil, time.Hour, askAgain},
		{"three, one has a group", three, answers{"b": unborn, "c": born}, time.Hour, joinGroup},
		{"three empty, one that came later has a group", three, answers{"b": unborn, "c": unborn, "x": born}, 0, joinGroup},
		{"three, what is not listed does not count as empty", three, answers{"x": unborn, "y": unborn}, time.Hour, askAgain},
	}
	for _, tt := range tests {
		if got := judgeForming(tt.listed, tt.said, tt.waited); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestWipedFirstVoterJoins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		c.propose(c.leader(), openCmd(1), sayCmd(1, 1, 1))
		c.converged()
		// The others are down: one that is alone must not vote, not even for a replica that lags.
		for _, id := range []skein.NodeID{"a1", "b1", "c1"} {
			c.kill(id)
		}
		removeFile(t, c.dir, "b1", ".")
		c.start("b1")
		time.Sleep(time.Minute)
		if s := c.nodes["b1"].Status(); !s.Fenced || s.Term != 0 || len(s.Voters) != 0 {
			t.Errorf("a wiped voter that nobody answers: got fenced %v, term %d, voters %v, want true, 0 and none", s.Fenced, s.Term, s.Voters)
		}
		c.start("a1")
		c.until("the wiped voter to hear of the group", 5*time.Second, func() bool {
			fenced, err := mustRejoin(c.nodes["b1"].cfg.Dir)
			return err == nil && fenced
		})
		time.Sleep(10 * time.Second)
		if a, b := c.nodes["a1"].IsLeader(), c.nodes["b1"].IsLeader(); a || b {
			t.Errorf("with the vote of a wiped voter: a1 leads %v, b1 leads %v, want neither", a, b)
		}
		c.start("c1")
		c.leader()
		c.until("the fence to fall", 20*time.Second, func() bool { return !c.nodes["b1"].Status().Fenced })
		c.converged()
		if st, err := c.nodes["b1"].disk.store.get(sid(1)); err != nil || st == nil || st.Count != 1 {
			t.Errorf("the session on the wiped voter: got %+v, %v, want one turn", st, err)
		}
	})
}

func TestFirstStart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		voters []skein.NodeID
		up     []skein.NodeID
		within time.Duration
	}{
		{"one", []skein.NodeID{"a1"}, []skein.NodeID{"a1"}, 1500 * time.Millisecond},
		{"one with gateways", []skein.NodeID{"a1"}, []skein.NodeID{"a1", "b1"}, 1500 * time.Millisecond},
		{"two", []skein.NodeID{"a1", "b1"}, []skein.NodeID{"a1", "b1"}, 2 * time.Second},
		{"three", []skein.NodeID{"a1", "b1", "c1"}, []skein.NodeID{"a1", "b1", "c1"}, 2 * time.Second},
		{"two of three", []skein.NodeID{"a1", "b1", "c1"}, []skein.NodeID{"a1", "c1"}, formPatience + 2*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCluster(t, tt.voters...)
				defer c.stopAll()
				began := time.Now()
				c.start(tt.up...)
				c.leader()
				if took := time.Since(began); took > tt.within {
					t.Errorf("a leader came after %v, want at most %v", took, tt.within)
				}
				c.propose(c.leader(), openCmd(1))
				for _, id := range tt.up {
					c.until("votes for all", 10*time.Second, func() bool { return !c.nodes[id].Status().Fenced })
				}
				c.start("d1")
				c.propose(c.nodes["d1"], sayCmd(1, 1, 1))
			})
		})
	}
}

// TestCrashWhileAsking: what a leader sent to a voter that still asked must not pass for the whole of what it had.
func TestCrashWhileAsking(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		c.propose(c.leader(), openCmd(1))
		c.converged()
		c.kill("b1")
		dir := filepath.Join(c.dir, "b1")
		if err := writeNote(dir, formingFile); err != nil {
			t.Fatal(err)
		}
		c.start("b1")
		if fenced, err := mustRejoin(dir); err != nil || !fenced {
			t.Errorf("note that it must rejoin: got %v, %v, want true", fenced, err)
		}
		c.until("a fenced replica", time.Second, func() bool { return c.nodes["b1"].Status().Fenced })
		c.until("the fence to fall", 20*time.Second, func() bool { return !c.nodes["b1"].Status().Fenced })
	})
}

// A voter that was not there when the group was formed, and that lost its disk, has forgotten its votes as well.
func TestWipedPromotedVoterJoins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "c2")
		c.propose(c.leader(), openCmd(1))
		c.converged()
		c.kill("c1")
		c.until("c2 in the place of c1", 2*time.Minute, func() bool {
			v := c.leader().Status().Voters
			return len(v) == 3 && slices.Contains(v, "c2")
		})
		time.Sleep(10 * time.Second)
		c.kill("b1")
		time.Sleep(3 * time.Second)
		if res := c.propose(c.leader(), sayCmd(1, 1, 1)); res[0].Err != nil {
			t.Fatal(res[0].Err)
		}
		c.kill("a1")
		c.kill("c2")
		removeFile(t, c.dir, "c2", ".")
		c.start("c2", "b1")
		time.Sleep(15 * time.Second)
		if c.nodes["b1"].IsLeader() {
			t.Error("b1, which has not heard of an acknowledged turn, leads with the vote of c2, which has forgotten it")
		}
		c.start("a1")
		st, err := c.leader().Read(t.Context(), sid(1), 0)
		if err != nil || st.Count != 1 {
			t.Errorf("the acknowledged turn: got %+v, %v", st, err)
		}
		c.converged()
	})
}
