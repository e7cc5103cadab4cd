package gateway

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// foreignWindow is how far back the kept turns of a session of another region are looked for.
const foreignWindow = 200

// getSession tells where a session stands.
func (g *Gateway) getSession(w http.ResponseWriter, r *http.Request, who caller) error {
	id, err := g.sessionOf(r)
	if err != nil {
		return err
	}
	o := session.Opening{Session: id, Subject: who.subject}
	sessions := g.home(id, "")
	st, _, err := g.openSession(r.Context(), sessions, o)
	if err != nil {
		return gone(r, err)
	}
	f := jsonForm{session: id, gateway: g.cfg.Node}
	answer := f.state(st)
	if _, foreign := sessions.(*remote); foreign {
		if st, err = g.replay(r, sessions, o, st); err != nil {
			return gone(r, err)
		}
	}
	for i := range st.Turns {
		answer.Turns = append(answer.Turns, keptOf(st.Turns[i]))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// replay finds the newest turns of a session of another region in its history: Opened tells only its numbers.
func (g *Gateway) replay(r *http.Request, s Sessions, o session.Opening, st *session.State) (*session.State, error) {
	from := skein.Seq(0)
	if st.Seq > foreignWindow {
		from = st.Seq - foreignWindow
	}
	p, err := g.history(r.Context(), s, o, from, maxPage)
	if err != nil {
		return nil, err
	}
	return session.Replay(&session.State{ID: st.ID}, p.events), nil
}

// getHistory gives one page of a session's history.
func (g *Gateway) getHistory(w http.ResponseWriter, r *http.Request, who caller) error {
	id, err := g.sessionOf(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	after, err := number(q, "after", 64)
	if err != nil {
		return err
	}
	limit, err := number(q, "limit", 31)
	if err != nil {
		return err
	}
	sessions := g.home(id, "")
	o := session.Opening{Session: id, Subject: who.subject}
	p, err := g.history(r.Context(), sessions, o, skein.Seq(after), int(limit))
	if err != nil {
		return gone(r, err)
	}
	writeJSON(w, http.StatusOK, jsonForm{session: id, gateway: g.cfg.Node}.page(p))
	return nil
}

// number reads an optional number of the query; absent: 0.
func number(q url.Values, name string, bits int) (uint64, error) {
	s := q.Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, skein.Fault(skein.CodeMalformed, "%s %.80q: want a number", name, s)
	}
	return n, nil
}
