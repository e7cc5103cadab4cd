package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/quic-go/quic-go/http3"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// document is docs/openapi.yaml.
func document(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// routeOf finds the documented operation of a request, nil when there is none.
func routeOf(doc *openapi3.T, method, path string) *routers.Route {
	parts := strings.Split(path, "/")
	if len(parts) > 3 {
		parts[3] = "{id}"
	}
	template := strings.Join(parts, "/")
	item := doc.Paths.Value(template)
	if item == nil || item.GetOperation(method) == nil {
		return nil
	}
	return &routers.Route{Spec: doc, Path: template, PathItem: item, Method: method, Operation: item.GetOperation(method)}
}

// web is a client that holds every answer against the document.
type web struct {
	t      *testing.T
	s      *server
	client *http.Client
	doc    *openapi3.T
	base   string
}

func (s *server) web(t *testing.T, proto string) *web {
	t.Helper()
	w := &web{t: t, s: s, doc: document(t)}
	conf := &tls.Config{RootCAs: s.roots, ServerName: service}
	switch proto {
	case "h3":
		tr := &http3.Transport{TLSClientConfig: conf}
		t.Cleanup(func() { tr.Close() })
		w.client, w.base = &http.Client{Transport: tr}, "https://"+s.h3.String()
	default:
		tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: proto == "h2"}
		t.Cleanup(tr.CloseIdleConnections)
		w.client, w.base = &http.Client{Transport: tr}, "https://"+s.https.String()
	}
	w.client.Timeout = 20 * time.Second
	return w
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
	proto  int
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("body %s: %v", a.body, err)
	}
}

// do sends a request; header is pairs of name and value.
func (w *web) do(method, path, body string, header ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: data, proto: res.ProtoMajor}
	w.check(method, path, a)
	return a
}

// check holds an answer against the document: its route, status, headers and body.
func (w *web) check(method, path string, a answer) {
	w.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	asked := method
	if a.status == http.StatusMethodNotAllowed {
		asked = a.header.Get("Allow") // documented where the route's own method is
	}
	req, _ := http.NewRequest(asked, "https://"+service+path, nil)
	route := routeOf(w.doc, asked, path)
	if route == nil {
		if a.status != http.StatusNotFound && a.status != http.StatusUnauthorized {
			w.t.Errorf("%s %s: answered %d, which is not documented", method, path, a.status)
		}
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route},
		Status:                 a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: a.header.Get("Content-Type") == "text/event-stream"},
	}
	in.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
		w.t.Errorf("%s %s: %d %s: %v", method, path, a.status, a.body, err)
	}
	if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("%s %s: headers %v", method, path, a.header)
	}
}

func (w *web) auth(subject string) []string {
	return []string{"Authorization", "Bearer " + w.s.token(w.t, subject), "Content-Type", "application/json"}
}

func TestHTTPConversation(t *testing.T) {
	for proto, major := range map[string]int{"h1": 1, "h2": 2, "h3": 3} {
		t.Run(proto, func(t *testing.T) {
			s := start(t, nil)
			w := s.web(t, proto)
			a := w.do("POST", "/v1/sessions/first/turns", `{"id":"web:1","text":"good morning"}`, w.auth("ann")...)
			if a.status != http.StatusOK || a.proto != major {
				t.Fatalf("answered %d over HTTP/%d: %s", a.status, a.proto, a.body)
			}
			var done completedJSON
			a.into(t, &done)
			want := completedJSON{
				Session: "eu~first", Turn: "web:1", Node: "eu-1", Region: "eu", Zone: "a", Via: "eu-1",
				Reply: "you said: good morning", Attempts: 1, Source: "flow:echo", Seq: done.Seq,
			}
			if done != want {
				t.Errorf("completed %+v, want %+v", done, want)
			}
			var st sessionJSON
			w.do("GET", "/v1/sessions/eu~first", "", w.auth("ann")...).into(t, &st)
			if st.Seq != done.Seq || len(st.Turns) != 1 || st.Turns[0].Reply != want.Reply || st.Assistant != "shop" {
				t.Errorf("session %+v", st)
			}
			var h historyJSON
			w.do("GET", "/v1/sessions/first/history?limit=2", "", w.auth("ann")...).into(t, &h)
			if len(h.Events) != 2 || h.Events[1].Text != "good morning" || h.Next != h.Events[1].Seq {
				t.Errorf("history %+v", h)
			}
			w.do("GET", "/v1/sessions/first/history?after=2", "", w.auth("ann")...).into(t, &h)
		})
	}
}

