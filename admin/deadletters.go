package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/skein-mesh/skein"
)

// DeadLetters are the turns of this node's region that used up their attempts.
type DeadLetters interface {
	// DeadLetters gives a page of them from the local replica, in the order of their sessions, of those after an id;
	// next is where the following page begins, empty at the end. A node without a replica says so with an error.
	DeadLetters(ctx context.Context, after skein.SessionID, limit int) (page []DeadLetter, next skein.SessionID, err error)
	// Retry makes a dead turn, the last of its session, wait for an attempt again.
	Retry(ctx context.Context, session skein.SessionID, turn skein.TurnID) (Settled, error)
	// Drop takes a dead turn off the list.
	Drop(ctx context.Context, session skein.SessionID, turn skein.TurnID) (Settled, error)
}

// DeadLetter is one dead turn, as GET /v1/deadletters lists it.
type DeadLetter struct {
	Session   skein.SessionID `json:"session"`
	Turn      string          `json:"turn"`
	Subject   skein.Subject   `json:"subject"`
	Text      string          `json:"text"`     // what the client had said; a long one is cut
	Reason    string          `json:"reason"`   // of the last failure
	Failures  uint32          `json:"failures"` // since it was accepted, or retried
	Attempt   skein.Attempt   `json:"attempt"`  // with which it died
	Node      skein.NodeID    `json:"node"`     // of that attempt
	At        time.Time       `json:"at"`       // when it was accepted
	DiedAt    time.Time       `json:"died_at"`
	Retriable bool            `json:"retriable"` // no later turn of the session is behind it
}

// DeadLetterPage is one page of GET /v1/deadletters.
type DeadLetterPage struct {
	DeadLetters []DeadLetter    `json:"dead_letters"`
	Next        skein.SessionID `json:"next,omitempty"` // pass as after; empty: the end
}

// Settled is the answer to a retry or a drop.
type Settled struct {
	Session skein.SessionID `json:"session"`
	Turn    string          `json:"turn"`
	Status  string          `json:"status"` // of the turn now: waiting (for its next attempt), or dead when it was dropped
	Known   bool            `json:"known"`  // it was done before
}

func (s *Server) deadLetters(w http.ResponseWriter, r *http.Request) {
	after, limit, err := pageOf(r)
	if err != nil {
		s.fail(w, err)
		return
	}
	list, next, err := s.cfg.DeadLetters.DeadLetters(r.Context(), after, limit)
	if err != nil {
		s.fail(w, err)
		return
	}
	write(w, http.StatusOK, DeadLetterPage{DeadLetters: listed(list), Next: next})
}

// settle answers a retry, or a drop.
func (s *Server) settle(what string, f func(context.Context, skein.SessionID, skein.TurnID) (Settled, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := skein.SessionID(r.PathValue("session"))
		turn, err := skein.ParseTurnID(r.PathValue("turn"))
		if err == nil {
			err = id.Validate()
		}
		if err != nil {
			s.fail(w, err)
			return
		}
		done, err := f(r.Context(), id, turn)
		if err != nil {
			s.fail(w, err)
			return
		}
		s.cfg.Log.Info("dead letter settled by an operator", "session", id, "turn", done.Turn, "order", what, "known", done.Known)
		write(w, http.StatusOK, done)
	}
}
