package failover

import "github.com/skein-mesh/skein"

// Event is what a Machine is told: NodeUp, NodeSuspect, NodeDead, NodeDraining, Leader, Turns, Turn, TurnClosed,
// ActionDone or Tick.
type Event interface{ event() }

// NodeUp says that a node is alive. An incarnation lower than one that is known is ignored, a higher one means that
// the node has started anew and forgotten its turns.
type NodeUp struct {
	Runner skein.Runner
	Zone   skein.Zone
	Voter  bool // may lead the region's group
}

// NodeSuspect says that a node may be dead. It keeps its turns until that is certain.
type NodeSuspect struct {
	Runner skein.Runner
	Zone   skein.Zone
}

// NodeDead says that a run of a node has ended, or that the node has left.
type NodeDead struct {
	Runner skein.Runner
	Zone   skein.Zone
}

// NodeDraining says whether a node takes new work; a node that starts anew does.
type NodeDraining struct {
	Node     skein.NodeID
	Draining bool
}

// Leader says who leads the region's group; an empty Node that nobody does.
type Leader struct {
	Node skein.NodeID
	Me   bool // this machine acts for the leader
}

// Turn is an open turn as the local replica has it. An attempt lower than one that is known is ignored.
type Turn struct {
	Session skein.SessionID
	Turn    skein.TurnID
	Attempt skein.Attempt // the present one, or the last one that ended
	Runner  skein.Runner  // who runs it, or ran it last
	Paused  bool          // it failed, and the pause after that is not over: nobody may start it yet
	Lapsed  bool          // its lease or its pause is over: it needs another attempt
}

// Turns is all open turns at once: those that are not in it are closed.
type Turns struct{ Open []Turn }

// TurnClosed says that a turn waits for no reply any more.
type TurnClosed struct {
	Session skein.SessionID
	Turn    skein.TurnID
}

// ActionDone says how an action ended. Every TakeTurn and HandLeadership must be reported; of the others only
// a failure matters.
type ActionDone struct {
	Action Action
	Err    error // nil: it was carried out
}

// Tick lets time pass: pauses end with it. Every 100 ms or so is enough.
type Tick struct{}

func (NodeUp) event()       {}
func (NodeSuspect) event()  {}
func (NodeDead) event()     {}
func (NodeDraining) event() {}
func (Leader) event()       {}
func (Turn) event()         {}
func (Turns) event()        {}
func (TurnClosed) event()   {}
func (ActionDone) event()   {}
func (Tick) event()         {}

// Action is what the caller shall do: Demote, Restore, TakeTurn, HandLeadership, ZoneLost or ZoneBack. Actions are
// comparable.
type Action interface{ action() }

// Demote takes a node out of what clients are told: it is suspect, dead or draining.
type Demote struct{ Node skein.NodeID }

// Restore undoes Demote.
type Restore struct{ Node skein.NodeID }

// TakeTurn starts the next attempt of a turn on another runner. With the present attempt and its runner it only tells
// that one once more: to start it again changes nothing, and a runner that knows runs it already.
type TakeTurn struct {
	Session skein.SessionID
	Turn    skein.TurnID
	Attempt skein.Attempt // one more than the present, or the present one
	To      skein.Runner
}

// HandLeadership passes the leadership of the region's group to a voter, since this node drains.
type HandLeadership struct{ To skein.NodeID }

// ZoneLost says that every node of a zone is suspect or dead.
type ZoneLost struct{ Zone skein.Zone }

// ZoneBack says that a node of a lost zone is alive again.
type ZoneBack struct{ Zone skein.Zone }

func (Demote) action()         {}
func (Restore) action()        {}
func (TakeTurn) action()       {}
func (HandLeadership) action() {}
func (ZoneLost) action()       {}
func (ZoneBack) action()       {}
