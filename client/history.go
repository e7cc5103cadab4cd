package client

import (
	"context"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// Event is a fact of the session's history.
type Event struct {
	Seq     skein.Seq
	Kind    string    // "opened", "accepted", "completed", ...
	At      time.Time // by the clock of the node that proposed it; for display only
	Turn    skein.TurnID
	Attempt skein.Attempt
	Text    string
	Source  string
	Where   skein.Place
	Tool    string
}

// question is a request beside the turns that waits for its answer.
type question struct {
	ctx   context.Context
	frame *wire.ClientFrame
	res   chan result // room for the one result
}

// result is what a question was answered: an error, or the frame that fits it.
type result struct {
	frame *wire.ServerFrame
	err   error
}

// fits reports whether a frame answers the question.
func (q *question) fits(f *wire.ServerFrame) bool {
	switch q.frame.GetBody().(type) {
	case *wire.ClientFrame_History:
		return f.GetHistory() != nil
	case *wire.ClientFrame_Said:
		return f.GetSaid() != nil
	}
	return f.GetClosed() != nil
}

// put asks a question, one at a time, until ctx ends.
func (s *Session) put(ctx context.Context, f *wire.ClientFrame) (*wire.ServerFrame, error) {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	q := &question{ctx: ctx, frame: f, res: make(chan result, 1)}
	if err := s.do(ctx, func(l *loop) { l.ask(q) }); err != nil {
		return nil, err
	}
	r := <-q.res // the loop watches ctx
	return r.frame, r.err
}

// History gives up to limit events behind the sequence number after; limit 0 means 100, and 500 is the most.
// next is what to pass as after for the next page, 0 at the end.
func (s *Session) History(ctx context.Context, after skein.Seq, limit int) (events []Event, next skein.Seq, err error) {
	f, err := s.put(ctx, &wire.ClientFrame{Body: &wire.ClientFrame_History{History: &wire.HistoryRequest{
		After: uint64(after), Limit: uint32(min(max(limit, 0), 500)),
	}}})
	if err != nil {
		return nil, 0, err
	}
	for _, e := range f.GetHistory().GetEvents() {
		events = append(events, readEvent(e))
	}
	return events, skein.Seq(f.GetHistory().GetNext()), nil
}

func readEvent(e *wire.HistoryEvent) Event {
	return Event{
		Seq: skein.Seq(e.GetSeq()), Kind: e.GetKind(), At: time.UnixMilli(e.GetAtMs()), Turn: e.GetId().TurnID(),
		Attempt: skein.Attempt(e.GetAttempt()), Text: e.GetText(), Source: e.GetSource(), Where: e.GetWhere().Place(), Tool: e.GetTool(),
	}
}
