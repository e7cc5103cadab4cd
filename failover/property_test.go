package failover

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skein-mesh/skein"
)

// world is what the property test knows by itself, to judge the machine's actions.
type world struct {
	m       *Machine
	now     time.Duration
	nodes   map[skein.NodeID]*worldNode
	turns   map[skein.SessionID]*Turn
	leader  bool
	pending []TakeTurn
	given   map[string]bool // in this leadership, not reported as failed
	demoted map[skein.NodeID]bool
	lost    map[skein.Zone]bool
}

type worldNode struct {
	inc      skein.Incarnation
	state    state
	draining bool
	zone     skein.Zone
}

var worldNodes = []skein.NodeID{"n1", "n2", "n3", "n4"}

func newWorld() *world {
	w := &world{
		m: New(Config{}), nodes: map[skein.NodeID]*worldNode{}, turns: map[skein.SessionID]*Turn{},
		given: map[string]bool{}, demoted: map[skein.NodeID]bool{}, lost: map[skein.Zone]bool{},
	}
	for i, id := range worldNodes {
		w.nodes[id] = &worldNode{inc: 1, state: up, zone: skein.Zone('a' + rune(i/2))}
	}
	return w
}

func (w *world) step(t *rapid.T, ev Event) {
	for _, a := range w.m.Step(w.now, ev) {
		switch a := a.(type) {
		case TakeTurn:
			w.judge(t, a)
		case HandLeadership:
			if !w.leader {
				t.Fatalf("%+v by a node that does not lead", a)
			}
		case Demote:
			if w.demoted[a.Node] {
				t.Fatalf("%s demoted twice", a.Node)
			}
			w.demoted[a.Node] = true
		case Restore:
			if !w.demoted[a.Node] {
				t.Fatalf("%s restored, but it was not demoted", a.Node)
			}
			w.demoted[a.Node] = false
		case ZoneLost:
			if w.lost[a.Zone] {
				t.Fatalf("zone %s lost twice", a.Zone)
			}
			w.lost[a.Zone] = true
		case ZoneBack:
			if !w.lost[a.Zone] {
				t.Fatalf("zone %s back, but it was not lost", a.Zone)
			}
			w.lost[a.Zone] = false
		}
	}
}

func (w *world) judge(t *rapid.T, a TakeTurn) {
	if !w.leader {
		t.Fatalf("%+v by a node that does not lead", a)
	}
	key := fmt.Sprintf("%s/%d", a.Session, a.Attempt)
	fed := w.turns[a.Session]
	if fed != nil && a.Attempt == fed.Attempt && a.Attempt > 1 && a.To == fed.Runner {
		key += " again"
	}
	if w.given[key] {
		t.Fatalf("%s was given out twice", key)
	}
	w.given[key] = true
	again := strings.HasSuffix(key, " again")
	if fed == nil || !again && a.Attempt != fed.Attempt+1 {
		t.Fatalf("%+v, but the turn is %+v", a, fed)
	}
	healthy := false
	for _, n := range w.nodes {
		healthy = healthy || n.state == up && !n.draining
	}
	to := w.nodes[a.To.Node]
	if to.state != up || to.inc != a.To.Incarnation || healthy && to.draining && !again {
		t.Fatalf("%+v given to %+v, a healthy node exists: %v", a, to, healthy)
	}
	w.pending = append(w.pending, a)
}

func (w *world) nodeEvent(t *rapid.T) {
	id := rapid.SampledFrom(worldNodes).Draw(t, "node")
	n := w.nodes[id]
	switch rapid.IntRange(0, 5).Draw(t, "change") {
	case 0:
		n.inc++
		n.state, n.draining = up, false
	case 1:
		n.draining = !n.draining
		w.step(t, NodeDraining{id, n.draining})
		return
	case 2:
		n.state = suspect
	case 3:
		n.state = dead
	default:
		n.state = up
	}
	w.tell(t, id)
}

func (w *world) tell(t *rapid.T, id skein.NodeID) {
	n := w.nodes[id]
	r := skein.Runner{Node: id, Incarnation: n.inc}
	switch n.state {
	case up:
		w.step(t, NodeUp{r, n.zone, true})
	case suspect:
		w.step(t, NodeSuspect{r, n.zone})
	case dead:
		w.step(t, NodeDead{r, n.zone})
	}
}

