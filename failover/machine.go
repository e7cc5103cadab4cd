package failover

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
)

// Config sets the machine's patience. The zero value is the default.
type Config struct {
	Grace    time.Duration // how long a turn waits for a runner of which nothing has been heard; 0: 2 s
	RetryMin time.Duration // pause after the first failure of an action, doubled with each; 0: 100 ms
	RetryMax time.Duration // the longest such pause; 0: 5 s
	InFlight int           // TakeTurn actions that may be unreported at once; 0: 256
}

const (
	defaultGrace    = 2 * time.Second
	defaultRetryMin = 100 * time.Millisecond
	defaultRetryMax = 5 * time.Second
	defaultInFlight = 256

	maxTurns = 1 << 16 // open turns that are followed; more are taken in as others close
	maxNodes = 4096    // nodes that are followed
	// forgetDead is when a dead node is forgotten. Its turns have been taken long before.
	forgetDead = time.Hour
)

// Machine is the state of one region as one node sees it. It is for one goroutine.
type Machine struct {
	config Config
	nodes  map[skein.NodeID]*node
	turns  map[turnKey]*turn
	zones  map[skein.Zone]bool // true: reported as lost
	local  map[Action]*retry   // Demote, Restore, ZoneLost and ZoneBack that failed

	leader   skein.NodeID
	me       bool
	since    time.Duration // when this node became leader
	hand     *handOver
	inFlight int

	now time.Duration
	out []Action
}

// New makes a machine that knows nothing.
func New(c Config) *Machine {
	c.Grace = cmp.Or(c.Grace, defaultGrace)
	c.RetryMin = cmp.Or(c.RetryMin, defaultRetryMin)
	c.RetryMax = cmp.Or(c.RetryMax, defaultRetryMax)
	c.InFlight = cmp.Or(c.InFlight, defaultInFlight)
	return &Machine{
		config: c, nodes: map[skein.NodeID]*node{}, turns: map[turnKey]*turn{},
		zones: map[skein.Zone]bool{}, local: map[Action]*retry{},
	}
}

// Step takes in one event and returns what to do, in an order that depends on the events alone. now is any clock that
// never goes back.
func (m *Machine) Step(now time.Duration, ev Event) []Action {
	m.now = max(m.now, now)
	m.out = nil
	switch e := ev.(type) {
	case NodeUp:
		m.see(e.Runner, e.Zone, up, e.Voter)
	case NodeSuspect:
		m.see(e.Runner, e.Zone, suspect, false)
	case NodeDead:
		m.see(e.Runner, e.Zone, dead, false)
	case NodeDraining:
		m.drain(e)
	case Leader:
		m.lead(e)
	case Turn:
		m.feed(e)
	case Turns:
		m.feedAll(e.Open)
	case TurnClosed:
		m.forget(turnKey{e.Session, e.Turn})
	case ActionDone:
		m.done(e)
	case Tick:
		m.tick()
	}
	return m.out
}

func (m *Machine) emit(a Action) { m.out = append(m.out, a) }

func (m *Machine) lead(e Leader) {
	m.leader = e.Node
	if e.Me == m.me {
		return
	}
	m.me = e.Me
	m.since = m.now
	m.hand = nil
	m.inFlight = 0
	for _, t := range m.turns {
		t.reset()
	}
	m.decide()
}

// decide looks at everything that only a leader does.
func (m *Machine) decide() {
	if !m.me {
		return
	}
	var open []turnKey
	for k, t := range m.turns {
		if !t.out && (m.orphan(t) || m.untold(t)) {
			open = append(open, k)
		}
	}
	slices.SortFunc(open, turnKey.compare)
	for _, k := range open {
		m.decideTurn(m.turns[k])
	}
	m.decideLeadership()
}

func (m *Machine) tick() {
	for _, id := range slices.Sorted(maps.Keys(m.nodes)) {
		n := m.nodes[id]
		if n.state == dead && m.now-n.since >= forgetDead {
			delete(m.nodes, id)
		}
	}
	m.retryLocal()
	m.decide()
}

func (m *Machine) done(e ActionDone) {
	switch a := e.Action.(type) {
	case TakeTurn:
		m.took(a, e.Err)
	case HandLeadership:
		m.handed(a, e.Err)
	case Demote, Restore, ZoneLost, ZoneBack:
		if e.Err == nil {
			delete(m.local, a)
		} else {
			m.failLocal(a)
		}
	}
}

// retry counts the failures of one action.
type retry struct {
	failures int
	after    time.Duration // when it may be tried again
	waits    bool          // false while the action is with the caller
}

func (r *retry) fail(m *Machine) {
	pause := m.config.RetryMax
	if r.failures < 16 { // beyond, the shift alone is over any maximum
		pause = min(m.config.RetryMin<<r.failures, m.config.RetryMax)
	}
	r.failures++
	r.after = m.now + pause
	r.waits = true
}

func (r *retry) due(now time.Duration) bool { return r.waits && now >= r.after }
