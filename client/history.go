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

// historyCall is a history request that waits for its answer.
type historyCall struct {
	ctx   context.Context
	after skein.Seq
	limit int
	res   chan historyResult // room for the one result
}

type historyResult struct {
	events []Event
	next   skein.Seq
	err    error
}

// History gives up to limit events behind the sequence number after; limit 0 means 100, and 500 is the most.
// next is what to pass as after for the next page, 0 at the end.
func (s *Session) History(ctx context.Context, after skein.Seq, limit int) (events []Event, next skein.Seq, err error) {
	select {
	case s.history <- struct{}{}:
		defer func() { <-s.history }()
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
	h := &historyCall{ctx: ctx, after: after, limit: min(max(limit, 0), 500), res: make(chan historyResult, 1)}
	if err := s.do(ctx, func(l *loop) { l.ask(h) }); err != nil {
		return nil, 0, err
	}
	r := <-h.res // the loop watches ctx
	return r.events, r.next, r.err
}

func (h *historyCall) frame() *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_History{History: &wire.HistoryRequest{After: uint64(h.after), Limit: uint32(h.limit)}}}
}

func readHistory(m *wire.History) historyResult {
	r := historyResult{next: skein.Seq(m.GetNext())}
	for _, e := range m.GetEvents() {
		r.events = append(r.events, Event{
			Seq: skein.Seq(e.GetSeq()), Kind: e.GetKind(), At: time.UnixMilli(e.GetAtMs()), Turn: e.GetId().TurnID(),
			Attempt: skein.Attempt(e.GetAttempt()), Text: e.GetText(), Source: e.GetSource(), Where: e.GetWhere().Place(), Tool: e.GetTool(),
		})
	}
	return r
}
