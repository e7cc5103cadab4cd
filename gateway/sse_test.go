package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/skein-mesh/skein"
)

// event is one server-sent event; a comment has only the name ":".
type event struct {
	name, id string
	data     map[string]any
}

// eventReader reads a stream of events, and holds the data of each against the document.
type eventReader struct {
	t   *testing.T
	in  *bufio.Scanner
	doc *openapi3.T
}

func (r *eventReader) next() (event, bool) {
	r.t.Helper()
	var e event
	for r.in.Scan() {
		key, value, _ := strings.Cut(r.in.Text(), ": ")
		switch key {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				r.t.Fatal(err)
			}
			schema := strings.ToUpper(e.name[:1]) + e.name[1:]
			if err := r.doc.Components.Schemas[schema].Value.VisitJSON(e.data); err != nil {
				r.t.Errorf("event %s %s: %v", e.name, value, err)
			}
		case "":
			if strings.HasPrefix(r.in.Text(), ":") {
				e.name = ":"
			}
			if e.name != "" {
				return e, true
			}
		}
	}
	return e, false
}

func (w *web) events(ctx context.Context, path, body string, header ...string) (*http.Response, *eventReader) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	header = append(append([]string{"Accept", "text/event-stream"}, w.auth("ann")...), header...)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { res.Body.Close() })
	doc := document(w.t)
	return res, &eventReader{t: w.t, in: bufio.NewScanner(res.Body), doc: doc}
}

func TestEvents(t *testing.T) {
	for _, proto := range []string{"h1", "h2", "h3"} {
		t.Run(proto, func(t *testing.T) {
			s := start(t, nil)
			w := s.web(t, proto)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			res, in := w.events(ctx, "/v1/sessions/e/turns", `{"id":"web:1","text":"hold these events"}`)
			if ct := res.Header.Get("Content-Type"); res.StatusCode != 200 || ct != "text/event-stream" {
				t.Fatalf("answered %d, %s", res.StatusCode, ct)
			}
			if e, _ := in.next(); e.name != "accepted" || e.id != "0" || e.data["turn"] != "web:1" {
				t.Errorf("got %v, want accepted", e)
			}
			first, _ := in.next()
			if first.name != "piece" || first.id != "4" || first.data["text"] != "you " {
				t.Errorf("got %v, want the first piece", first)
			}
			begun := time.Now()
			if e, _ := in.next(); e.name != ":" || time.Since(begun) > 5*time.Second {
				t.Errorf("got %v after %s, want a sign of life", e, time.Since(begun))
			}
			cancel() // the client goes away; the turn goes on

			s.free()
			s.fake.wait()
			_, in = w.events(t.Context(), "/v1/sessions/e/turns", `{"id":"web:1","text":"hold these events"}`, "Last-Event-ID", first.id)
			text, done := "", event{}
			for e, ok := in.next(); ok; e, ok = in.next() {
				switch e.name {
				case "piece":
					text += e.data["text"].(string)
				case "completed":
					done = e
				}
			}
			reply := "you said: hold these events"
			if text != reply[4:] || done.data["reply"] != reply || done.id != strconv.Itoa(len(reply)) {
				t.Errorf("resumed: pieces %q, completed %v", text, done)
			}
		})
	}
}

func TestEventsErrors(t *testing.T) {
	s := start(t, nil)
	w := s.web(t, "h2")
	res, _ := w.events(t.Context(), "/v1/sessions/e/turns?resume=true", `{"text":"x"}`)
	if res.StatusCode != http.StatusNotFound || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("an error before the first event: %d, %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	_, in := w.events(t.Context(), "/v1/sessions/e/turns", `{"id":"web:1","text":"die"}`)
	var last event
	for e, ok := in.next(); ok; e, ok = in.next() {
		last = e
	}
	fault, _ := last.data["error"].(map[string]any)
	if last.name != "error" || fault["number"] != float64(skein.CodeTurnDead) {
		t.Errorf("got %v, want the event error", last)
	}
}
