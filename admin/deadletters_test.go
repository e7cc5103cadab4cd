package admin

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
)

// DeadLetters gives one session a page.
func (f *fakeNode) DeadLetters(_ context.Context, after skein.SessionID, limit int) ([]DeadLetter, skein.SessionID, error) {
	if f.letters == nil {
		return nil, "", skein.Fault(skein.CodeRefused, "node eu-a-1 keeps no replica: ask a voter")
	}
	for i, l := range f.letters {
		if l.Session > after {
			next := l.Session
			if i == len(f.letters)-1 {
				next = ""
			}
			return f.letters[i : i+1], next, nil
		}
	}
	return nil, "", nil
}

func (f *fakeNode) find(id skein.SessionID, turn skein.TurnID) error {
	for _, l := range f.letters {
		if l.Session == id && l.Turn == turn.String() {
			return nil
		}
	}
	return skein.Fault(skein.CodeConflict, "turn %s is not dead", turn)
}

func (f *fakeNode) Retry(_ context.Context, id skein.SessionID, turn skein.TurnID) (Settled, error) {
	return Settled{Session: id, Turn: turn.String(), Status: "waiting"}, f.find(id, turn)
}

func (f *fakeNode) Drop(_ context.Context, id skein.SessionID, turn skein.TurnID) (Settled, error) {
	if region, _ := id.Split(); region != "eu" {
		return Settled{}, skein.Fault(skein.CodeRefused, "ask a node of region %s", region)
	}
	f.dropped = append(f.dropped, turn.String())
	return Settled{Session: id, Turn: turn.String(), Status: "dead", Known: len(f.dropped) > 1}, f.find(id, turn)
}

func TestDeadLetters(t *testing.T) {
	f := newFake()
	f.letters = []DeadLetter{{Session: "eu~a", Turn: "web:3", Subject: "ann", Reason: "no model", Failures: 5, Retriable: true}, {Session: "eu~b", Turn: "web:1"}}
	var refused []skein.Code
	s := newServer(t, f, func(c *Config) { c.Refused = func(code skein.Code) { refused = append(refused, code) } })
	tests := []struct {
		method, path string
		status       int
		want         string // part of the body
	}{
		{"GET", "/v1/deadletters?limit=1", 200, `{"dead_letters":[{"session":"eu~a","turn":"web:3","subject":"ann"`},
		{"GET", "/v1/deadletters?limit=1", 200, `"next":"eu~a"}`},
		{"GET", "/v1/deadletters?after=eu~a", 200, `{"dead_letters":[{"session":"eu~b"`},
		{"GET", "/v1/deadletters?after=eu~z", 200, `{"dead_letters":[]}`},
		{"GET", "/v1/deadletters?after=z", 400, `"number":2`},
		{"GET", "/v1/deadletters?limit=1001", 400, `"number":2`},
		{"POST", "/v1/deadletters", 405, `takes GET`},
		{"POST", "/v1/deadletters/eu~a/web:3/retry", 200, `{"session":"eu~a","turn":"web:3","status":"waiting","known":false}`},
		{"POST", "/v1/deadletters/eu%7Ea/web%3A3/drop", 200, `"status":"dead","known":false}`},
		{"POST", "/v1/deadletters/eu~a/web:3/drop", 200, `"known":true}`},
		{"POST", "/v1/deadletters/eu~a/web:4/retry", 409, `"code":"conflict","number":20`},
		{"POST", "/v1/deadletters/us~a/web:3/drop", 409, `ask a node of region us`},
		{"POST", "/v1/deadletters/a/web:3/drop", 400, `"number":2`},
		{"POST", "/v1/deadletters/eu~a/web:0/drop", 400, `"number":2`},
		{"POST", "/v1/deadletters/eu~a/web/retry", 400, `"number":2`},
		{"GET", "/v1/deadletters/eu~a/web:3/retry", 405, `takes POST`},
		{"POST", "/v1/deadletters/eu~a/web:3/forget", 404, `"number":2`},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			w := ask(s, tt.method, tt.path, "Bearer "+testToken)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s; want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
		})
	}
	if w := ask(s, "POST", "/v1/deadletters/eu~a/web:3/drop", ""); w.Code != http.StatusUnauthorized || len(f.dropped) != 2 {
		t.Errorf("without a token: got %d, %d drops", w.Code, len(f.dropped))
	}
	f.letters = nil
	if w := ask(s, "GET", "/v1/deadletters", "Bearer "+testToken); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "ask a voter") {
		t.Errorf("no replica: got %d %s", w.Code, w.Body)
	}
	if got, want := len(refused), 12; got != want {
		t.Errorf("refusals counted: got %d, want %d", got, want)
	}
}
