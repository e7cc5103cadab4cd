package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// TestCloseOverHTTP: a session is closed by whom it belongs to; then it is read and takes no turns.
func TestCloseOverHTTP(t *testing.T) {
	w := start(t, nil).web(t, "h2")
	w.do("POST", "/v1/sessions/first/turns", `{"id":"web:1","text":"good morning"}`, w.auth("ann")...)
	tests := []struct {
		who, method, path, body string
		status                  int
		want                    string // part of the body
	}{
		{"bob", "POST", "/v1/sessions/first/close", "", http.StatusForbidden, `"forbidden"`},
		{"ann", "POST", "/v1/sessions/nothing/close", "", http.StatusNotFound, `"unknown_session"`},
		{"ann", "POST", "/v1/sessions/first/close?expect=2", "", http.StatusConflict, `"conflict"`},
		{"ann", "POST", "/v1/sessions/first/close?expect=x", "", http.StatusBadRequest, "want a number"},
		{"ann", "GET", "/v1/sessions/first/close", "", http.StatusMethodNotAllowed, "knows only POST"},
		{"ann", "POST", "/v1/sessions/first/close", "", http.StatusOK, `"closed":true`},
		{"ann", "POST", "/v1/sessions/first/close", "", http.StatusOK, `"closed":true`},
		{"ann", "GET", "/v1/sessions/first", "", http.StatusOK, `"closed":true`},
		{"ann", "GET", "/v1/sessions/first/history", "", http.StatusOK, `"kind":"closed"`},
		{"ann", "POST", "/v1/sessions/first/turns", `{"id":"web:2","text":"more"}`, http.StatusConflict, "open a new session to go on"},
		{"ann", "POST", "/v1/sessions/first/turns", `{"id":"web:1","text":"good morning"}`, http.StatusOK, "you said: good morning"},
	}
	for _, tt := range tests {
		a := w.do(tt.method, tt.path, tt.body, w.auth(tt.who)...)
		if a.status != tt.status || !strings.Contains(string(a.body), tt.want) {
			t.Errorf("%s: %s %s: got %d %s, want %d with %s", tt.who, tt.method, tt.path, a.status, a.body, tt.status, tt.want)
		}
	}
	w.s.fake.apply(session.Command{Session: "eu~first", Body: session.Erase{}})
	for _, path := range []string{"/v1/sessions/first", "/v1/sessions/first/history"} {
		if a := w.do("GET", path, "", w.auth("ann")...); a.status != http.StatusGone && a.status != http.StatusForbidden {
			t.Errorf("GET %s of an erased session: %d %s", path, a.status, a.body)
		}
	}
	if a := w.do("POST", "/v1/sessions/first/turns", `{"id":"web:3","text":"more"}`, w.auth("ann")...); a.status != http.StatusGone || !strings.Contains(string(a.body), `"session_gone"`) {
		t.Errorf("turn in an erased session: %d %s", a.status, a.body)
	}
}

// TestSaidOverHTTP: a token tells what its own subject said, page by page.
func TestSaidOverHTTP(t *testing.T) {
	w := start(t, nil).web(t, "h3")
	w.do("POST", "/v1/sessions/first/turns", `{"id":"web:1","text":"good morning"}`, w.auth("ann")...)
	w.do("POST", "/v1/sessions/second/turns", `{"id":"web:2","text":"good night"}`, w.auth("bob")...)
	var texts []string
	for after := ""; ; {
		var page saidPageJSON
		w.do("GET", "/v1/history?limit=2&latest=true&from=2020-01-01T00:00:00Z&after="+strings.ReplaceAll(after, " ", "+"), "", w.auth("ann")...).into(t, &page)
		for _, x := range page.Said {
			texts = append(texts, x.Session+" "+x.Kind+" "+x.Text)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	want := []string{"eu~first opened ", "eu~first accepted good morning", "eu~first completed you said: good morning"}
	if strings.Join(texts, ", ") != strings.Join(want, ", ") {
		t.Errorf("got %q, want %q", texts, want)
	}
	for path, status := range map[string]int{"/v1/history?from=monday": 400, "/v1/history?limit=x": 400} {
		if a := w.do("GET", path, "", w.auth("ann")...); a.status != status {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.body, status)
		}
	}
	if a := w.do("GET", "/v1/history", ""); a.status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", a.status)
	}
}

// TestCloseOfAnotherRegion goes through a gateway elsewhere to the session's home.
func TestCloseOfAnotherRegion(t *testing.T) {
	p := newPair(t)
	defer p.home.wait()
	defer p.wg.Wait()
	w := start(t, func(c *Config) { c.Abroad = p.dial }).web(t, "h2")
	w.do("POST", "/v1/sessions/us~far/turns", `{"id":"web:1","text":"hello"}`, w.auth("ann")...)
	if a := w.do("POST", "/v1/sessions/us~far/close?expect=1", "", w.auth("ann")...); a.status != http.StatusConflict {
		t.Errorf("close at another number: %d %s", a.status, a.body)
	}
	if a := w.do("POST", "/v1/sessions/us~far/close", "", w.auth("ann")...); a.status != http.StatusOK {
		t.Errorf("close: %d %s", a.status, a.body)
	}
	if a := w.do("GET", "/v1/sessions/us~far", "", w.auth("ann")...); !strings.Contains(string(a.body), `"closed":true`) {
		t.Errorf("session: %d %s", a.status, a.body)
	}
	if st, _ := p.home.look("us~far"); st.Phase != session.PhaseClosed || st.Subject != skein.Subject("ann") {
		t.Errorf("at home: %+v", st)
	}
}
