package openai_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/inference"
	"github.com/skein-mesh/skein/inference/inferencetest"
	"github.com/skein-mesh/skein/inference/openai"
)

const key = "sk-very-secret"

// answer makes a server that answers every chat with status and body.
func answer(status int, header http.Header, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

// try reads a whole reply and gives its text and how it ended; nil is a whole reply.
func try(t *testing.T, e *openai.Engine, req inference.Request) (string, error) {
	t.Helper()
	s, err := e.Generate(t.Context(), req)
	if err != nil {
		return "", err
	}
	defer s.Close()
	var b strings.Builder
	for range 100_000 {
		p, err := s.Next()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		b.WriteString(p.Text)
	}
	t.Fatal("the stream has no end")
	return "", nil
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  int
		header  http.Header
		body    string
		code    skein.Code
		refused bool
		retry   time.Duration
		says    string
	}{
		{name: "busy", status: 429, header: http.Header{"Retry-After": {"7"}}, body: `{"error":{"message":"slow down"}}`,
			code: skein.CodeOverloaded, retry: 7 * time.Second, says: "slow down"},
		{name: "loading", status: 503, header: http.Header{"Retry-After": {"soon"}}, body: `{"error":{"message":"Loading model","code":503}}`,
			code: skein.CodeOverloaded, says: "Loading model"},
		{name: "a wait of years", status: 503, header: http.Header{"Retry-After": {"99999999"}}, body: ``,
			code: skein.CodeOverloaded, retry: time.Hour, says: "no explanation"},
		{name: "too long", status: 400, body: `{"error":{"message":"8192 tokens","code":"context_length_exceeded"}}`,
			code: skein.CodeTooLarge, refused: true, says: "8192 tokens"},
		{name: "a wrong key that is quoted", status: 401, body: `{"error":{"message":"Incorrect API key: ` + key + `"}}`,
			code: skein.CodeInternal, refused: true, says: "[key]"},
		{name: "old vLLM", status: 400, body: `{"object":"error","message":"bad\u0000 template"}`,
			code: skein.CodeInternal, refused: true, says: "bad template"},
		{name: "FastAPI", status: 404, body: `{"detail":"Not Found"}`, code: skein.CodeInternal, refused: true, says: "Not Found (is the base URL right?"},
		{name: "a word", status: 500, body: `{"error":"out of memory"}`, code: skein.CodeInternal, says: "out of memory"},
		{name: "a page", status: 502, body: "<h1>Bad\ngateway</h1>", code: skein.CodeInternal, says: "<h1>Bad gateway</h1>"},
		{name: "a redirect", status: 302, header: http.Header{"Location": {"http://192.0.2.1/"}}, code: skein.CodeInternal, refused: true, says: "302"},
		{name: "no end of words", status: 500, body: strings.Repeat("é", 1<<20), code: skein.CodeInternal, says: "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := open(t, answer(c.status, c.header, c.body), func(cfg *openai.Config) { cfg.Model, cfg.Key = "m", key })
			_, err := try(t, e, inferencetest.Ask())
			fault, ok := errors.AsType[*skein.Error](err)
			if !ok {
				t.Fatalf("got %v, want a *skein.Error", err)
			}
			if fault.Code != c.code || fault.RetryAfter != c.retry {
				t.Errorf("got %v after %s, want %v after %s", fault.Code, fault.RetryAfter, c.code, c.retry)
			}
			if got := errors.Is(err, inference.ErrRefused); got != c.refused {
				t.Errorf("refused: got %v, want %v (%v)", got, c.refused, err)
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), key) || len(err.Error()) > 1000 {
				t.Errorf("got %.2000q, want it short, with %q and without the key", err, c.says)
			}
		})
	}
}

