package replication

import (
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// Times are stored as milliseconds since 1970; 0 is the zero time.
func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func stateToWire(s *session.State) *wire.SessionState {
	if s == nil {
		return nil
	}
	w := &wire.SessionState{
		Id: string(s.ID), Subject: string(s.Subject), Assistant: s.Assistant, Home: string(s.Home),
		Epoch: uint64(s.Epoch), Seq: uint64(s.Seq), Memory: s.Memory, Count: s.Count,
		Phase: uint32(s.Phase), LastMs: int64(s.Last), Archived: s.Archived,
		Turns: make([]*wire.StoredTurn, len(s.Turns)), Marks: make([]*wire.Mark, len(s.Marks)),
	}
	for i := range s.Turns {
		w.Turns[i] = turnToWire(s.Turns[i])
	}
	for i, m := range s.Marks {
		w.Marks[i] = markToWire(m)
	}
	return w
}

func stateFromWire(w *wire.SessionState) *session.State {
	if w == nil {
		return nil
	}
	s := &session.State{
		ID: skein.SessionID(w.Id), Subject: skein.Subject(w.Subject), Assistant: w.Assistant, Home: skein.Region(w.Home),
		Epoch: skein.Epoch(w.Epoch), Seq: skein.Seq(w.Seq), Memory: w.Memory, Count: w.Count,
		Phase: session.Phase(w.Phase), Last: session.Calendar(w.LastMs), Archived: w.Archived,
	}
	if len(w.Turns) > 0 {
		s.Turns = make([]*session.Turn, len(w.Turns))
	}
	for i, t := range w.Turns {
		turn := turnFromWire(t)
		s.Turns[i] = &turn
	}
	if len(w.Marks) > 0 {
		s.Marks = make([]session.Mark, len(w.Marks))
	}
	for i, m := range w.Marks {
		s.Marks[i] = markFromWire(m)
	}
	return s
}

func turnToWire(t *session.Turn) *wire.StoredTurn {
	w := &wire.StoredTurn{
		Client: string(t.ID.Client), Counter: t.ID.Counter, Text: t.Text, Status: uint32(t.Status),
		Attempt: uint32(t.Attempt), Failures: t.Failures, Runner: runnerToWire(t.Runner), Place: placeToWire(t.Place),
		Seq: uint64(t.Seq), Reply: t.Reply, Source: t.Source, Reason: validText(t.Reason),
		LeaseUntil: int64(t.LeaseUntil), NotBefore: int64(t.NotBefore), AtMs: toMillis(t.At), DoneAtMs: toMillis(t.DoneAt),
		Dropped: t.Dropped, Retried: uint32(t.Retried),
	}
	for i := range t.Calls {
		w.Calls = append(w.Calls, callToWire(&t.Calls[i]))
	}
	for _, c := range t.Continuations {
		w.Continuations = append(w.Continuations, &wire.Continuation{Attempt: uint32(c.Attempt), Offset: uint64(c.Offset), Mode: c.Mode})
	}
	return w
}

func turnFromWire(w *wire.StoredTurn) session.Turn {
	t := session.Turn{
		ID:   skein.TurnID{Client: skein.ClientID(w.GetClient()), Counter: w.GetCounter()},
		Text: w.GetText(), Status: session.Status(w.GetStatus()),
		Attempt: skein.Attempt(w.GetAttempt()), Failures: w.GetFailures(), Runner: runnerFromWire(w.GetRunner()), Place: w.GetPlace().Place(),
		Seq: skein.Seq(w.GetSeq()), Reply: w.GetReply(), Source: w.GetSource(), Reason: w.GetReason(),
		LeaseUntil: session.Committed(w.GetLeaseUntil()), NotBefore: session.Committed(w.GetNotBefore()),
		At: fromMillis(w.GetAtMs()), DoneAt: fromMillis(w.GetDoneAtMs()),
		Dropped: w.GetDropped(), Retried: skein.Attempt(w.GetRetried()),
	}
	for _, c := range w.GetCalls() {
		t.Calls = append(t.Calls, callFromWire(c))
	}
	for _, c := range w.GetContinuations() {
		t.Continuations = append(t.Continuations, session.Continuation{Attempt: skein.Attempt(c.GetAttempt()), Offset: int(c.GetOffset()), Mode: c.GetMode()})
	}
	return t
}

func markToWire(m session.Mark) *wire.Mark {
	return &wire.Mark{Client: string(m.Client), Counter: m.Counter, Seq: uint64(m.Seq)}
}

func markFromWire(w *wire.Mark) session.Mark {
	return session.Mark{Client: skein.ClientID(w.GetClient()), Counter: w.GetCounter(), Seq: skein.Seq(w.GetSeq())}
}

func callToWire(c *session.Call) *wire.Call {
	if *c == (session.Call{}) {
		return nil
	}
	return &wire.Call{Id: c.ID, Tool: c.Tool, Key: c.Key, Args: c.Args, Done: c.Done, Result: c.Result, Error: c.Error}
}

func callFromWire(w *wire.Call) session.Call {
	return session.Call{
		ID: w.GetId(), Tool: w.GetTool(), Key: w.GetKey(), Args: w.GetArgs(), Done: w.GetDone(), Result: w.GetResult(), Error: w.GetError(),
	}
}

func runnerToWire(r skein.Runner) *wire.Runner {
	if r == (skein.Runner{}) {
		return nil
	}
	return &wire.Runner{Node: string(r.Node), Incarnation: uint64(r.Incarnation)}
}

func runnerFromWire(w *wire.Runner) skein.Runner {
	return skein.Runner{Node: skein.NodeID(w.GetNode()), Incarnation: skein.Incarnation(w.GetIncarnation())}
}

func placeToWire(p skein.Place) *wire.Where {
	if p == (skein.Place{}) {
		return nil
	}
	return wire.FromPlace(p)
}
