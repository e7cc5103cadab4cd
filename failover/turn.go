package failover

import (
	"cmp"
	"time"

	"github.com/skein-mesh/skein"
)

type turnKey struct {
	session skein.SessionID
	turn    skein.TurnID
}

func (k turnKey) compare(o turnKey) int {
	return cmp.Or(cmp.Compare(k.session, o.session), cmp.Compare(k.turn.Client, o.turn.Client),
		cmp.Compare(k.turn.Counter, o.turn.Counter))
}

// turn is an open turn and what this machine has done about it since it became leader.
type turn struct {
	Turn
	since time.Duration // when this runner and attempt were first fed

	given  TakeTurn // the last one given out; Attempt 0: none
	out    bool     // given is with the caller
	failed bool     // given was reported as failed
	retry  retry
}

// reset forgets what was given out: another leader may have acted since.
func (t *turn) reset() {
	t.given, t.out, t.failed, t.retry = TakeTurn{}, false, false, retry{}
}

func (m *Machine) feed(e Turn) {
	if t := m.take(e); t != nil {
		m.decideTurn(t)
	}
}

// take stores what was fed, and returns nil when it is stale or one too many.
func (m *Machine) take(e Turn) *turn {
	k := turnKey{e.Session, e.Turn}
	t := m.turns[k]
	switch {
	case t == nil && len(m.turns) >= maxTurns:
		return nil
	case t == nil:
		t = &turn{Turn: e, since: m.now}
		m.turns[k] = t
	case e.Attempt < t.Attempt:
		return nil
	case e.Attempt != t.Attempt || e.Runner != t.Runner:
		t.since = m.now
		if g := t.given; !t.out && (e.Attempt > g.Attempt || e.Attempt == g.Attempt && e.Runner != g.To) {
			t.reset() // the turn has gone on without what was given out
		}
	}
	t.Turn = e
	return t
}

func (m *Machine) feedAll(open []Turn) {
	fed := make(map[turnKey]bool, len(open))
	for _, e := range open {
		fed[turnKey{e.Session, e.Turn}] = true
	}
	for k := range m.turns {
		if !fed[k] {
			m.forget(k)
		}
	}
	for _, e := range open {
		m.feed(e)
	}
}

func (m *Machine) forget(k turnKey) {
	t := m.turns[k]
	if t == nil {
		return
	}
	if t.out {
		m.inFlight--
	}
	delete(m.turns, k)
}

// decideTurn gives the turn's next attempt out when its runner is gone, its lease is over, or a node could not be
// told of the attempt that it was given. It repeats the present one when only a leader before this one can have told.
func (m *Machine) decideTurn(t *turn) {
	switch {
	case !m.me || t.out || t.Paused || m.inFlight >= m.config.InFlight:
	case m.orphan(t):
		m.giveNext(t)
	case m.untold(t):
		m.give(t, TakeTurn{Session: t.Session, Turn: t.Turn.Turn, Attempt: t.Attempt, To: t.Runner})
	}
}

func (m *Machine) giveNext(t *turn) {
	next := t.Attempt + 1
	if t.given.Attempt >= next && !t.failed {
		return // it was carried out; the replica will show it
	}
	if t.failed && !t.retry.due(m.now) {
		return
	}
	to, ok := m.choose(t)
	if !ok {
		return
	}
	m.give(t, TakeTurn{Session: t.Session, Turn: t.Turn.Turn, Attempt: next, To: to})
}

func (m *Machine) give(t *turn, a TakeTurn) {
	t.given = a
	t.out, t.failed, t.retry.waits = true, false, false
	m.inFlight++
	m.emit(a)
}

// untold reports whether nobody may have told the runner of its attempt: the leader that started it can have died
// between the commit and the message. The first attempt needs no telling, since its runner proposed it.
func (m *Machine) untold(t *turn) bool {
	n := m.nodes[t.Runner.Node]
	return t.Attempt > 1 && t.given.Attempt < t.Attempt && n != nil && n.state == up && n.runner == t.Runner
}

// orphan reports whether nobody runs the turn any more: its lease is over, its runner is gone, or the attempt was
// started in the log but its runner could not be told.
func (m *Machine) orphan(t *turn) bool {
	unreached := t.failed && t.given.Attempt == t.Attempt && t.given.To == t.Runner
	return t.Lapsed || unreached || m.lost(t)
}

// lost reports whether the turn's runner is gone: dead, started anew, or never heard of for the grace, which begins
// with the leadership.
func (m *Machine) lost(t *turn) bool {
	n := m.nodes[t.Runner.Node]
	switch {
	case n == nil || n.runner.Incarnation < t.Runner.Incarnation:
		return m.now-max(t.since, m.since) >= m.config.Grace
	case n.runner.Incarnation > t.Runner.Incarnation:
		return true
	}
	return n.state == dead
}

// took takes in how a TakeTurn ended. A report of anything but the last one given out is late, and without effect.
func (m *Machine) took(a TakeTurn, err error) {
	t := m.turns[turnKey{a.Session, a.Turn}]
	if t == nil || !t.out || t.given != a {
		return
	}
	t.out = false
	m.inFlight--
	if err == nil {
		t.retry = retry{}
		m.decideTurn(t)
		return
	}
	t.failed = true
	t.retry.fail(m)
}

// choose picks who runs the next attempt: a node that is well, otherwise one that drains; not the turn's
// present node while there is another, nor a neighbour of a node that did not answer, since a zone is often lost as a
// whole and its silent nodes are found out one after the other. Rendezvous hashing spreads the turns of a lost node
// over all others, and a repeated failure moves on to another one.
func (m *Machine) choose(t *turn) (skein.Runner, bool) {
	var best *node
	var bestRank int
	var bestWeight uint64
	unreached := t.retry.failures > 0
	for _, n := range m.nodes {
		if n.state != up {
			continue
		}
		rank := 0
		switch {
		case n.draining:
			rank = 3
		case n.runner == t.Runner || unreached && n.runner == t.given.To:
			rank = 2
		case m.silentZone(n.zone, t.Runner.Node) || unreached && n.zone != "" && n.zone == m.zoneOf(t.given.To.Node):
			rank = 1
		}
		w := weight(n.runner.Node, t)
		better := best == nil || rank < bestRank || rank == bestRank && (w > bestWeight ||
			w == bestWeight && n.runner.Node < best.runner.Node)
		if better {
			best, bestRank, bestWeight = n, rank, w
		}
	}
	if best == nil {
		return skein.Runner{}, false
	}
	return best.runner, true
}

func (m *Machine) zoneOf(id skein.NodeID) skein.Zone {
	if n := m.nodes[id]; n != nil {
		return n.zone
	}
	return ""
}

// silentZone reports whether zone is that of a node which is suspect or dead.
func (m *Machine) silentZone(zone skein.Zone, id skein.NodeID) bool {
	n := m.nodes[id]
	return n != nil && n.state != up && zone != "" && n.zone == zone
}

// weight is the highest random weight of Thaler and Ravishankar (IEEE/ACM Transactions on Networking 6(1), 1998) by
// FNV-1a, mixed by the finalizer of SplitMix64 (Steele and others, OOPSLA 2014).
func weight(id skein.NodeID, t *turn) uint64 {
	h := fnv(14695981039346656037, string(id))
	h = fnv(h, string(t.Session))
	h = fnv(h, string(t.Turn.Turn.Client))
	h ^= t.Turn.Turn.Counter<<20 + uint64(t.Attempt)<<8 + uint64(t.retry.failures)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h * 1099511628211 // a zero byte between two names
}