func TestHTTPIdempotency(t *testing.T) {
	s := start(t, nil)
	w := s.web(t, "h2")
	post := func(body string, header ...string) (a answer, c completedJSON) {
		t.Helper()
		a = w.do("POST", "/v1/sessions/k/turns", body, append(w.auth("ann"), header...)...)
		if a.status == http.StatusOK {
			a.into(t, &c)
		}
		return a, c
	}
	_, one := post(`{"text":"a"}`, "Idempotency-Key", "order 17")
	_, two := post(`{"text":"a"}`, "Idempotency-Key", "order 17")
	if one.Turn != two.Turn || one.Seq != two.Seq || !strings.HasPrefix(one.Turn, session.KeyedPrefix) {
		t.Errorf("one key gave turns %s and %s", one.Turn, two.Turn)
	}
	if a, _ := post(`{"text":"b"}`, "Idempotency-Key", "order 17"); a.status != http.StatusConflict {
		t.Errorf("another text under the same key: %d", a.status)
	}
	_, three := post(`{"text":"a"}`)
	_, four := post(`{"text":"a"}`)
	if three.Turn == four.Turn || three.Turn == one.Turn || !strings.HasPrefix(three.Turn, session.KeyedPrefix) {
		t.Errorf("without id: turns %s and %s", three.Turn, four.Turn)
	}
}

