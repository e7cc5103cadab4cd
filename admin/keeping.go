package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Keeping is what becomes of the sessions of this node's region, and what they said.
type Keeping interface {
	// Said gives a page of what was said in a subject's sessions, from all groups of the region.
	Said(ctx context.Context, q session.Query) (session.Findings, error)
	// Close ends a conversation. expect is the sequence number that it must be at, 0: any.
	Close(ctx context.Context, id skein.SessionID, expect skein.Seq) (Ended, error)
	// Erase deletes what a session said, at once and for ever.
	Erase(ctx context.Context, id skein.SessionID) (Ended, error)
	// EraseSubject does so with all sessions of a subject, and gives how many there were. After an error some may be left.
	EraseSubject(ctx context.Context, subject skein.Subject) (int, error)
}

// Ended is the answer to a close or an erase of one session.
type Ended struct {
	Session skein.SessionID `json:"session"`
	Phase   string          `json:"phase"` // closed or erased
	Known   bool            `json:"known"` // it was so before
}

// Erased is the answer to an erase of a subject.
type Erased struct {
	Subject  skein.Subject `json:"subject"`
	Sessions int           `json:"sessions"` // that were erased
}

// Said is an event of a subject's sessions, as GET /v1/history lists it.
type Said struct {
	Session skein.SessionID `json:"session"`
	Opened  time.Time       `json:"opened"` // when the session was
	Seq     skein.Seq       `json:"seq"`
	Kind    string          `json:"kind"`
	At      time.Time       `json:"at"`
	Turn    string          `json:"turn,omitempty"`
	Text    string          `json:"text,omitempty"`
	Source  string          `json:"source,omitempty"`
	Tool    string          `json:"tool,omitempty"`
	Node    skein.NodeID    `json:"node,omitempty"` // where it happened
}

// SaidPage is one page of GET /v1/history. It can be short, also empty, before the end.
type SaidPage struct {
	Said []Said `json:"said"`
	Next string `json:"next,omitempty"` // pass as after; empty: the end
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	q, err := queryOf(r.URL.Query())
	if err != nil {
		s.fail(w, err)
		return
	}
	found, err := s.cfg.Keeping.Said(r.Context(), q)
	if err != nil {
		s.fail(w, err)
		return
	}
	page := SaidPage{Said: []Said{}, Next: found.Next}
	for i := range found.Said {
		page.Said = append(page.Said, saidOf(&found.Said[i]))
	}
	write(w, http.StatusOK, page)
}

func saidOf(x *session.Said) Said {
	e := &x.Event
	said := Said{
		Session: e.Session, Opened: x.Opened, Seq: e.Seq, Kind: e.Kind.String(), At: e.At, Text: e.Text, Source: e.Source,
		Tool: e.Call.Tool, Node: e.Place.Node,
	}
	if e.Turn != (skein.TurnID{}) {
		said.Turn = e.Turn.String()
	}
	return said
}

// queryOf reads what is asked: subject, from, to, limit, after, latest and max_age.
func queryOf(v url.Values) (session.Query, error) {
	q := session.Query{Subject: skein.Subject(v.Get("subject")), After: v.Get("after"), Limit: defaultPage}
	for name, to := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		text := v.Get(name)
		if text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return q, skein.Fault(skein.CodeMalformed, "%s %.40q: want a time as in 2026-03-01T12:00:00Z", name, text)
		}
		*to = at
	}
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return q, skein.Fault(skein.CodeMalformed, "limit %.20q: want a number", text)
		}
		q.Limit = n
	}
	q.Fresh.Latest = v.Get("latest") == "true"
	if text := v.Get("max_age"); text != "" {
		age, err := time.ParseDuration(text)
		if err != nil || age <= 0 {
			return q, skein.Fault(skein.CodeMalformed, "max_age %.20q: want a duration above 0, as in 5s", text)
		}
		q.Fresh.MaxAge = age
	}
	return q, nil
}

func (s *Server) closeSession(w http.ResponseWriter, r *http.Request) {
	expect, err := strconv.ParseUint(r.URL.Query().Get("expect"), 10, 64)
	if err != nil && r.URL.Query().Get("expect") != "" {
		s.fail(w, skein.Fault(skein.CodeMalformed, "expect: want a sequence number"))
		return
	}
	s.end(w, r, "close", func(ctx context.Context, id skein.SessionID) (Ended, error) {
		return s.cfg.Keeping.Close(ctx, id, skein.Seq(expect))
	})
}

func (s *Server) eraseSession(w http.ResponseWriter, r *http.Request) {
	s.end(w, r, "erase", s.cfg.Keeping.Erase)
}

func (s *Server) end(w http.ResponseWriter, r *http.Request, what string, f func(context.Context, skein.SessionID) (Ended, error)) {
	id := skein.SessionID(r.PathValue("session"))
	err := id.Validate()
	var done Ended
	if err == nil {
		done, err = f(r.Context(), id)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	s.cfg.Log.Info("session ended by an operator", "session", id, "order", what, "known", done.Known)
	write(w, http.StatusOK, done)
}

// eraseSubject logs no name: the log would keep what is to be forgotten.
func (s *Server) eraseSubject(w http.ResponseWriter, r *http.Request) {
	subject := skein.Subject(r.PathValue("subject"))
	n, err := s.cfg.Keeping.EraseSubject(r.Context(), subject)
	s.cfg.Log.Info("sessions of a subject erased by an operator", "sessions", n, "complete", err == nil)
	if err != nil {
		s.fail(w, err)
		return
	}
	write(w, http.StatusOK, Erased{Subject: subject, Sessions: n})
}
