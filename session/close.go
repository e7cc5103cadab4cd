package session

import (
	"strings"
	"time"

	"github.com/skein-mesh/skein"
)

// Phase is where a session stands. Numbers are stored and never reordered.
type Phase uint8

// The life of a session. A closed one still answers what was said; of a purged or erased one only its location is left,
// for ever, so that its id is never opened again.
const (
	PhaseOpen Phase = iota
	PhaseClosed
	PhasePurged // by age
	PhaseErased // by an operator; not even the subject is left
)

// String gives the phase in the words of the API.
func (p Phase) String() string {
	switch p {
	case PhaseOpen:
		return "open"
	case PhaseClosed:
		return "closed"
	case PhasePurged:
		return "purged"
	case PhaseErased:
		return "erased"
	}
	return "unknown"
}

// Gone reports whether the session's text is deleted.
func (p Phase) Gone() bool { return p == PhasePurged || p == PhaseErased }

// Close ends the conversation: it takes no new turns. Refused with skein.CodeTurnOpen while a turn is open, and with
// skein.CodeConflict when the session is not at Expect, so that a turn which came in between wins.
type Close struct {
	Subject skein.Subject // who closes it; empty: an operator, or the leader
	Reason  string        // at most MaxReason bytes: "client", "operator", "idle"
}

// Archive records that a closed session was copied to the archive as it stands at Expect.
type Archive struct{}

// Purge deletes the text of a closed session; its location stays. Only the group's leader proposes it.
type Purge struct {
	MinAge   time.Duration // since its last event, by the calendar; refused with skein.CodeConflict when it is younger
	Archived bool          // refused likewise unless it was archived
}

// Erase deletes a session at once, whatever its phase, and who it was of. A turn that runs is fenced.
type Erase struct{}

func (Close) body()   {}
func (Archive) body() {}
func (Purge) body()   {}
func (Erase) body()   {}

func closedFault(id skein.SessionID) *skein.Error {
	return skein.Fault(skein.CodeSessionClosed, "%s is closed and takes no turns; what was said can still be read: open a new session to go on", id)
}

// gone decides about a session whose text is deleted.
func (d *decision) gone() error {
	switch b := d.cmd.Body.(type) {
	case Erase:
		return d.erase()
	case Purge:
		d.duplicate = true
		return nil
	case Open:
		return d.st.Allow(b.Subject)
	case Accept:
		return d.st.Allow(b.Subject)
	case Close:
		if b.Subject != "" {
			return d.st.Allow(b.Subject)
		}
		return d.st.Allow(d.st.Subject)
	case Archive:
		return d.st.Allow(d.st.Subject)
	}
	return skein.Fault(skein.CodeFenced, "%s was %s", d.cmd.Session, d.st.Phase)
}

// Allow refuses a subject whose session it is not, and tells its own that the text is deleted.
func (s *State) Allow(who skein.Subject) error {
	switch {
	case s.Phase != PhaseErased && s.Subject != who:
		return skein.Fault(skein.CodeForbidden, "%s belongs to another subject", s.ID)
	case s.Phase.Gone():
		return skein.Fault(skein.CodeSessionGone, "%s was %s; its id is not used again: open a new session", s.ID, s.Phase)
	}
	return nil
}

func (d *decision) close(b Close) error {
	if b.Subject != "" && b.Subject != d.st.Subject {
		return skein.Fault(skein.CodeForbidden, "%s belongs to another subject", d.cmd.Session)
	}
	if d.st.Phase == PhaseClosed {
		d.duplicate = true
		return nil
	}
	if t, ok := d.st.OpenTurn(); ok {
		return skein.Fault(skein.CodeTurnOpen, "turn %s is still %s", t.ID, t.Status)
	}
	if err := d.expected(); err != nil {
		return err
	}
	reason := b.Reason
	if len(reason) > MaxReason {
		reason = strings.ToValidUTF8(reason[:MaxReason], "") // the cut may be inside a character
	}
	d.emit(Event{Kind: Closed, Text: reason})
	return nil
}

// expected refuses a command about a session that has moved on; an Expect of 0 is any.
func (d *decision) expected() error {
	if d.cmd.Expect != 0 && d.cmd.Expect != d.st.Seq {
		return skein.Fault(skein.CodeConflict, "%s is at %d, not at %d", d.cmd.Session, d.st.Seq, d.cmd.Expect)
	}
	return nil
}

func (d *decision) archive() error {
	if d.st.Archived {
		d.duplicate = true
		return nil
	}
	if d.st.Phase != PhaseClosed {
		return skein.Fault(skein.CodeConflict, "%s is not closed", d.cmd.Session)
	}
	if err := d.expected(); err != nil {
		return err
	}
	d.emit(Event{Kind: Archived})
	return nil
}

func (d *decision) purge(b Purge) error {
	if err := d.expected(); err != nil {
		return err
	}
	switch age := d.now.Age(d.st.Last); {
	case d.st.Phase != PhaseClosed:
		return skein.Fault(skein.CodeConflict, "%s is not closed", d.cmd.Session)
	case age < b.MinAge:
		return skein.Fault(skein.CodeConflict, "%s was last used %v ago, less than %v", d.cmd.Session, age, b.MinAge)
	case b.Archived && !d.st.Archived:
		return skein.Fault(skein.CodeConflict, "%s is not archived", d.cmd.Session)
	}
	d.emit(Event{Kind: Purged})
	return nil
}

func (d *decision) erase() error {
	if d.st.Phase == PhaseErased {
		d.duplicate = true
		return nil
	}
	d.emit(Event{Kind: Erased})
	return nil
}

// ended takes in an event that is about the session as a whole.
func (s *State) ended(ev *Event) {
	switch ev.Kind {
	case Closed:
		s.Phase = PhaseClosed
	case Archived:
		s.Archived = true
		return // the age counts from the close
	case Purged:
		*s = State{ID: s.ID, Subject: s.Subject, Home: s.Home, Epoch: s.Epoch, Seq: s.Seq, Phase: PhasePurged}
	case Erased:
		*s = State{ID: s.ID, Home: s.Home, Epoch: s.Epoch, Seq: s.Seq, Phase: PhaseErased}
	}
	s.Last = ev.Calendar
}
