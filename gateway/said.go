package gateway

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// maxSaidHTTP bounds the texts of one page, in bytes.
const maxSaidHTTP = 1 << 20

// saidPageJSON is one page of what a subject said.
type saidPageJSON struct {
	Said []saidJSON `json:"said"`
	Next string     `json:"next,omitempty"` // absent: the end
}

type saidJSON struct {
	Session string `json:"session"`
	Opened  string `json:"opened"` // when the session was; see stamp
	eventJSON
}

// postClose ends a session.
func (g *Gateway) postClose(w http.ResponseWriter, r *http.Request, who caller) error {
	id, err := g.sessionOf(r)
	if err != nil {
		return err
	}
	expect, err := number(r.URL.Query(), "expect", 64)
	if err != nil {
		return err
	}
	if err := g.opens.allow(who.subject, who.started); err != nil {
		return err
	}
	st, err := g.endSession(r.Context(), g.home(id, ""), session.Opening{Session: id, Subject: who.subject}, skein.Seq(expect))
	if err != nil {
		return gone(r, err)
	}
	writeJSON(w, http.StatusOK, closedJSON{Session: string(id), Seq: uint64(st.Seq), Closed: true, Via: string(g.cfg.Node)})
	return nil
}

type closedJSON struct {
	Session string `json:"session"`
	Seq     uint64 `json:"seq"`
	Closed  bool   `json:"closed"`
	Via     string `json:"via"`
}

// endSession closes a session at its home.
func (g *Gateway) endSession(ctx context.Context, s Sessions, o session.Opening, expect skein.Seq) (*session.State, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return s.Close(ctx, session.Opening{Session: o.Session, Subject: o.Subject}, expect)
}

// getSaid gives a page of what the subject of the token said in its sessions of this region.
func (g *Gateway) getSaid(w http.ResponseWriter, r *http.Request, who caller) error {
	q, err := saidQuery(r.URL.Query())
	if err != nil {
		return err
	}
	if g.cfg.Said == nil {
		return httpFault(http.StatusNotFound, "no such route")
	}
	if err := g.opens.allow(who.subject, who.started); err != nil {
		return err
	}
	q.Subject, q.Bytes = who.subject, maxSaidHTTP
	ctx, cancel := context.WithTimeout(r.Context(), openTimeout)
	defer cancel()
	found, err := g.cfg.Said(ctx, q)
	if err != nil {
		return gone(r, err)
	}
	page := saidPageJSON{Said: []saidJSON{}, Next: found.Next}
	for i := range found.Said {
		x := &found.Said[i]
		page.Said = append(page.Said, saidJSON{Session: string(x.Event.Session), Opened: x.Opened.UTC().Format(stamp), eventJSON: eventJSONOf(&x.Event)})
	}
	writeJSON(w, http.StatusOK, page)
	return nil
}

// saidQuery reads from, to, limit, after and latest.
func saidQuery(v url.Values) (session.Query, error) {
	limit, err := number(v, "limit", 31)
	if err != nil {
		return session.Query{}, err
	}
	q := session.Query{After: v.Get("after"), Limit: int(limit), Fresh: session.Freshness{Latest: v.Get("latest") == "true"}}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	for name, to := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		text := v.Get(name)
		if text == "" {
			continue
		}
		if *to, err = time.Parse(time.RFC3339, text); err != nil {
			return q, skein.Fault(skein.CodeMalformed, "%s %.40q: want a time as in 2026-03-01T12:00:00Z", name, text)
		}
	}
	return q, nil
}