func TestHTTPRefusals(t *testing.T) {
	s := start(t, nil)
	w := s.web(t, "h2")
	ann := w.auth("ann")
	w.do("POST", "/v1/sessions/mine/turns", `{"id":"web:1","text":"hello"}`, ann...)
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	expired := s.tokenUntil(t, "ann", time.Now().Add(-time.Hour))
	for _, tt := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		code                     skein.Code
	}{
		{"no token", "GET", "/v1/sessions/mine", "", nil, 401, skein.CodeUnauthenticated},
		{"no token, no route", "GET", "/secret", "", nil, 401, skein.CodeUnauthenticated},
		{"no token, unclean path", "GET", "//v1/../x", "", nil, 401, skein.CodeUnauthenticated},
		{"token in the query", "GET", "/v1/sessions/mine?access_token=" + s.token(t, "ann"), "", nil, 401, skein.CodeUnauthenticated},
		{"token as protocol without upgrade", "GET", "/v1/sessions/mine", "", []string{"Sec-WebSocket-Protocol", "bearer, " + s.token(t, "ann")}, 401, skein.CodeUnauthenticated},
		{"basic", "GET", "/v1/sessions/mine", "", []string{"Authorization", "Basic YTpi"}, 401, skein.CodeUnauthenticated},
		{"foreign key", "GET", "/v1/sessions/mine", "", bearer(newKeys(t).token(t, "ann")), 401, skein.CodeUnauthenticated},
		{"expired", "POST", "/v1/sessions/mine/turns", `{"text":"x"}`, bearer(expired), 401, skein.CodeTokenExpired},
		{"other subject", "GET", "/v1/sessions/mine", "", w.auth("bob"), 403, skein.CodeForbidden},
		{"other subject's turn", "POST", "/v1/sessions/mine/turns", `{"text":"x"}`, w.auth("bob"), 403, skein.CodeForbidden},
		{"other subject's history", "GET", "/v1/sessions/mine/history", "", w.auth("bob"), 403, skein.CodeForbidden},
		{"no route", "GET", "/v2", "", ann, 404, skein.CodeMalformed},
		{"method", "DELETE", "/v1/sessions/mine", "", ann, 405, skein.CodeMalformed},
		{"method of turns", "GET", "/v1/sessions/mine/turns", "", ann, 405, skein.CodeMalformed},
		{"unknown session", "GET", "/v1/sessions/none", "", ann, 404, skein.CodeUnknownSession},
		{"unknown history", "GET", "/v1/sessions/none/history", "", ann, 404, skein.CodeUnknownSession},
		{"resume only", "POST", "/v1/sessions/none/turns?resume=true", `{"text":"x"}`, ann, 404, skein.CodeUnknownSession},
		{"unknown assistant", "POST", "/v1/sessions/new/turns?assistant=nobody", `{"text":"x"}`, ann, 404, skein.CodeUnknownAssistant},
		{"bad assistant", "POST", "/v1/sessions/new/turns?assistant=a/b", `{"text":"x"}`, ann, 400, skein.CodeMalformed},
		{"bad session", "GET", "/v1/sessions/a%20b", "", ann, 400, skein.CodeMalformed},
		{"bad limit", "GET", "/v1/sessions/mine/history?limit=-1", "", ann, 400, skein.CodeMalformed},
		{"limit too high", "GET", "/v1/sessions/mine/history?limit=501", "", ann, 400, skein.CodeMalformed},
		{"conflict", "POST", "/v1/sessions/mine/turns", `{"id":"web:1","text":"other"}`, ann, 409, skein.CodeTurnConflict},
		{"dead", "POST", "/v1/sessions/dies/turns", `{"id":"web:1","text":"die"}`, ann, 422, skein.CodeTurnDead},
		{"no json", "POST", "/v1/sessions/mine/turns", `hello`, ann, 400, skein.CodeMalformed},
		{"empty body", "POST", "/v1/sessions/mine/turns", ``, ann, 400, skein.CodeMalformed},
		{"unknown field", "POST", "/v1/sessions/mine/turns", `{"text":"x","txet":"y"}`, ann, 400, skein.CodeMalformed},
		{"two objects", "POST", "/v1/sessions/mine/turns", `{"text":"x"}{}`, ann, 400, skein.CodeMalformed},
		{"no text", "POST", "/v1/sessions/mine/turns", `{"id":"web:2"}`, ann, 400, skein.CodeMalformed},
		{"bad id", "POST", "/v1/sessions/mine/turns", `{"id":"web","text":"x"}`, ann, 400, skein.CodeMalformed},
		{"bad key", "POST", "/v1/sessions/mine/turns", `{"text":"x"}`, append([]string{"Idempotency-Key", strings.Repeat("k", 256)}, ann...), 400, skein.CodeMalformed},
		{"bad event id", "POST", "/v1/sessions/mine/turns", `{"text":"x"}`, append([]string{"Last-Event-ID", "last"}, ann...), 400, skein.CodeMalformed},
		{"form", "POST", "/v1/sessions/mine/turns", `text=x`, append(bearer(s.token(t, "ann")), "Content-Type", "application/x-www-form-urlencoded"), 415, skein.CodeMalformed},
		{"long text", "POST", "/v1/sessions/mine/turns", `{"text":"` + strings.Repeat("x", session.MaxText+1) + `"}`, ann, 413, skein.CodeTooLarge},
		{"long body", "POST", "/v1/sessions/mine/turns", `{"text":"` + strings.Repeat("x", maxBody) + `"}`, ann, 413, skein.CodeTooLarge},
		{"home unreachable", "POST", "/v1/sessions/us~x/turns", `{"text":"x"}`, ann, 503, skein.CodeHomeUnreachable},
		{"socket without upgrade", "GET", "/v1/sessions/mine/ws", "", ann, 426, skein.CodeMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sub := *w
			sub.t = t
			a := sub.do(tt.method, tt.path, tt.body, tt.header...)
			var e errorJSON
			a.into(t, &e)
			if a.status != tt.status || e.Error.Number != uint16(tt.code) || e.Error.Code != tt.code.String() {
				t.Errorf("got %d %s, want %d %s", a.status, a.body, tt.status, tt.code)
			}
		})
	}
	if s.count("skein_gateway_errors_total") == 0 || s.count("skein_gateway_refused_frames_total") == 0 {
		t.Error("errors are not counted")
	}
}

