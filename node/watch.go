package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/failover"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/session"
)

// Timing of the failover loop.
const (
	watchTick  = 100 * time.Millisecond
	actTimeout = 10 * time.Second
	maxActs    = 32 // actions under way at once; the machine holds the others back
)

// watcher feeds the failover machines, one of each group, and carries out what they decide. All but act runs on one
// goroutine.
type watcher struct {
	n        *Node
	machines []*failover.Machine // by the number of the group
	began    time.Time
	done     chan outcome
	slots    chan struct{}
	stage    *stage // of the actions
}

// outcome is how an action of a group's machine ended.
type outcome struct {
	group int
	failover.ActionDone
}

// watch runs the failover machines of this node's region until ctx ends.
func (n *Node) watch(ctx context.Context) error {
	w := &watcher{
		n: n, began: time.Now(), done: make(chan outcome), slots: make(chan struct{}, maxActs), stage: newStage(make(chan error, 1)),
	}
	for range n.region.Groups() {
		w.machines = append(w.machines, failover.New(failover.Config{InFlight: maxActs}))
	}
	defer w.stage.stop()
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	for {
		changed, led := n.mesh.Changed(), n.region.LeaderChanged()
		w.feed()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-led:
		case d := <-w.done:
			w.step(d.group, d.ActionDone)
		case <-tick.C:
		}
	}
}

// feed tells the machines all that this node knows; what they knew already is without effect.
func (w *watcher) feed() {
	for _, m := range w.n.mesh.Members() {
		if m.Region != w.n.cfg.Region {
			continue
		}
		for i := range w.machines {
			w.feedMember(i, m)
		}
	}
	var leaders []skein.NodeID
	for i, g := range w.n.region.Groups() {
		leader, known := g.Leader()
		if known && !slices.Contains(leaders, leader) {
			leaders = append(leaders, leader)
		}
		me := g.IsLeader()
		w.step(i, failover.Leader{Node: leader, Me: me})
		if me && !w.n.cfg.NoTakeover {
			w.step(i, openTurns(g))
		}
		w.step(i, failover.Tick{})
	}
	slices.Sort(leaders)
	w.n.mesh.SetLeaders(leaders)
}

func (w *watcher) feedMember(group int, m mesh.Member) {
	r := skein.Runner{Node: m.Node, Incarnation: m.Incarnation}
	switch m.Status {
	case mesh.Alive:
		w.step(group, failover.NodeUp{Runner: r, Zone: m.Zone, Voter: m.Voter})
		w.step(group, failover.NodeDraining{Node: m.Node, Draining: m.Draining})
	case mesh.Suspect:
		w.step(group, failover.NodeSuspect{Runner: r, Zone: m.Zone})
	default:
		w.step(group, failover.NodeDead{Runner: r, Zone: m.Zone})
	}
}

func openTurns(g *replication.Group) failover.Turns {
	now := g.Clock()
	var out failover.Turns
	for _, o := range g.OpenTurns() {
		t := o.Turn
		out.Open = append(out.Open, failover.Turn{
			Session: o.Session, Turn: t.ID, Attempt: t.Attempt, Runner: t.Runner,
			Paused: t.Status == session.Waiting && !t.Lapsed(now), Lapsed: t.Lapsed(now),
		})
	}
	return out
}

func (w *watcher) step(group int, ev failover.Event) {
	for _, a := range w.machines[group].Step(time.Since(w.began), ev) {
		w.carryOut(group, a)
	}
}

func (w *watcher) carryOut(group int, a failover.Action) {
	n := w.n
	switch a := a.(type) {
	case failover.TakeTurn:
		w.act(group, a, func(ctx context.Context) error { return n.takeTurn(ctx, a) })
	case failover.HandLeadership:
		n.log.Info("leadership is handed over, since this node drains", "group", group)
		w.act(group, a, n.region.Groups()[group].TransferLeadership)
	default: // of nodes and zones every group's machine says the same
		if group == 0 {
			n.tell(a)
		}
	}
}

// tell logs what a machine says of nodes and zones; clients learn it from the membership.
func (n *Node) tell(a failover.Action) {
	switch a := a.(type) {
	case failover.Demote:
		n.log.Info("node gets no new clients", "peer", a.Node)
	case failover.Restore:
		n.log.Info("node is back", "peer", a.Node)
	case failover.ZoneLost:
		n.log.Warn("zone lost", "zone", a.Zone)
	case failover.ZoneBack:
		n.log.Info("zone back", "zone", a.Zone)
	}
}

// act carries one action out beside the loop and reports how it ended.
func (w *watcher) act(group int, a failover.Action, f func(context.Context) error) {
	w.stage.wg.Go(func() {
		ctx, cancel := context.WithTimeout(w.stage.ctx, actTimeout)
		defer cancel()
		select {
		case w.slots <- struct{}{}:
			defer func() { <-w.slots }()
		case <-ctx.Done():
		}
		err := f(ctx)
		if err != nil {
			w.n.log.Warn("action is tried again", "action", fmt.Sprintf("%T", a), "error", err)
		}
		select {
		case w.done <- outcome{group, failover.ActionDone{Action: a, Err: err}}:
		case <-w.stage.ctx.Done():
		}
	})
}

// stillWanted reports whether the turn stands where it stood when the machine decided, so that a refusal was only for
// now: its attempt failed meanwhile, and it waits for its back-off to end.
func stillWanted(st *session.State, a failover.TakeTurn) bool {
	if st == nil {
		return false
	}
	t, ok := st.OpenTurn()
	return ok && t.ID == a.Turn && t.Attempt < a.Attempt
}

// takeTurn commits the new attempt, then tells the node that it is its own; when that fails, the machine gives out
// the attempt after it. A refusal by the log means that the turn has moved on, which is what was wanted.
func (n *Node) takeTurn(ctx context.Context, a failover.TakeTurn) error {
	m, ok := n.mesh.Member(a.To.Node)
	if !ok {
		return skein.Fault(skein.CodeUnknownNode, "no node %q", a.To.Node)
	}
	res, err := n.region.Propose(ctx, session.Command{Session: a.Session, At: time.Now().Truncate(time.Millisecond), Body: session.Start{
		Turn: a.Turn, Attempt: a.Attempt, Runner: a.To, Place: skein.Place{Node: m.Node, Region: m.Region, Zone: m.Zone},
	}})
	switch {
	case err != nil:
		return err
	case stillWanted(res[0].State, a):
		return res[0].Err
	case res[0].Err != nil:
		n.log.Info("take-over not needed", "session", a.Session, "turn", a.Turn.String(), "reason", res[0].Err)
		return nil
	}
	if !res[0].Duplicate {
		n.meters.Counter("skein_takeovers_total", "Turns that this node, as leader, gave to another runner.").Inc()
		n.log.Info("turn taken over", "session", a.Session, "turn", a.Turn.String(), "attempt", a.Attempt, "to", a.To.Node)
	}
	return n.giveRun(ctx, a.To.Node, a.Session, res[0].State.Seq)
}
