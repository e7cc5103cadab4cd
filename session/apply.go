package session

import (
	"strings"

	"github.com/skein-mesh/skein"
)

// Apply decides one command against a session and gives the session after it, with the events to store.
// st is nil when the session does not exist, and is never changed. The same inputs give the same outputs
// on every replica.
func Apply(st *State, c Command, now Now) ([]Event, Result) {
	d := decision{st: st, cmd: c, now: now}
	r := Result{State: st, Now: now}
	if st != nil {
		r.Follows = st.Seq
	}
	if r.Err = d.decide(); r.Err != nil || d.duplicate || len(d.events) == 0 {
		r.Duplicate = d.duplicate && r.Err == nil
		return nil, r
	}
	r.State = &State{}
	if st != nil {
		r.State = st.clone()
	}
	for i := range d.events {
		r.State.evolve(&d.events[i])
	}
	return d.events, r
}

// Replay builds a state from events, for a replica that has only them.
func Replay(st *State, events []Event) *State {
	next := &State{}
	if st != nil {
		next = st.clone()
	}
	for i := range events {
		next.evolve(&events[i])
	}
	return next
}

type decision struct {
	st        *State
	cmd       Command
	now       Now
	events    []Event
	duplicate bool
}

func (d *decision) emit(ev Event) {
	ev.Session, ev.At, ev.Clock, ev.Calendar = d.cmd.Session, d.cmd.At, d.now.Clock, d.now.Calendar
	ev.Seq = skein.Seq(len(d.events)) + 1
	if d.st != nil {
		ev.Seq += d.st.Seq
	}
	if d.events == nil {
		d.events = make([]Event, 0, 2) // most commands that change something emit no more
	}
	d.events = append(d.events, ev)
}

func (d *decision) decide() error {
	if d.st != nil && d.st.Phase.Gone() {
		return d.gone()
	}
	if open, ok := d.cmd.Body.(Open); ok {
		return d.open(open)
	}
	if d.st == nil {
		return skein.Fault(skein.CodeUnknownSession, "%s was never opened", d.cmd.Session)
	}
	switch b := d.cmd.Body.(type) {
	case Accept:
		return d.accept(b)
	case Start:
		return d.start(b)
	case Progress:
		return d.progress(b)
	case Intend:
		return d.intend(b)
	case Outcome:
		return d.outcome(b)
	case Complete:
		return d.complete(b)
	case Fail:
		return d.fail(b)
	case Renew:
		_, err := d.running(b.Run)
		if err == nil {
			d.emit(Event{Kind: Renewed, Turn: b.Turn, Attempt: b.Attempt})
		}
		return err
	case Retry:
		return d.retry(b)
	case Drop:
		return d.drop(b)
	case Close:
		return d.close(b)
	case Archive:
		return d.archive()
	case Purge:
		return d.purge(b)
	case Erase:
		return d.erase()
	}
	return skein.Fault(skein.CodeMalformed, "command without a body")
}

func (d *decision) open(b Open) error {
	if d.st != nil {
		if d.st.Subject != b.Subject {
			return skein.Fault(skein.CodeForbidden, "%s belongs to another subject", d.cmd.Session)
		}
		d.duplicate = true
		return nil
	}
	if err := d.cmd.Session.Validate(); err != nil {
		return err
	}
	if b.Subject == "" || len(b.Subject) > skein.MaxSubject {
		return skein.Fault(skein.CodeMalformed, "subject: want 1 to %d bytes", skein.MaxSubject)
	}
	if len(b.Assistant) > skein.MaxName || len(b.Home) > skein.MaxName {
		return skein.Fault(skein.CodeTooLarge, "assistant and home have at most %d bytes", skein.MaxName)
	}
	d.emit(Event{Kind: Opened, Subject: b.Subject, Assistant: b.Assistant, Home: b.Home})
	return nil
}

