package session

import (
	"slices"
	"time"

	"github.com/skein-mesh/skein"
)

// Committed is the time of a group: it advances only by ticks in the log, so that every replica
// reads the same clock and no wall clock takes part.
type Committed time.Duration

// Limits that Decide enforces.
const (
	MaxText    = 8 << 10  // bytes of one user message
	MaxReply   = 64 << 10 // bytes of one reply
	MaxMemory  = 16 << 10 // bytes that an assistant keeps for a session
	MaxCalls   = 32       // tool calls of one turn
	MaxPayload = 16 << 10 // bytes of a tool call's arguments or result
	MaxReason  = 1 << 10  // bytes of a failure's reason
	KeptTurns  = 8        // turns whose text and reply the state holds
	MaxClients = 1024     // client instances remembered for ever; past it the oldest keyed one gives way

	// Lease is how long an attempt may be silent, in committed time.
	Lease = Committed(15 * time.Second)
	// MaxFailures is how often a turn may fail before it is dead.
	MaxFailures = 5
	// FirstBackoff is the pause after the first failure; it doubles with each.
	FirstBackoff = Committed(250 * time.Millisecond)
)

// Status is where a turn stands.
type Status uint8

// The life of a turn: running until completed, waiting between a failed attempt and the next, or dead.
// An operator can make a dead turn wait again.
const (
	Running Status = iota + 1
	Waiting
	Completed
	Dead
)

// String gives the status in the words of the API.
func (s Status) String() string {
	switch s {
	case Running:
		return "running"
	case Waiting:
		return "waiting"
	case Completed:
		return "completed"
	case Dead:
		return "dead"
	}
	return "unknown"
}

// Open reports whether the turn still waits for its reply.
func (s Status) Open() bool { return s == Running || s == Waiting }

// Call is one tool call of a turn: its intent and, when Done, its outcome.
type Call struct {
	ID     string // unique within the turn; the same at every attempt
	Tool   string
	Key    string // idempotency key
	Args   string // JSON
	Done   bool
	Result string // JSON; empty when Error is set
	Error  string
}

// Continuation says that an attempt went on behind text that an earlier one had committed.
type Continuation struct {
	Attempt skein.Attempt
	Offset  int    // bytes of the reply that were committed then
	Mode    string // "prefill": at the exact character; "prompted": the server was asked to go on; "replayed": recomputed by a flow
}

// Turn is one user message and its reply.
type Turn struct {
	ID            skein.TurnID
	Text          string
	Status        Status
	Attempt       skein.Attempt
	Failures      uint32
	Runner        skein.Runner // who runs it, or ran it last
	Place         skein.Place  // where Runner is
	Seq           skein.Seq    // of its last event
	Reply         string       // what is committed of the reply
	Source        string       // what answered: "flow:refund", "faq:hours", "model:name"
	Reason        string       // of the last failure
	Calls         []Call
	Continuations []Continuation
	LeaseUntil    Committed     // Running: past it the attempt has lapsed
	NotBefore     Committed     // Waiting: when the next attempt may start
	At            time.Time     // when it was accepted, by the gateway's clock; for display only
	DoneAt        time.Time     // when it was completed or died, likewise
	Retried       skein.Attempt // whose death an operator retried last; 0: none
	Dropped       bool          // Dead: an operator has taken note
}

// Mark is the highest counter that a client instance has used.
type Mark struct {
	Client  skein.ClientID
	Counter uint64
	Seq     skein.Seq // when it was last raised
}

// State is one session. A published State is never changed, nor are its turns, which states share: Apply returns a new one.
type State struct {
	ID        skein.SessionID
	Subject   skein.Subject
	Assistant string
	Home      skein.Region
	Epoch     skein.Epoch
	Seq       skein.Seq // of the last event
	Memory    []byte    // what the assistant keeps: slots, where a flow stands
	Count     uint64    // turns completed
	Turns     []*Turn   // the newest KeptTurns, oldest first; only the last may be open
	Marks     []Mark    // ordered by client

	Phase    Phase
	Last     Calendar // of the last event, Archived ones aside; 0 while the group knew none
	Archived bool     // a copy of the closed session is in the archive
}

// Turn finds a kept turn.
func (s *State) Turn(id skein.TurnID) (*Turn, bool) {
	for i := len(s.Turns) - 1; i >= 0; i-- {
		if s.Turns[i].ID == id {
			return s.Turns[i], true
		}
	}
	return nil, false
}

// OpenTurn gives the turn that still waits for its reply.
func (s *State) OpenTurn() (*Turn, bool) {
	if n := len(s.Turns); n > 0 && s.Turns[n-1].Status.Open() {
		return s.Turns[n-1], true
	}
	return nil, false
}

func (s *State) mark(c skein.ClientID) (int, bool) {
	return slices.BinarySearchFunc(s.Marks, c, func(m Mark, c skein.ClientID) int {
		switch {
		case m.Client < c:
			return -1
		case m.Client > c:
			return 1
		}
		return 0
	})
}

// clone gives a state whose list of turns evolve may write to. Turns and marks it copies when it changes them.
func (s *State) clone() *State {
	n := *s
	n.Turns = append(make([]*Turn, 0, len(s.Turns)+1), s.Turns...) // one more: most changes begin a turn
	return &n
}

// changed puts a copy into the place of a turn, for evolve to write to; nil when the turn is not kept.
func (s *State) changed(id skein.TurnID) *Turn {
	for i := len(s.Turns) - 1; i >= 0; i-- {
		if s.Turns[i].ID == id {
			t := *s.Turns[i]
			t.Calls, t.Continuations = slices.Clone(t.Calls), slices.Clone(t.Continuations)
			s.Turns[i] = &t
			return &t
		}
	}
	return nil
}
