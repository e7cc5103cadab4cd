package gateway

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

const (
	defaultPage = 100
	maxPage     = 500
	pageBytes   = 160 << 10 // texts of one page; what is over the first event goes to the next page
)

// errReattached ends the following of a turn that the same client follows anew.
var errReattached = errors.New("the client follows the turn anew")

// resolve gives the full id of a session that a client named; without a region it is one of this region.
func (g *Gateway) resolve(name string) (skein.SessionID, error) {
	id := skein.SessionID(name)
	if region, short := id.Split(); region == "" {
		id = skein.Session(g.cfg.Region, short)
	}
	return id, id.Validate()
}

// home gives what runs the session: this region, or the session's own through the mesh.
func (g *Gateway) home(id skein.SessionID, client skein.ClientID) Sessions {
	region, _ := id.Split()
	if region == g.cfg.Region {
		return g.cfg.Sessions
	}
	return &remote{g: g, home: region, client: client}
}

// openSession opens o at its home, within openTimeout.
func (g *Gateway) openSession(ctx context.Context, s Sessions, o session.Opening) (*session.State, bool, error) {
	if region, _ := o.Session.Split(); o.Assistant == "" && region == g.cfg.Region {
		o.Assistant = g.cfg.Default
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	st, created, err := s.Open(ctx, o)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		if region, _ := o.Session.Split(); region != g.cfg.Region {
			return nil, false, skein.Fault(skein.CodeHomeUnreachable, "region %s did not open %s within %s", region, o.Session, openTimeout)
		}
		return nil, false, skein.Fault(skein.CodeNoQuorum, "%s did not open within %s", o.Session, openTimeout)
	case err != nil:
		return nil, false, err
	case st == nil:
		return nil, false, skein.Fault(skein.CodeUnknownSession, "%s was never opened", o.Session)
	}
	return st, created, nil
}

// checkMessage holds a message against the limits before anything is done for it.
func checkMessage(m session.Message) error {
	if err := m.Turn.Validate(); err != nil {
		return err
	}
	switch {
	case m.Text == "":
		return skein.Fault(skein.CodeMalformed, "turn %s has no text", m.Turn)
	case len(m.Text) > session.MaxText:
		return skein.Fault(skein.CodeTooLarge, "a message has at most %d bytes", session.MaxText)
	case m.Offset < 0 || m.Offset > session.MaxReply:
		return skein.Fault(skein.CodeMalformed, "turn %s: the offset is outside of any reply", m.Turn)
	}
	return nil
}

// runTurn follows one turn to its end, counts it, and keeps the node from closing meanwhile. Who tells the client
// of an error counts it.
func (g *Gateway) runTurn(ctx context.Context, s Sessions, m session.Message, emit func(session.Update) error) error {
	if err := g.begin(); err != nil {
		return err
	}
	defer g.end()
	start := time.Now()
	within, cancel := context.WithTimeout(ctx, followLimit)
	defer cancel()
	whole := false
	err := s.Turn(within, m, func(u session.Update) error {
		if splits(m.Offset, u) {
			return skein.Fault(skein.CodeMalformed, "turn %s: offset %d is inside a character of the reply", m.Turn, m.Offset)
		}
		if u.Kind == session.UpdateCompleted && !whole {
			whole = true
			g.m.turn(time.Since(start))
		}
		return emit(u)
	})
	switch {
	case whole && ctx.Err() == nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx) // the client has gone, or follows anew
	case within.Err() != nil:
		err = skein.Fault(skein.CodeUnknownOutcome, "turn %s still runs after %s; ask again with the same id", m.Turn, followLimit)
	case err == nil:
		err = skein.Fault(skein.CodeInternal, "turn %s ended without a reply", m.Turn)
	}
	return err
}

// splits reports whether what a client holds of a reply ends inside a character (RFC 3629, section 3), so that
// neither JSON nor a frame could carry what follows.
func splits(offset int, u session.Update) bool {
	at := 0
	switch u.Kind {
	case session.UpdatePiece:
		at = offset - u.Offset
	case session.UpdateCompleted:
		at = offset
	default:
		return false
	}
	return at >= 0 && at < len(u.Text) && !utf8.RuneStart(u.Text[at])
}

// page is one page of a session's history: next is 0 at the end.
type page struct {
	events []session.Event
	next   skein.Seq
}

// history reads one page. limit is 1 to maxPage; 0: defaultPage.
func (g *Gateway) history(ctx context.Context, s Sessions, o session.Opening, after skein.Seq, limit int) (page, error) {
	if limit < 0 || limit > maxPage {
		return page{}, skein.Fault(skein.CodeMalformed, "limit: want 1 to %d", maxPage)
	}
	if limit == 0 {
		limit = defaultPage
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if r, ok := s.(*remote); ok {
		return r.page(ctx, o, after, limit)
	}
	events, err := s.History(ctx, o, after, limit)
	if err != nil {
		return page{}, err
	}
	return cut(events, limit), nil
}

// cut ends a page at limit events or pageBytes of text, whichever comes first; at least one event is on it.
func cut(events []session.Event, limit int) page {
	size := 0
	for i := range events {
		size += len(events[i].Text)
		if i > 0 && size > pageBytes || i == limit {
			return page{events: events[:i], next: events[i-1].Seq}
		}
	}
	if n := len(events); n > 0 && n >= limit {
		return page{events: events, next: events[n-1].Seq}
	}
	return page{events: events}
}

// highWater gives the highest counter that the client instance has used in the session.
func highWater(st *session.State, c skein.ClientID) uint64 {
	if c == "" {
		return 0
	}
	for i := range st.Marks {
		if st.Marks[i].Client == c {
			return st.Marks[i].Counter
		}
	}
	return 0
}
