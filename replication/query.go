package replication

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// queryGroups asks every group of a region and merges what they say. Errors are those of Group.Read; a Query that
// makes no sense is skein.CodeMalformed.
func queryGroups(ctx context.Context, groups []*Group, q session.Query) (session.Findings, error) {
	s, err := searchOf(q)
	if err != nil {
		return session.Findings{}, err
	}
	parts, errs := make([]found, len(groups)), make([]error, len(groups))
	var wg sync.WaitGroup
	for i, g := range groups { // at most eight
		wg.Go(func() { parts[i], errs[i] = g.find(ctx, s, q.Fresh) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return session.Findings{}, err
	}
	all := mergeFound(parts, s.limit, s.bytes)
	f := session.Findings{Said: all.said}
	if all.more {
		f.Next = all.through.cursor()
	}
	return f, nil
}

// Query asks one group.
func (g *Group) Query(ctx context.Context, q session.Query) (session.Findings, error) {
	return queryGroups(ctx, []*Group{g}, q)
}

// SessionsOf lists sessions of a subject that the group knows of, those of which only the location is left included; at most limit,
// and at most 500. next is what to pass as after for the next page, empty at the end; a page may be empty before it. It is as new as
// a read that asks for the latest.
func (g *Group) SessionsOf(ctx context.Context, subject skein.Subject, after string, limit int) (ids []skein.SessionID, next string, err error) {
	s, err := searchOf(session.Query{Subject: subject, After: after, Limit: limit})
	if err != nil {
		return nil, "", err
	}
	s.sessions = true
	f, err := g.find(ctx, s, session.Freshness{Latest: true})
	if err != nil {
		return nil, "", err
	}
	for i := range f.said {
		ids = append(ids, f.said[i].Event.Session)
	}
	if f.more {
		next = f.through.cursor()
	}
	return ids, next, nil
}

// search is a Query that was checked.
type search struct {
	subject  skein.Subject
	from, to int64 // milliseconds since 1970; to is exclusive
	limit    int
	bytes    int // of texts
	after    spot
	sessions bool // the sessions themselves, those without text included, and no events
}

// found is what a group knows: everything up to through, and all there is unless more.
type found struct {
	said    []session.Said
	through spot
	more    bool
}

func searchOf(q session.Query) (search, error) {
	switch {
	case q.Subject == "" || len(q.Subject) > skein.MaxSubject:
		return search{}, skein.Fault(skein.CodeMalformed, "subject: want 1 to %d bytes", skein.MaxSubject)
	case q.Limit < 1 || q.Limit > maxHistory:
		return search{}, skein.Fault(skein.CodeMalformed, "limit %d: want 1 to %d", q.Limit, maxHistory)
	case !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To):
		return search{}, skein.Fault(skein.CodeMalformed, "from %s is not before to %s", q.From.Format(time.RFC3339), q.To.Format(time.RFC3339))
	}
	s := search{subject: q.Subject, from: math.MinInt64, to: math.MaxInt64, limit: q.Limit, bytes: maxHistoryByte}
	if q.Bytes > 0 {
		s.bytes = min(q.Bytes, maxHistoryByte)
	}
	if !q.From.IsZero() {
		s.from = q.From.UnixMilli()
	}
	if !q.To.IsZero() {
		s.to = q.To.UnixMilli()
	}
	var err error
	if q.After != "" {
		s.after, err = parseCursor(q.After)
	}
	return s, err
}

// find asks the local replica, or the leader.
func (g *Group) find(ctx context.Context, s search, f session.Freshness) (found, error) {
	var out found
	err := g.reading(ctx, func() error {
		err := g.settle(ctx, f)
		if err == nil {
			out, err = g.disk.store.search(s)
			return err
		}
		if !errors.Is(err, errNotLeader) {
			return err
		}
		resp, err := g.askFresh(ctx, &wire.ReadRequest{Query: searchToWire(s)}, f)
		if err == nil {
			out = foundFromWire(resp.Query)
		}
		return err
	})
	return out, err
}

// answerFresh answers a read of a peer that says how new the answer has to be, or is about a subject.
func (g *Group) answerFresh(ctx context.Context, req *wire.ReadRequest, f session.Freshness, resp *wire.ReadResponse) error {
	if req.Query == nil {
		st, err := g.readFreshHere(ctx, skein.SessionID(req.Session), f)
		g.tellHorizon(f, resp)
		resp.State = stateToWire(st)
		return err
	}
	s, err := searchFromWire(req.Query)
	if err != nil {
		return err
	}
	if err := g.settle(ctx, f); err != nil {
		return err
	}
	g.tellHorizon(f, resp)
	out, err := g.disk.store.search(s)
	resp.Query = foundToWire(out)
	return err
}

// mergeFound joins what several groups have found. What lies behind the place up to which all have told everything waits for the
// next page.
func mergeFound(parts []found, limit, bytes int) found {
	out := found{through: lastSpot}
	for _, p := range parts {
		if p.more {
			out.more = true
			out.through = minSpot(out.through, p.through)
		}
	}
	for _, p := range parts {
		for _, x := range p.said {
			if !out.more || spotOf(&x).compare(out.through) <= 0 {
				out.said = append(out.said, x)
			}
		}
	}
	slices.SortFunc(out.said, func(a, b session.Said) int { return spotOf(&a).compare(spotOf(&b)) })
	size := 0
	for i := range out.said {
		if size += len(out.said[i].Event.Text); i+1 < len(out.said) && (i+1 == limit || size+len(out.said[i+1].Event.Text) > bytes) {
			out.said, out.more = out.said[:i+1], true
			out.through = spotOf(&out.said[i])
			break
		}
	}
	return out
}

// spot is a place in the order of what a subject said.
type spot struct {
	opened  int64 // milliseconds since 1970, when the session was opened
	session skein.SessionID
	seq     skein.Seq
}

// lastSpot is behind all others.
var lastSpot = spot{opened: math.MaxInt64, seq: math.MaxUint64}

func (p spot) compare(q spot) int {
	return cmp.Or(cmp.Compare(p.opened, q.opened), compareIDs(p.session, q.session), cmp.Compare(p.seq, q.seq))
}

func minSpot(a, b spot) spot {
	if a.compare(b) < 0 {
		return a
	}
	return b
}

func spotOf(s *session.Said) spot {
	return spot{max(toMillis(s.Opened), 0), s.Event.Session, s.Event.Seq}
}
