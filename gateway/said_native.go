package gateway

import (
	"context"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// saidBytes bounds the texts of one page of what a subject said: with 500 events' names it fits a frame.
const saidBytes = 96 << 10

// said finds what the subject of o said in the home region of its session.
func (g *Gateway) said(ctx context.Context, s Sessions, o session.Opening, q session.Query) (session.Findings, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	q.Subject, q.Bytes = o.Subject, saidBytes
	if r, ok := s.(*remote); ok {
		return r.said(ctx, o, q)
	}
	if g.cfg.Said == nil {
		return session.Findings{}, skein.Fault(skein.CodeRefused, "%s does not tell what subjects said", g.cfg.Node)
	}
	return g.cfg.Said(ctx, q)
}

// said asks at the session's home.
func (r *remote) said(ctx context.Context, o session.Opening, q session.Query) (session.Findings, error) {
	var found session.Findings
	x := &exchange{o: session.Opening{Session: o.Session, Subject: o.Subject}, wait: openTimeout}
	x.request = func() *wire.ClientFrame {
		return &wire.ClientFrame{Body: &wire.ClientFrame_Said{Said: saidRequest(q)}}
	}
	x.take = func(f *wire.ServerFrame) (bool, error) {
		p := f.GetSaid()
		if p == nil {
			return false, nil
		}
		found = session.Findings{Next: p.GetNext()}
		for _, e := range p.GetSaid() {
			ev := eventOf(e.GetEvent())
			ev.Session = skein.SessionID(e.GetSession())
			found.Said = append(found.Said, session.Said{Opened: time.UnixMilli(e.GetOpenedMs()), Event: ev})
		}
		return true, nil
	}
	err := r.do(ctx, x)
	return found, err
}

func (f frameForm) said(found session.Findings) []byte {
	p := &wire.SaidPage{Next: found.Next}
	for i := range found.Said {
		x := &found.Said[i]
		p.Said = append(p.Said, &wire.SaidEvent{Session: string(x.Event.Session), OpenedMs: x.Opened.UnixMilli(), Event: wireEvent(&x.Event)})
	}
	return frame(&wire.ServerFrame{Body: &wire.ServerFrame_Said{Said: p}})
}

func saidRequest(q session.Query) *wire.SaidRequest {
	w := &wire.SaidRequest{Limit: uint32(q.Limit), After: q.After, Latest: q.Fresh.Latest}
	for at, to := range map[*time.Time]**int64{&q.From: &w.FromMs, &q.To: &w.ToMs} {
		if !at.IsZero() {
			ms := at.UnixMilli()
			*to = &ms
		}
	}
	return w
}

func saidAsked(w *wire.SaidRequest) *session.Query {
	q := &session.Query{Limit: int(min(w.GetLimit(), maxPage+1)), After: w.GetAfter(), Fresh: session.Freshness{Latest: w.GetLatest()}}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	if w.FromMs != nil {
		q.From = time.UnixMilli(*w.FromMs)
	}
	if w.ToMs != nil {
		q.To = time.UnixMilli(*w.ToMs)
	}
	return q
}
