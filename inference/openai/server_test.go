package openai_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skein-mesh/skein/inference"
	"github.com/skein-mesh/skein/inference/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is what a server reads of a request; nil pointers are fields that were not sent.
type asked struct {
	Model    string
	Messages []inference.Message
	Stream   bool
	Options  struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens int   `json:"max_tokens"`
	Seed      int64 `json:"seed"`
	Continue  *bool `json:"continue_final_message"`
	Generate  *bool `json:"add_generation_prompt"`
}

// trailing gives the last message where it is the assistant's.
func (a asked) trailing() (string, bool) {
	last := a.Messages[len(a.Messages)-1]
	return last.Content, last.Role == inference.RoleAssistant
}

// server is a chat completions server over a Fake. Continuing says what it does with committed text: it gives
// the text behind which the Fake goes on, or an error status.
type server struct {
	fake       *inference.Fake
	owner      string
	continuing func(a asked) (committed string, status int)

	mu   sync.Mutex // guards seen
	seen []asked
}

func (s *server) requests() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]asked(nil), s.seen...)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/models":
		fmt.Fprintf(w, `{"object":"list","data":[{"id":"shoes-8b","object":"model","owned_by":%q}]}`, s.owner)
	case "POST /v1/chat/completions":
		s.chat(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *server) chat(w http.ResponseWriter, r *http.Request) {
	var a asked
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil || a.Model != "shoes-8b" || !a.Stream || !a.Options.IncludeUsage {
		http.Error(w, fmt.Sprintf("bad request %+v: %v", a, err), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, a)
	s.mu.Unlock()
	committed, status := s.continuing(a)
	if status != 0 {
		w.WriteHeader(status)
		fmt.Fprint(w, `{"error":{"message":"Unrecognized request argument supplied: continue_final_message","code":null}}`)
		return
	}
	st, err := s.fake.Generate(r.Context(), inference.Request{
		Messages: question(a.Messages), Committed: committed, MaxTokens: a.MaxTokens, Seed: a.Seed,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer st.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	finish := "stop"
	for {
		p, err := st.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
		sendText(w, p.Text)
	}
	usage := st.Usage()
	if usage.Truncated {
		finish = "length"
	}
	fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":%q}]}\n\n", finish)
	fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d}}\n\n", usage.PromptTokens, usage.CompletionTokens)
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// question drops what stands behind the first question: the fake answers that.
func question(all []inference.Message) []inference.Message {
	for i, m := range all {
		if m.Role == inference.RoleUser {
			return all[:i+1]
		}
	}
	return all
}

func sendText(w io.Writer, text string) {
	data, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{
		"index": 0, "delta": map[string]string{"content": text}, "finish_reason": nil,
	}}})
	fmt.Fprintf(w, ": keep-alive\r\ndata: %s\r\n\r\n", data)
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// The kinds of servers.

func likeVLLM(a asked) (string, int) {
	text, ok := a.trailing()
	if !ok || a.Continue == nil || !*a.Continue || a.Generate == nil || *a.Generate {
		return "", 0
	}
	return text, 0
}

func likeLlama(a asked) (string, int) {
	if text, ok := a.trailing(); ok {
		return text, 0
	}
	return "", 0
}

// strict refuses what it does not know, and understands words.
func strict(a asked) (string, int) {
	if a.Continue != nil || a.Generate != nil {
		return "", http.StatusBadRequest
	}
	if n := len(a.Messages); n > 2 && strings.Contains(a.Messages[n-1].Content, "cut off") {
		return a.Messages[n-2].Content, 0
	}
	return "", 0
}

// startsOver ignores everything behind the question.
func startsOver(asked) (string, int) { return "", 0 }

func open(t *testing.T, h http.Handler, change func(*openai.Config)) *openai.Engine {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	cfg := openai.Config{BaseURL: ts.URL + "/v1", Timeout: 10 * time.Second}
	if change != nil {
		change(&cfg)
	}
	e, err := openai.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func newServer(owner string, continuing func(asked) (string, int)) *server {
	return &server{fake: inference.NewFake(inference.FakeConfig{}), owner: owner, continuing: continuing}
}