func TestStreams(t *testing.T) {
	const one = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n"
	const stop = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	for _, c := range []struct {
		name, kind, body string
		text             string
		is               error  // errors.Is
		says             string // of any other error
	}{
		{name: "done", body: one + stop + "data: [DONE]\n\n", text: "one"},
		{name: "no end mark", body: one + stop, text: "one"},
		{name: "an end mark only", body: one + "data: [DONE]\n\n", text: "one"},
		{name: "no type", kind: "text/plain; charset=utf-8", body: one + stop, text: "one"},
		{name: "cut behind a piece", body: one, text: "one", is: inference.ErrCut},
		{name: "cut in a line", body: one + one[:20], text: "one", is: inference.ErrCut},
		{name: "cut before the blank line", body: one + strings.TrimSuffix(stop, "\n"), text: "one", is: inference.ErrCut},
		{name: "nothing", body: "", is: inference.ErrCut},
		{name: "null content", body: "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null},\"finish_reason\":null}]}\n\n" + one + stop, text: "one"},
		{name: "another choice", body: "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"two\"},\"finish_reason\":\"stop\"}]}\n\n" + one + stop, text: "one"},
		{name: "not JSON", body: one + "data: {\"choices\": oops\n\n", text: "one", says: "malformed chunk"},
		{name: "an array", body: "data: []\n\n", says: "malformed chunk"},
		{name: "an error in the stream", body: one + "data: {\"error\":{\"message\":\"CUDA out of memory\",\"code\":500}}\n\n", text: "one", says: "CUDA out of memory"},
		{name: "an error event", body: one + "event: error\ndata: {\"message\":\"gone\"}\n\n", text: "one", says: "gone"},
		{name: "an error for good", body: "data: {\"error\":{\"message\":\"no\",\"code\":\"400\"}}\n\n", is: inference.ErrRefused},
		{name: "busy in the stream", body: "data: {\"error\":{\"message\":\"no\",\"code\":429}}\n\n", is: skein.ErrOverloaded},
		{name: "no end of a line", body: "data: " + strings.Repeat("a", 2<<20), says: "over the limit"},
		{name: "a page", kind: "text/html", body: "<html>", says: "base URL"},
		{name: "no stream at all", kind: "application/json", body: `{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`, text: "whole"},
		{name: "an error with the wrong status", kind: "application/json", body: `{"error":{"message":"no slot","code":503}}`, is: skein.ErrOverloaded},
		{name: "no choice", kind: "application/json", body: `{}`, is: inference.ErrCut},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.kind == "" {
				c.kind = "text/event-stream"
			}
			e := open(t, answer(200, http.Header{"Content-Type": {c.kind}}, c.body), func(cfg *openai.Config) { cfg.Model = "m" })
			text, err := try(t, e, inferencetest.Ask())
			if text != c.text {
				t.Errorf("text %q, want %q", text, c.text)
			}
			switch {
			case c.is != nil && !errors.Is(err, c.is):
				t.Errorf("got %v, want %v", err, c.is)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want an error with %q", err, c.says)
			case c.is == nil && c.says == "" && err != nil:
				t.Errorf("got %v, want a whole reply", err)
			}
		})
	}
}

// gated streams a piece for each value that it receives, and says on gone when its client has left.
type gated struct {
	piece chan string
	gone  chan struct{}
}

func (g *gated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		http.NotFound(w, r)
		return
	}
	io.Copy(io.Discard, r.Body) // or the server does not notice that the client leaves
	w.Header().Set("Content-Type", "text/event-stream")
	w.(http.Flusher).Flush()
	defer close(g.gone)
	for {
		select {
		case text := <-g.piece:
			sendText(w, text)
		case <-r.Context().Done():
			return
		}
	}
}

func TestSilence(t *testing.T) {
	g := &gated{piece: make(chan string, 1), gone: make(chan struct{})}
	e := open(t, g, func(cfg *openai.Config) { cfg.Timeout = 150 * time.Millisecond })
	s, err := e.Generate(t.Context(), inferencetest.Ask())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	g.piece <- "one"
	if p, err := s.Next(); err != nil || p.Text != "one" {
		t.Fatalf("got %+v, %v", p, err)
	}
	if _, err := s.Next(); !errors.Is(err, inference.ErrSilent) {
		t.Errorf("got %v, want inference.ErrSilent", err)
	}
	<-g.gone
}

func TestSilentBeforeTheAnswer(t *testing.T) {
	gone := make(chan struct{})
	e := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		close(gone)
	}), func(cfg *openai.Config) { cfg.Model, cfg.Timeout = "m", 50*time.Millisecond })
	if _, err := try(t, e, inferencetest.Ask()); !errors.Is(err, inference.ErrSilent) {
		t.Errorf("got %v, want inference.ErrSilent", err)
	}
	<-gone
}

func TestCloseBreaksTheConnection(t *testing.T) {
	g := &gated{piece: make(chan string), gone: make(chan struct{})}
	e := open(t, g, nil)
	s, err := e.Generate(t.Context(), inferencetest.Ask())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := s.Next()
		ended <- err
	}()
	s.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the waiting call: got %v, want context.Canceled", err)
	}
	<-g.gone
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	e, err := openai.New(openai.Config{BaseURL: fmt.Sprintf("http://user:pass@%s/v1", l.Addr()), Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	_, err = try(t, e, inferencetest.Ask())
	if err == nil || errors.Is(err, inference.ErrRefused) || !strings.Contains(err.Error(), l.Addr().String()) || strings.Contains(err.Error(), "pass@") {
		t.Errorf("got %v, want an error that names the address, not the password, and may go away", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, u := range []string{"", "127.0.0.1:8000", "ftp://h/", "http://", "http://h/v1?x=1", "http://h:port/"} {
		if _, err := openai.New(openai.Config{BaseURL: u}); err == nil {
			t.Errorf("%q: taken, want an error", u)
		}
	}
	if _, err := openai.New(openai.Config{BaseURL: "http://h/v1", Key: "a\nb"}); err == nil {
		t.Error("a key of two lines: taken, want an error")
	}
}