func (d *decision) accept(b Accept) error {
	if d.st.Subject != b.Subject {
		return skein.Fault(skein.CodeForbidden, "%s belongs to another subject", d.cmd.Session)
	}
	if err := b.Turn.Validate(); err != nil {
		return err
	}
	if len(b.Text) > MaxText {
		return skein.Fault(skein.CodeTooLarge, "a message has at most %d bytes", MaxText)
	}
	if seen, err := d.seen(b); seen || err != nil {
		d.duplicate = err == nil
		return err
	}
	if d.st.Phase == PhaseClosed {
		return closedFault(d.cmd.Session)
	}
	if t, ok := d.st.OpenTurn(); ok {
		return skein.Fault(skein.CodeTurnOpen, "turn %s is still %s", t.ID, t.Status)
	}
	if d.cmd.Expect != d.st.Seq && (d.cmd.Expect != 0 || b.Reply != nil) {
		return skein.Fault(skein.CodeConflict, "%s is at %d, not at %d", d.cmd.Session, d.st.Seq, d.cmd.Expect)
	}
	if b.Reply == nil {
		d.emit(Event{Kind: Accepted, Turn: b.Turn, Attempt: 1, Runner: b.Runner, Place: b.Place, Text: b.Text})
		return nil
	}
	if err := checkReply(b.Reply); err != nil {
		return err
	}
	d.emit(Event{Kind: Accepted, Turn: b.Turn, Attempt: 1, Runner: b.Runner, Place: b.Place, Text: b.Text})
	d.emit(doneEvent(Run{Turn: b.Turn, Attempt: 1}, b.Reply))
	return nil
}

// seen reports a repeat, and refuses one that says something else or whose reply is gone.
func (d *decision) seen(b Accept) (bool, error) {
	if t, ok := d.st.Turn(b.Turn); ok { // first: the mark of a keyed client may have given way
		if t.Text != b.Text {
			return false, skein.Fault(skein.CodeTurnConflict, "turn %s was sent with another text", b.Turn)
		}
		return true, nil
	}
	i, known := d.st.mark(b.Turn.Client)
	if !known {
		if len(d.st.Marks) >= MaxClients && d.st.oldestKeyed() < 0 {
			return false, skein.Fault(skein.CodeTooManyClients, "%s remembers %d client instances", d.cmd.Session, MaxClients)
		}
		return false, nil
	}
	if b.Turn.Counter > d.st.Marks[i].Counter {
		return false, nil
	}
	return false, skein.Fault(skein.CodeReplyExpired, "turn %s was answered; its reply is no longer kept", b.Turn)
}

func (d *decision) start(b Start) error {
	t, ok := d.st.OpenTurn()
	if !ok || t.ID != b.Turn {
		return skein.Fault(skein.CodeFenced, "turn %s is not open", b.Turn)
	}
	if b.Attempt == t.Attempt && b.Attempt > 1 && t.Status == Running && t.Runner == b.Runner {
		d.duplicate = true // a proposal with an unknown outcome came again
		return nil
	}
	if b.Attempt != t.Attempt+1 {
		return skein.Fault(skein.CodeFenced, "turn %s is at attempt %d", b.Turn, t.Attempt)
	}
	if t.Status == Waiting && d.now.Clock < t.NotBefore {
		return skein.Fault(skein.CodeConflict, "turn %s waits until %d", b.Turn, t.NotBefore)
	}
	d.emit(Event{Kind: Started, Turn: b.Turn, Attempt: b.Attempt, Runner: b.Runner, Place: b.Place})
	return nil
}

// running finds the open turn when r is its present attempt.
func (d *decision) running(r Run) (*Turn, error) {
	t, ok := d.st.OpenTurn()
	switch {
	case !ok || t.ID != r.Turn:
		return nil, skein.Fault(skein.CodeFenced, "turn %s is not open", r.Turn)
	case t.Attempt != r.Attempt || t.Status != Running:
		return nil, skein.Fault(skein.CodeFenced, "turn %s is at attempt %d, %s", r.Turn, t.Attempt, t.Status)
	}
	return t, nil
}

func (d *decision) progress(b Progress) error {
	t, err := d.running(b.Run)
	if err != nil {
		return err
	}
	if b.Offset < 0 || len(b.Mode) > skein.MaxName {
		return skein.Fault(skein.CodeMalformed, "turn %s: a piece at %d, mode %.80q", b.Turn, b.Offset, b.Mode)
	}
	if b.Offset < len(t.Reply) && b.Offset+len(b.Text) <= len(t.Reply) && t.Reply[b.Offset:b.Offset+len(b.Text)] == b.Text {
		d.duplicate = true // a proposal with an unknown outcome came again
		return nil
	}
	if b.Offset != len(t.Reply) {
		return skein.Fault(skein.CodeConflict, "turn %s has %d bytes, the piece starts at %d", b.Turn, len(t.Reply), b.Offset)
	}
	if len(t.Reply)+len(b.Text) > MaxReply {
		return skein.Fault(skein.CodeTooLarge, "a reply has at most %d bytes", MaxReply)
	}
	d.emit(Event{Kind: Progressed, Turn: b.Turn, Attempt: b.Attempt, Offset: b.Offset, Text: b.Text, Mode: b.Mode})
	return nil
}

