package admin

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Said gives two events, the second on a page of its own.
func (f *fakeNode) Said(_ context.Context, q session.Query) (session.Findings, error) {
	if q.Subject == "" {
		return session.Findings{}, skein.Fault(skein.CodeMalformed, "subject: want 1 to 255 bytes")
	}
	f.asked = q
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	said := session.Said{Opened: at, Event: session.Event{
		Session: "eu~a", Seq: 2, Kind: session.Accepted, At: at, Turn: skein.TurnID{Client: "web", Counter: 1}, Text: "hello",
		Place: skein.Place{Node: "eu-a-1"},
	}}
	if q.After != "" {
		return session.Findings{}, nil
	}
	return session.Findings{Said: []session.Said{said}, Next: "more"}, nil
}

func (f *fakeNode) Close(_ context.Context, id skein.SessionID, expect skein.Seq) (Ended, error) {
	if expect != 0 && expect != 7 {
		return Ended{}, skein.Fault(skein.CodeConflict, "%s is at 7, not at %d", id, expect)
	}
	return Ended{Session: id, Phase: "closed"}, nil
}

func (f *fakeNode) Erase(_ context.Context, id skein.SessionID) (Ended, error) {
	if region, _ := id.Split(); region != "eu" {
		return Ended{}, skein.Fault(skein.CodeRefused, "ask a node of region %s", region)
	}
	return Ended{Session: id, Phase: "erased"}, nil
}

func (f *fakeNode) EraseSubject(_ context.Context, subject skein.Subject) (int, error) {
	return len(subject), nil
}

func TestKeeping(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		want         string // part of the body
	}{
		{"GET", "/v1/history?subject=ann&limit=5", 200, `{"said":[{"session":"eu~a","opened":"2026-03-01T12:00:00Z","seq":2,"kind":"accepted","at":"2026-03-01T12:00:00Z","turn":"web:1","text":"hello","node":"eu-a-1"}],"next":"more"}`},
		{"GET", "/v1/history?subject=ann&after=more", 200, `{"said":[]}`},
		{"GET", "/v1/history", 400, "subject: want 1 to 255 bytes"},
		{"GET", "/v1/history?subject=ann&from=monday", 400, `from \"monday\": want a time as in 2026-03-01T12:00:00Z`},
		{"GET", "/v1/history?subject=ann&limit=x", 400, "want a number"},
		{"GET", "/v1/history?subject=ann&max_age=-1s", 400, "want a duration above 0"},
		{"POST", "/v1/history", 405, "takes GET"},
		{"POST", "/v1/sessions/eu~a/close", 200, `{"session":"eu~a","phase":"closed","known":false}`},
		{"POST", "/v1/sessions/eu~a/close?expect=7", 200, `"closed"`},
		{"POST", "/v1/sessions/eu~a/close?expect=6", 409, `"conflict"`},
		{"POST", "/v1/sessions/eu~a/close?expect=six", 400, "want a sequence number"},
		{"POST", "/v1/sessions/nothing/close", 400, "want REGION~NAME"},
		{"POST", "/v1/sessions/eu~a/erase", 200, `{"session":"eu~a","phase":"erased","known":false}`},
		{"POST", "/v1/sessions/us~a/erase", 409, "ask a node of region us"},
		{"POST", "/v1/subjects/a%2Fb/erase", 200, `{"subject":"a/b","sessions":3}`},
	}
	s := newServer(t, newFake(), nil)
	for _, tt := range tests {
		w := ask(s, tt.method, tt.path, "Bearer "+testToken)
		if body := w.Body.String(); w.Code != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: got %d %s, want %d with %s", tt.method, tt.path, w.Code, body, tt.status, tt.want)
		}
		if w := ask(s, tt.method, tt.path, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s %s without a token: got %d", tt.method, tt.path, w.Code)
		}
	}
}

func TestWhatAHistoryIsAskedFor(t *testing.T) {
	f := newFake()
	s := newServer(t, f, nil)
	ask(s, "GET", "/v1/history?subject=ann&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00%2B01:00&limit=7&max_age=5s&latest=true", "Bearer "+testToken)
	want := session.Query{
		Subject: "ann", From: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC), Limit: 7,
		Fresh: session.Freshness{Latest: true, MaxAge: 5 * time.Second},
	}
	got := f.asked
	got.From, got.To = got.From.UTC(), got.To.UTC()
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