func (w *world) turnEvent(t *rapid.T) {
	id := skein.Session("eu", rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(t, "session"))
	tid := skein.TurnID{Client: "c", Counter: 1}
	switch fed := w.turns[id]; {
	case fed == nil:
		node := rapid.SampledFrom(append(worldNodes, "n9")).Draw(t, "runner")
		fed = &Turn{Session: id, Turn: tid, Attempt: 1, Runner: skein.Runner{Node: node, Incarnation: 1}}
		w.turns[id] = fed
		w.step(t, *fed)
	case rapid.Bool().Draw(t, "close") && w.idle(id):
		delete(w.turns, id)
		w.step(t, TurnClosed{id, tid})
		for k := skein.Attempt(1); k < 100; k++ {
			w.forgive(id, k)
		}
	default:
		fed.Lapsed = rapid.Bool().Draw(t, "lapsed")
		fed.Paused = !fed.Lapsed && rapid.Bool().Draw(t, "paused")
		w.step(t, *fed)
	}
}

// forgive lets an attempt be given out, or told of, once more.
func (w *world) forgive(id skein.SessionID, k skein.Attempt) {
	key := fmt.Sprintf("%s/%d", id, k)
	delete(w.given, key)
	delete(w.given, key+" again")
}

func (w *world) idle(id skein.SessionID) bool {
	for _, p := range w.pending {
		if p.Session == id {
			return false
		}
	}
	return true
}

// report ends the oldest action that is out. A failure may have reached the log all the same.
func (w *world) report(t *rapid.T) {
	if len(w.pending) == 0 {
		return
	}
	a := w.pending[0]
	w.pending = w.pending[1:]
	committed := rapid.Bool().Draw(t, "committed")
	fed := w.turns[a.Session]
	if committed && fed != nil && fed.Attempt+1 == a.Attempt {
		*fed = Turn{Session: a.Session, Turn: a.Turn, Attempt: a.Attempt, Runner: a.To}
		w.step(t, *fed)
	}
	if committed && rapid.Bool().Draw(t, "told") {
		w.step(t, ActionDone{Action: a})
		return
	}
	w.forgive(a.Session, a.Attempt)
	w.step(t, ActionDone{a, errors.New("refused")})
}

func (w *world) leaderEvent(t *rapid.T) {
	w.leader = rapid.Bool().Draw(t, "me")
	leader := skein.NodeID("n2")
	if w.leader {
		leader = "n1"
	}
	if w.m.me != w.leader {
		w.given = map[string]bool{}
		w.pending = nil
	}
	w.step(t, Leader{leader, w.leader})
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		for _, id := range worldNodes {
			w.tell(t, id)
		}
		t.Repeat(map[string]func(*rapid.T){
			"node":   w.nodeEvent,
			"turn":   w.turnEvent,
			"report": w.report,
			"leader": w.leaderEvent,
			"tick": func(t *rapid.T) {
				w.now += time.Duration(rapid.IntRange(0, 6000).Draw(t, "ms")) * time.Millisecond
				w.step(t, Tick{})
			},
		})
		w.settle(t)
	})
}

// settle makes all well again and this node the leader: then every turn must find a living runner.
func (w *world) settle(t *rapid.T) {
	for _, id := range worldNodes {
		n := w.nodes[id]
		n.state, n.draining = up, false
		w.tell(t, id)
		w.step(t, NodeDraining{id, false})
	}
	w.step(t, Leader{"n2", false})
	w.leader, w.given, w.pending = true, map[string]bool{}, nil
	w.step(t, Leader{"n1", true})
	for _, fed := range w.turns {
		fed.Paused = false
		w.step(t, *fed)
	}
	for range 20 {
		w.now += time.Second
		w.step(t, Tick{})
		for _, a := range w.pending {
			fed := w.turns[a.Session]
			*fed = Turn{Session: a.Session, Turn: a.Turn, Attempt: a.Attempt, Runner: a.To}
			w.step(t, *fed)
			w.step(t, ActionDone{Action: a})
		}
		w.pending = nil
	}
	for _, fed := range w.turns {
		if n := w.nodes[fed.Runner.Node]; fed.Lapsed || n == nil || n.inc != fed.Runner.Incarnation {
			t.Fatalf("nobody runs %+v", fed)
		}
	}
	for _, id := range worldNodes {
		if w.demoted[id] {
			t.Fatalf("%s is still demoted", id)
		}
	}
}