func (d *decision) intend(b Intend) error {
	t, err := d.running(b.Run)
	if err != nil {
		return err
	}
	for i := range t.Calls {
		if t.Calls[i].ID == b.Call.ID {
			d.duplicate = true
			return nil
		}
	}
	if len(t.Calls) >= MaxCalls {
		return skein.Fault(skein.CodeTooLarge, "a turn has at most %d tool calls", MaxCalls)
	}
	if err := checkCall(b.Call); err != nil {
		return err
	}
	d.emit(Event{Kind: Intended, Turn: b.Turn, Attempt: b.Attempt, Call: b.Call})
	return nil
}

func (d *decision) outcome(b Outcome) error {
	t, err := d.running(b.Run)
	if err != nil {
		return err
	}
	if err := checkCall(b.Call); err != nil {
		return err
	}
	for i := range t.Calls {
		if t.Calls[i].ID != b.Call.ID {
			continue
		}
		if t.Calls[i].Done {
			d.duplicate = true
			return nil
		}
		d.emit(Event{Kind: Happened, Turn: b.Turn, Attempt: b.Attempt, Call: b.Call})
		return nil
	}
	return skein.Fault(skein.CodeConflict, "turn %s has no call %q", b.Turn, b.Call.ID)
}

func (d *decision) complete(b Complete) error {
	if t, ok := d.st.Turn(b.Turn); ok && t.Status == Completed && t.Attempt == b.Attempt && t.Reply == b.Reply.Text {
		d.duplicate = true
		return nil
	}
	t, err := d.running(b.Run)
	if err != nil {
		return err
	}
	if err := checkReply(&b.Reply); err != nil {
		return err
	}
	if n := len(t.Reply); len(b.Reply.Text) < n || b.Reply.Text[:n] != t.Reply {
		return skein.Fault(skein.CodeConflict, "turn %s: the reply does not begin with what was committed", b.Turn)
	}
	d.emit(doneEvent(b.Run, &b.Reply))
	return nil
}

func (d *decision) fail(b Fail) error {
	if t, ok := d.st.Turn(b.Turn); ok && t.Attempt == b.Attempt && (t.Status == Waiting || t.Status == Dead) {
		d.duplicate = true // this attempt has failed already
		return nil
	}
	t, err := d.running(b.Run)
	if err != nil {
		return err
	}
	reason := b.Reason
	if len(reason) > MaxReason {
		reason = strings.ToValidUTF8(reason[:MaxReason], "") // the cut may be inside a character
	}
	kind := Failed
	if b.Final || t.Failures+1 >= MaxFailures {
		kind = Died
	}
	d.emit(Event{Kind: kind, Turn: b.Turn, Attempt: b.Attempt, Text: reason})
	return nil
}

func doneEvent(r Run, reply *Reply) Event {
	return Event{Kind: Done, Turn: r.Turn, Attempt: r.Attempt, Text: reply.Text, Memory: reply.Memory, Source: reply.Source}
}

func checkReply(r *Reply) error {
	switch {
	case len(r.Text) > MaxReply:
		return skein.Fault(skein.CodeTooLarge, "a reply has at most %d bytes", MaxReply)
	case len(r.Memory) > MaxMemory:
		return skein.Fault(skein.CodeTooLarge, "an assistant keeps at most %d bytes of a session", MaxMemory)
	}
	return nil
}

func checkCall(c Call) error {
	switch {
	case c.ID == "":
		return skein.Fault(skein.CodeMalformed, "tool call without an id")
	case len(c.ID) > skein.MaxName || len(c.Tool) > skein.MaxName || len(c.Key) > skein.MaxSubject:
		return skein.Fault(skein.CodeTooLarge, "tool call: id and tool have at most %d bytes, the key %d", skein.MaxName, skein.MaxSubject)
	case len(c.Args) > MaxPayload || len(c.Result) > MaxPayload || len(c.Error) > MaxReason:
		return skein.Fault(skein.CodeTooLarge, "tool call: arguments and result have at most %d bytes", MaxPayload)
	}
	return nil
}
