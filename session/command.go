package session

import (
	"slices"
	"time"

	"github.com/skein-mesh/skein"
)

// Command asks for a change of one session. The proposer chooses the time: the state machine reads no clock.
type Command struct {
	Session skein.SessionID
	Expect  skein.Seq // the sequence number that it follows; 0: any (refused for an Accept with a Reply)
	At      time.Time // millisecond precision; for display only
	Body    Body
}

// Body is one of Open, Accept, Start, Progress, Intend, Outcome, Complete, Fail, Renew, Retry, Drop, Close, Archive, Purge,
// Erase.
type Body interface{ body() }

// Open makes the session, or finds it opened by the same subject.
type Open struct {
	Subject   skein.Subject
	Assistant string
	Home      skein.Region
}

// Accept takes a turn in. With a Reply it is accepted and completed in one event.
type Accept struct {
	Turn    skein.TurnID
	Subject skein.Subject
	Text    string
	Runner  skein.Runner
	Place   skein.Place
	Reply   *Reply
}

// Reply ends a turn.
type Reply struct {
	Text   string // the whole reply; it begins with what was committed
	Memory []byte
	Source string
}

// Start begins attempt number Attempt of an open turn; only the group's leader proposes it.
type Start struct {
	Turn    skein.TurnID
	Attempt skein.Attempt // one more than the present one
	Runner  skein.Runner
	Place   skein.Place
}

// Run names an attempt; what it does not match is refused as fenced.
type Run struct {
	Turn    skein.TurnID
	Attempt skein.Attempt
}

// Progress appends a piece of the reply at byte Offset. Mode is set on the first piece that continues
// behind the text of an earlier attempt (see Continuation).
type Progress struct {
	Run
	Offset int
	Text   string
	Mode   string
}

// Intend records that a tool is about to be called; Call.Done is false.
type Intend struct {
	Run
	Call Call
}

// Outcome records what a tool answered; Call.ID names the intent.
type Outcome struct {
	Run
	Call Call
}

// Complete ends the turn.
type Complete struct {
	Run
	Reply Reply
}

// Fail ends the attempt. Final: the turn is dead at once; otherwise another attempt follows after a back-off.
type Fail struct {
	Run
	Reason string
	Final  bool
}

// Renew keeps the attempt's lease while it has nothing to say.
type Renew struct{ Run }

// Retry makes a dead turn wait for an attempt again, as if it had never failed. Run names the attempt that the
// operator saw as the last one, so that a repeat is known and a later death is not retried by it. Refused with
// skein.CodeConflict when the turn is not dead, was dropped, or has a later turn behind it.
type Retry struct{ Run }

// Drop takes a dead turn off the list of dead letters; its client goes on getting skein.CodeTurnDead. Run is as in
// Retry. Refused with skein.CodeConflict when the turn is not dead.
type Drop struct{ Run }

func (Open) body()     {}
func (Accept) body()   {}
func (Start) body()    {}
func (Progress) body() {}
func (Intend) body()   {}
func (Outcome) body()  {}
func (Complete) body() {}
func (Fail) body()     {}
func (Renew) body()    {}
func (Retry) body()    {}
func (Drop) body()     {}

// Result is what became of one command.
type Result struct {
	State     *State // the session after the command, or as it stood when it was refused; nil when there is none
	Duplicate bool   // the turn was known already; State says how far it is
	Err       error  // a *skein.Error; nil when applied

	// Follows is the sequence number of the session before the command, 0 when there was none. Who holds that state
	// gets the same result from Apply at the same time.
	Follows skein.Seq
	Now     Now // when it was decided
}

// Kind is the kind of an event. Numbers are stored and never reordered.
type Kind uint8

// The events of a session's log.
const (
	Opened     Kind = 1
	Accepted   Kind = 2
	Progressed Kind = 3 // deleted from the log when the turn completes
	Intended   Kind = 4
	Happened   Kind = 5 // outcome of a tool call
	Done       Kind = 6 // completed
	Failed     Kind = 7
	Died       Kind = 8
	Started    Kind = 9 // a new attempt
	Renewed    Kind = 10
	Retried    Kind = 11 // by an operator, after it was dead
	Dropped    Kind = 12 // likewise: off the list of dead letters
	Closed     Kind = 13 // the conversation has ended
	Archived   Kind = 14 // a copy is in the archive
	Purged     Kind = 15 // the text was deleted by age
	Erased     Kind = 16 // by an operator
)

var kindNames = [...]string{Opened: "opened", Accepted: "accepted", Progressed: "progress", Intended: "intent",
	Happened: "outcome", Done: "completed", Failed: "failed", Died: "dead", Started: "attempt", Renewed: "renewed",
	Retried: "retried", Dropped: "dropped", Closed: "closed", Archived: "archived", Purged: "purged", Erased: "erased"}

// String gives the kind in the words of the API.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// KindOf gives the kind that String calls name, 0 when there is none.
func KindOf(name string) Kind {
	if name == "" {
		return 0
	}
	return Kind(max(0, slices.Index(kindNames[:], name)))
}

// Kept reports whether the event stays in the session's history.
func (k Kind) Kept() bool { return k != Progressed && k != Renewed }

// Event is an immutable fact in a session's log.
type Event struct {
	Session skein.SessionID
	Seq     skein.Seq
	Kind    Kind
	At      time.Time // the proposer's clock; for display only
	Clock   Committed // the group's clock when it was applied
	Turn    skein.TurnID
	Attempt skein.Attempt
	Runner  skein.Runner
	Place   skein.Place
	Text    string // Accepted: the message; Progressed: the piece; Done: the whole reply; Failed, Died, Closed: the reason
	Offset  int    // Progressed
	Mode    string // Progressed: see Continuation
	Memory  []byte // Done
	Source  string // Done
	Call    Call   // Intended, Happened

	Calendar Calendar // the group's wall time when it was applied

	Subject   skein.Subject // Opened
	Assistant string        // Opened
	Home      skein.Region  // Opened
}
