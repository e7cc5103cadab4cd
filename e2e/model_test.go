package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// story is what the model answers to a prompt: pieces words, so that every reply is known beforehand.
func story(prompt string, pieces int) string {
	var b strings.Builder
	for i := range pieces {
		fmt.Fprintf(&b, "%d_%s ", i+1, strings.ReplaceAll(prompt, " ", "_"))
	}
	return b.String()
}

const (
	storyPieces = 40
	pieceEvery  = 100 * time.Millisecond
)

type chatRequest struct {
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
	Stream bool `json:"stream"`
}

// slowModel is an OpenAI-compatible server that writes 40 pieces in 4 s, and goes on behind a trailing assistant
// message at the exact character.
func slowModel(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"slow","object":"model"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var ask chatRequest
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || !ask.Stream || len(ask.Messages) == 0 {
			http.Error(w, `{"error":{"message":"bad request"}}`, http.StatusBadRequest)
			return
		}
		prompt, have := "", ""
		for _, m := range ask.Messages {
			switch m.Role {
			case "user":
				prompt, have = m.Content, ""
			case "assistant":
				have = m.Content
			}
		}
		text := story(prompt, storyPieces)
		if !strings.HasPrefix(text, have) {
			http.Error(w, `{"error":{"message":"this is not what I said"}}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		stream(w, r, text[len(have):])
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL + "/v1"
}

// stream writes the text word by word.
func stream(w http.ResponseWriter, r *http.Request, text string) {
	flush := func(chunk any) {
		data, _ := json.Marshal(chunk)
		fmt.Fprintf(w, "data: %s\n\n", data)
		w.(http.Flusher).Flush()
	}
	type delta struct {
		Role    string `json:"role,omitempty"`
		Content string `json:"content"`
	}
	type choice struct {
		Index  int     `json:"index"`
		Delta  delta   `json:"delta"`
		Finish *string `json:"finish_reason"`
	}
	type chunk struct {
		ID      string   `json:"id"`
		Object  string   `json:"object"`
		Choices []choice `json:"choices"`
	}
	tick := time.NewTicker(pieceEvery)
	defer tick.Stop()
	for _, word := range strings.SplitAfter(text, " ") {
		if word == "" {
			continue
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
		flush(chunk{ID: "c1", Object: "chat.completion.chunk", Choices: []choice{{Delta: delta{Content: word}}}})
	}
	stop := "stop"
	flush(chunk{ID: "c1", Object: "chat.completion.chunk", Choices: []choice{{Finish: &stop}}})
	fmt.Fprint(w, "data: [DONE]\n\n")
}
