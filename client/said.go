package client

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// maxCursor is more than any cursor has, in bytes.
const maxCursor = 1024

// Search asks what the subject of the token said.
type Search struct {
	From, To time.Time // of the events, by the clocks of the nodes; To is exclusive; zero: no bound
	After    string    // what Said gave as next; empty: from the start
	Limit    int       // events, at most 500; 0: 100
	Latest   bool      // wait for all that was committed before; otherwise a moment's worth can be missing
}

// Said is an event of one of the subject's sessions.
type Said struct {
	Session skein.SessionID
	Opened  time.Time // when the session was
	Event
}

// Said gives a page of what the subject said in all its sessions of this session's home region, closed ones included, ordered by
// when the session was opened, by its id and by sequence number. A page can be short, also empty, before the end;
// next is what to pass as After for the following one, empty at the end.
func (s *Session) Said(ctx context.Context, q Search) (said []Said, next string, err error) {
	if len(q.After) > maxCursor || !utf8.ValidString(q.After) {
		return nil, "", skein.Fault(skein.CodeMalformed, "After is not what Said gave")
	}
	req := &wire.SaidRequest{Limit: uint32(min(max(q.Limit, 0), 500)), After: q.After, Latest: q.Latest}
	if !q.From.IsZero() {
		ms := q.From.UnixMilli()
		req.FromMs = &ms
	}
	if !q.To.IsZero() {
		ms := q.To.UnixMilli()
		req.ToMs = &ms
	}
	f, err := s.put(ctx, &wire.ClientFrame{Body: &wire.ClientFrame_Said{Said: req}})
	if err != nil {
		return nil, "", err
	}
	for _, e := range f.GetSaid().GetSaid() {
		said = append(said, Said{skein.SessionID(e.GetSession()), time.UnixMilli(e.GetOpenedMs()), readEvent(e.GetEvent())})
	}
	return said, f.GetSaid().GetNext(), nil
}

// End ends the conversation: the session takes no new turns, skein.ErrSessionClosed, and what was said can still be
// read. It waits for a turn that is open, until ctx ends. expect is the sequence number that the session must be at,
// skein.ErrConflict otherwise; 0: any. Ending it again changes nothing.
func (s *Session) End(ctx context.Context, expect skein.Seq) error {
	_, err := s.put(ctx, &wire.ClientFrame{Body: &wire.ClientFrame_Close{Close: &wire.Close{Expect: uint64(expect)}}})
	return err
}
