package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// maxKey is how many bytes an Idempotency-Key has at most.
const maxKey = 255

// postTurn runs a turn and answers with its reply, as JSON or as server-sent events.
func (g *Gateway) postTurn(w http.ResponseWriter, r *http.Request, who caller) error {
	m, err := g.message(w, r, who)
	if err != nil {
		g.m.refused()
		return err
	}
	if err := g.limit.allow(who.subject, who.started); err != nil {
		return err
	}
	if g.isDraining() {
		return skein.Fault(skein.CodeDraining, "%s takes no new turns", g.cfg.Node)
	}
	o := session.Opening{Session: m.Session, Subject: who.subject, Assistant: r.URL.Query().Get("assistant")}
	if a := o.Assistant; a != "" && !skein.ValidName(a) {
		return skein.Fault(skein.CodeMalformed, "assistant %.80q is no name", a)
	}
	o.Create = r.URL.Query().Get("resume") != "true"
	sessions := g.home(m.Session, m.Turn.Client)
	if _, _, err := g.openSession(r.Context(), sessions, o); err != nil {
		return gone(r, err)
	}
	f := jsonForm{session: m.Session, gateway: g.cfg.Node}
	if wantsEvents(r) {
		return g.streamTurn(w, r, sessions, m)
	}
	var last session.Update
	err = g.runTurn(r.Context(), sessions, m, func(u session.Update) error {
		last = u
		return nil
	})
	if err != nil {
		return gone(r, err)
	}
	writeJSON(w, http.StatusOK, f.completed(last))
	return nil
}

// gone gives the fault for a client that has gone or a node that closes, which nobody may see.
func gone(r *http.Request, err error) error {
	if r.Context().Err() != nil {
		return skein.Fault(skein.CodeUnknownOutcome, "the request was given up; ask again with the same id")
	}
	return err
}

// message reads and checks a request for a turn.
func (g *Gateway) message(w http.ResponseWriter, r *http.Request, who caller) (session.Message, error) {
	id, err := g.sessionOf(r)
	if err != nil {
		return session.Message{}, err
	}
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if kind, _, err := mime.ParseMediaType(ct); err != nil || kind != "application/json" {
			return session.Message{}, httpFault(http.StatusUnsupportedMediaType, "the body is application/json")
		}
	}
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(bodyLimit))
	body, err := io.ReadAll(r.Body)
	rc.SetReadDeadline(time.Time{}) // one that fires during the turn would end it as if the client had gone
	if err != nil {
		return session.Message{}, bodyError(err)
	}
	t, err := decodeTurn(body)
	if err != nil {
		return session.Message{}, err
	}
	m := session.Message{Session: id, Subject: who.subject, Text: t.Text, Offset: t.Offset}
	if m.Turn, err = turnID(t.ID, r.Header.Values("Idempotency-Key")); err != nil {
		return session.Message{}, err
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		if m.Offset, err = strconv.Atoi(last); err != nil {
			return session.Message{}, skein.Fault(skein.CodeMalformed, "Last-Event-ID %.80q: want a number of bytes", last)
		}
	}
	return m, checkMessage(m)
}

func bodyError(err error) error {
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return skein.Fault(skein.CodeTooLarge, "a body has at most %d bytes", tooBig.Limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return httpFault(http.StatusRequestTimeout, "the body took longer than "+bodyLimit.String())
	}
	return skein.Fault(skein.CodeMalformed, "the body cannot be read")
}

// decodeTurn reads one JSON object; unknown fields and anything behind it are refused.
func decodeTurn(body []byte) (turnJSON, error) {
	var t turnJSON
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return turnJSON{}, skein.Fault(skein.CodeMalformed, "body: %s", jsonFault(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return turnJSON{}, skein.Fault(skein.CodeMalformed, "body: something follows the object")
	}
	return t, nil
}

// jsonFault shortens what encoding/json says, which may repeat the client's own text at any length.
func jsonFault(err error) string {
	s := strings.TrimPrefix(err.Error(), "json: ")
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s = "want one JSON object"
	}
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}

// turnID gives the id of a turn: the client's own, else one made of its idempotency key, else a random one,
// which no repeat can name. Both made ones count as keyed, so that the session may forget them.
func turnID(own string, keys []string) (skein.TurnID, error) {
	if own != "" {
		return skein.ParseTurnID(own)
	}
	name := skein.RandomName()
	if len(keys) > 0 {
		if len(keys) != 1 || keys[0] == "" || len(keys[0]) > maxKey {
			return skein.TurnID{}, skein.Fault(skein.CodeMalformed, "Idempotency-Key: want one of 1 to %d bytes", maxKey)
		}
		sum := sha256.Sum256([]byte(keys[0]))
		name = hex.EncodeToString(sum[:])[:skein.MaxName-len(session.KeyedPrefix)]
	}
	return skein.TurnID{Client: skein.ClientID(session.KeyedPrefix + name), Counter: 1}, nil
}

// wantsEvents reports whether the client accepts server-sent events.
func wantsEvents(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			if kind, _, err := mime.ParseMediaType(part); err == nil && kind == "text/event-stream" {
				return true
			}
		}
	}
	return false
}
