package session

import (
	"slices"
	"strings"
	"time"
)

// KeyedPrefix begins the client instance of a turn that came with an idempotency key instead of a
// client's own counter. Such marks give way, oldest first, when MaxClients is reached.
const KeyedPrefix = "key."

// maxContinuations bounds what a turn tells of its attempts: lapsed ones count to no other limit.
const maxContinuations = 32

// evolve takes one event in. Events were decided before; it refuses nothing.
func (s *State) evolve(ev *Event) {
	s.Seq = ev.Seq
	switch ev.Kind {
	case Closed, Archived, Purged, Erased:
		s.ended(ev)
		return
	}
	s.Last = ev.Calendar
	switch ev.Kind {
	case Opened:
		s.ID, s.Subject, s.Assistant, s.Home, s.Epoch = ev.Session, ev.Subject, ev.Assistant, ev.Home, 1
		return
	case Accepted:
		s.accepted(ev)
		return
	}
	t := s.changed(ev.Turn)
	if t == nil {
		return
	}
	t.Seq = ev.Seq
	switch ev.Kind {
	case Started:
		t.Status, t.Attempt, t.Runner, t.Place = Running, ev.Attempt, ev.Runner, ev.Place
		t.LeaseUntil, t.NotBefore = ev.Clock+Lease, 0
	case Renewed:
		t.LeaseUntil = ev.Clock + Lease
	case Progressed:
		t.Reply += ev.Text
		t.LeaseUntil = ev.Clock + Lease
		if ev.Mode != "" && len(t.Continuations) < maxContinuations {
			t.Continuations = append(t.Continuations, Continuation{Attempt: ev.Attempt, Offset: ev.Offset, Mode: ev.Mode})
		}
	case Intended:
		t.Calls = append(t.Calls, ev.Call)
		t.LeaseUntil = ev.Clock + Lease
	case Happened:
		for i := range t.Calls {
			if t.Calls[i].ID == ev.Call.ID {
				t.Calls[i].Done, t.Calls[i].Result, t.Calls[i].Error = true, ev.Call.Result, ev.Call.Error
			}
		}
		t.LeaseUntil = ev.Clock + Lease
	case Done:
		t.Status, t.Reply, t.Source, t.DoneAt = Completed, ev.Text, ev.Source, ev.At
		t.Calls, t.LeaseUntil, t.NotBefore = nil, 0, 0
		s.Memory = ev.Memory
		s.Count++
	case Failed:
		t.Status, t.Reason, t.LeaseUntil = Waiting, ev.Text, 0
		t.NotBefore = ev.Clock + FirstBackoff<<min(t.Failures, 10)
		t.Failures++
	case Died:
		t.Status, t.Reason, t.LeaseUntil, t.DoneAt = Dead, ev.Text, 0, ev.At
		t.Failures++
	case Retried:
		t.Status, t.Failures, t.NotBefore, t.Retried, t.DoneAt = Waiting, 0, ev.Clock, ev.Attempt, time.Time{}
	case Dropped:
		t.Dropped = true
	}
}

func (s *State) accepted(ev *Event) {
	s.raise(Mark{Client: ev.Turn.Client, Counter: ev.Turn.Counter, Seq: ev.Seq})
	if len(s.Turns) >= KeptTurns {
		s.Turns = slices.Delete(s.Turns, 0, len(s.Turns)-KeptTurns+1)
	}
	s.Turns = append(s.Turns, &Turn{
		ID: ev.Turn, Text: ev.Text, Status: Running, Attempt: ev.Attempt, Runner: ev.Runner, Place: ev.Place,
		Seq: ev.Seq, At: ev.At, LeaseUntil: ev.Clock + Lease,
	})
}

func (s *State) raise(m Mark) {
	s.Marks = slices.Clone(s.Marks)
	if i, ok := s.mark(m.Client); ok {
		s.Marks[i] = m
		return
	}
	if len(s.Marks) >= MaxClients {
		if i := s.oldestKeyed(); i >= 0 {
			s.Marks = slices.Delete(s.Marks, i, i+1)
		}
	}
	i, _ := s.mark(m.Client)
	s.Marks = slices.Insert(s.Marks, i, m)
}

// oldestKeyed gives the mark of the idempotency key that was used longest ago, -1 when there is none.
func (s *State) oldestKeyed() int {
	oldest := -1
	for i := range s.Marks {
		if strings.HasPrefix(string(s.Marks[i].Client), KeyedPrefix) && (oldest < 0 || s.Marks[i].Seq < s.Marks[oldest].Seq) {
			oldest = i
		}
	}
	return oldest
}

// Lapsed reports whether the open turn t wants a new attempt: its lease has run out or its back-off is over.
func (t *Turn) Lapsed(now Committed) bool {
	switch t.Status {
	case Running:
		return now > t.LeaseUntil
	case Waiting:
		return now >= t.NotBefore
	}
	return false
}