func TestTCPConnectionsAreLimited(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.Connections = 1 })
	w := s.web(t, "h1")
	w.do("GET", "/v1/sessions/x", "", w.auth("ann")...) // its connection stays open
	conn, err := tls.Dial("tcp", s.https.String(), &tls.Config{RootCAs: s.roots, ServerName: service})
	if err == nil {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	if timeout, ok := err.(net.Error); err == nil || ok && timeout.Timeout() {
		t.Errorf("a second connection was served: %v", err)
	}
}

func TestHTTPRateLimitAndDrain(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits = Limits{TurnsPerSecond: 0.5, Burst: 1}; c.AltSvc = 8443 })
	w := s.web(t, "h1")
	a := w.do("POST", "/v1/sessions/r/turns", `{"text":"a"}`, w.auth("ann")...)
	if got := a.header.Get("Alt-Svc"); got != `h3=":8443"; ma=3600` {
		t.Errorf("Alt-Svc %q", got)
	}
	a = w.do("POST", "/v1/sessions/r/turns", `{"text":"a"}`, w.auth("ann")...)
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "2" {
		t.Errorf("over the rate: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	s.g.SetDraining(true)
	a = w.do("POST", "/v1/sessions/r/turns", `{"text":"a"}`, w.auth("bob")...)
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("draining: %d", a.status)
	}
	if err := s.g.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.https.String()); err == nil {
		t.Error("a drained gateway still listens")
	}
}

// Over HTTP/3 a drained node lets the request that runs finish.
func TestHTTP3Drain(t *testing.T) {
	s := start(t, nil)
	w := s.web(t, "h3")
	got := make(chan answer)
	go func() {
		got <- w.do("POST", "/v1/sessions/d/turns", `{"id":"web:1","text":"hold on"}`, w.auth("ann")...)
	}()
	for st, changed := s.fake.look("eu~d"); st == nil || len(st.Turns) == 0 || st.Turns[0].Reply == ""; st, changed = s.fake.look("eu~d") {
		<-changed
	}
	drained := make(chan error)
	go func() { drained <- s.g.Drain(t.Context()) }()
	for !s.g.isDraining() {
		_, changed := s.g.drainState()
		<-changed
	}
	s.free()
	if a := <-got; a.status != http.StatusOK {
		t.Errorf("the running request: %d %s", a.status, a.body)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestHTTPForwarded(t *testing.T) {
	p := newPair(t)
	defer p.home.wait()
	defer p.wg.Wait()
	s := start(t, func(c *Config) { c.Abroad = p.dial })
	w := s.web(t, "h2")
	var done completedJSON
	w.do("POST", "/v1/sessions/us~w/turns", `{"id":"web:1","text":"hi"}`, w.auth("ann")...).into(t, &done)
	if done.Node != "us-1" || done.Via != "eu-1" || done.Session != "us~w" || done.Reply != "you said: hi" {
		t.Errorf("completed %+v", done)
	}
	var st sessionJSON
	w.do("GET", "/v1/sessions/us~w", "", w.auth("ann")...).into(t, &st)
	if st.Home != "us" || st.Via != "eu-1" || len(st.Turns) != 1 || st.Turns[0].Reply != "you said: hi" || st.Turns[0].Status != "completed" {
		t.Errorf("session %+v", st)
	}
	var h historyJSON
	w.do("GET", "/v1/sessions/us~w/history", "", w.auth("ann")...).into(t, &h)
	if len(h.Events) != 3 || h.Events[2].Kind != "completed" {
		t.Errorf("history %+v", h)
	}
	if a := w.do("GET", "/v1/sessions/us~w", "", w.auth("bob")...); a.status != http.StatusForbidden {
		t.Errorf("another subject: %d", a.status)
	}
}

// Every route of the document exists, and nothing in it is open.
func TestOpenAPIRoutes(t *testing.T) {
	s := start(t, nil)
	w := s.web(t, "h2")
	doc := document(t)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			url := strings.ReplaceAll(path, "{id}", "x")
			if a := w.do(method, url, ""); a.status != http.StatusUnauthorized {
				t.Errorf("%s %s without token: %d", method, path, a.status)
			}
			if a := w.do(method, url, "", w.auth("ann")...); a.status == http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s is not served", method, path, op.OperationID)
			}
		}
	}
}
