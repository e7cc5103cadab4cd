package failover

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
)

// state is how a node is.
type state uint8

const (
	up state = iota + 1
	suspect
	dead
)

// node is what is known of one node.
type node struct {
	runner   skein.Runner
	zone     skein.Zone
	state    state
	since    time.Duration // in this state
	voter    bool
	draining bool
	demoted  bool
}

func (n *node) well() bool { return n.state == up && !n.draining }

// see takes in a node's state.
func (m *Machine) see(r skein.Runner, zone skein.Zone, s state, voter bool) {
	n := m.nodes[r.Node]
	switch {
	case n == nil && len(m.nodes) >= maxNodes:
		return
	case n == nil:
		n = &node{runner: r, since: m.now}
		m.nodes[r.Node] = n
	case r.Incarnation < n.runner.Incarnation:
		return
	case r.Incarnation > n.runner.Incarnation:
		n.runner, n.draining = r, false
	case n.state == s && (zone == "" || n.zone == zone) && (s != up || n.voter == voter):
		return
	}
	if n.state != s {
		n.state, n.since = s, m.now
	}
	if zone != "" {
		n.zone = zone
	}
	if s == up {
		n.voter = voter
	}
	m.changed(n)
}

func (m *Machine) drain(e NodeDraining) {
	n := m.nodes[e.Node]
	if n == nil || n.draining == e.Draining {
		return
	}
	n.draining = e.Draining
	m.changed(n)
}

// changed follows up what a node's change means to clients, to its zone, and to the leader's turns.
func (m *Machine) changed(n *node) {
	id := n.runner.Node
	if n.demoted == n.well() {
		n.demoted = !n.demoted
		m.demotion(id, n.demoted)
	}
	m.checkZones()
	m.decide()
}

func (m *Machine) demotion(id skein.NodeID, demoted bool) {
	if demoted {
		delete(m.local, Restore{id})
		m.emit(Demote{id})
		return
	}
	delete(m.local, Demote{id})
	m.emit(Restore{id})
}

// checkZones reports each zone once when it is lost and once when it is back.
func (m *Machine) checkZones() {
	alive := map[skein.Zone]bool{}
	for _, n := range m.nodes {
		if n.zone != "" {
			alive[n.zone] = alive[n.zone] || n.state == up
		}
	}
	for _, z := range slices.Sorted(maps.Keys(alive)) {
		switch lost := m.zones[z]; {
		case !alive[z] && !lost:
			m.zones[z] = true
			delete(m.local, ZoneBack{z})
			m.emit(ZoneLost{z})
		case alive[z] && lost:
			delete(m.zones, z)
			delete(m.local, ZoneLost{z})
			m.emit(ZoneBack{z})
		}
	}
}

// failLocal remembers an action that failed, if it is still called for.
func (m *Machine) failLocal(a Action) {
	if !m.called(a) {
		delete(m.local, a)
		return
	}
	r := m.local[a]
	if r == nil {
		r = &retry{}
		m.local[a] = r
	}
	r.fail(m)
}

func (m *Machine) retryLocal() {
	due := []Action{}
	for a, r := range m.local {
		switch {
		case !m.called(a):
			delete(m.local, a)
		case r.due(m.now):
			r.waits = false
			due = append(due, a)
		}
	}
	slices.SortFunc(due, func(a, b Action) int {
		ka, na := label(a)
		kb, nb := label(b)
		return cmp.Or(cmp.Compare(ka, kb), cmp.Compare(na, nb))
	})
	m.out = append(m.out, due...)
}

// called reports whether an action still fits what is known.
func (m *Machine) called(a Action) bool {
	switch a := a.(type) {
	case Demote:
		n := m.nodes[a.Node]
		return n != nil && n.demoted
	case Restore:
		n := m.nodes[a.Node]
		return n != nil && !n.demoted
	case ZoneLost:
		return m.zones[a.Zone]
	case ZoneBack:
		return !m.zones[a.Zone]
	}
	return false
}

// label orders local actions.
func label(a Action) (kind int, name string) {
	switch a := a.(type) {
	case Demote:
		return 0, string(a.Node)
	case Restore:
		return 1, string(a.Node)
	case ZoneLost:
		return 2, string(a.Zone)
	case ZoneBack:
		return 3, string(a.Zone)
	}
	return 4, ""
}
