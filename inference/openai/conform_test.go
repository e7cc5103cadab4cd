package openai_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/inference"
	"github.com/skein-mesh/skein/inference/inferencetest"
	"github.com/skein-mesh/skein/inference/openai"
)

func TestConforms(t *testing.T) {
	for _, c := range []struct {
		name, owner string
		continuing  func(asked) (string, int)
		mode        string
	}{
		{"vLLM", "vllm", likeVLLM, inference.ModePrefill},
		{"llama.cpp", "llamacpp", likeLlama, inference.ModePrefill},
		{"one that does not say what it is", "me", likeVLLM, inference.ModePrefill},
		{"one that refuses unknown fields", "system", strict, inference.ModePrompted},
		{"one that starts over", "me", startsOver, inference.ModePrompted},
	} {
		t.Run(c.name, func(t *testing.T) {
			inferencetest.Run(t, c.mode, func(t *testing.T) inference.Engine {
				return open(t, newServer(c.owner, c.continuing), nil)
			})
		})
	}
}

func TestPrefillIsSentAsDocumented(t *testing.T) {
	srv := newServer("vllm", likeVLLM)
	e := open(t, srv, nil)
	req := inferencetest.Ask()
	inferencetest.Collect(t, e, req)
	req.Committed = "You asked"
	inferencetest.Collect(t, e, req)
	seen := srv.requests()
	if len(seen) != 2 {
		t.Fatalf("%d requests, want 2", len(seen))
	}
	if seen[0].Continue != nil || seen[0].Generate != nil {
		t.Error("the fields of a prefill were sent without committed text")
	}
	last := seen[1].Messages[len(seen[1].Messages)-1]
	if last.Role != inference.RoleAssistant || last.Content != "You asked" {
		t.Errorf("last message %+v, want the committed text as the assistant's", last)
	}
	if seen[1].Continue == nil || !*seen[1].Continue || seen[1].Generate == nil || *seen[1].Generate {
		t.Error("want continue_final_message true and add_generation_prompt false")
	}
}

func TestRefusalOfPrefillIsRemembered(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError} {
		srv := newServer("system", func(a asked) (string, int) {
			if _, code := strict(a); code != 0 {
				return "", status
			}
			return strict(a)
		})
		e := open(t, srv, nil)
		req := inferencetest.Ask()
		req.Committed = "You asked"
		for range 2 {
			if _, mode, _ := inferencetest.Collect(t, e, req); mode != inference.ModePrompted {
				t.Errorf("mode %q, want prompted", mode)
			}
		}
		if got := len(srv.requests()); got != 3 {
			t.Errorf("status %d: %d requests for two replies, want 3: the refused one, then two in words", status, got)
		}
	}
}

// parrot begins every reply to a prefill, and every reply in words where it never learns, with the same text.
func parrot(text string, learns bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a asked
		if r.Method == http.MethodGet || json.NewDecoder(r.Body).Decode(&a) != nil {
			http.NotFound(w, r)
			return
		}
		if a.Continue != nil || !learns {
			for piece := range strings.SplitAfterSeq(text, " ") {
				sendText(w, piece)
			}
		}
		sendText(w, "yesterday")
		io.WriteString(w, "data: [DONE]\n\n")
	})
}

func TestStartsOverWithOtherWords(t *testing.T) {
	req := inferencetest.Ask()
	req.Committed = "The parcel with your shoes left Milan and"
	t.Run("then follows the words", func(t *testing.T) {
		text, mode, _ := inferencetest.Collect(t, open(t, parrot("The parcel with your shoes left Rome at noon", true), nil), req)
		if text != "yesterday" || mode != inference.ModePrompted {
			t.Errorf("got %q in mode %q, want %q prompted", text, mode, "yesterday")
		}
	})
	t.Run("and again", func(t *testing.T) {
		text, mode, _ := inferencetest.Collect(t, open(t, parrot("The parcel with your shoes left Turin ", false), nil), req)
		if want := "\nThe parcel with your shoes left Turin yesterday"; text != want || mode != inference.ModePrompted {
			t.Errorf("got %q in mode %q, want %q prompted", text, mode, want)
		}
	})
}

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name, list, config, ask, want, fault string
	}{
		{name: "the first of the list", list: `{"data":[{"id":"a"},{"id":"b"}]}`, want: "a"},
		{name: "the configured one", list: `{"data":[{"id":"a"},{"id":"b"}]}`, config: "b", want: "b"},
		{name: "the one asked for", list: `{"data":[{"id":"a"},{"id":"b"}]}`, config: "a", ask: "b", want: "b"},
		{name: "the latest", list: `{"data":[{"id":"llama3:latest"}]}`, ask: "llama3", want: "llama3:latest"},
		{name: "not listed", list: `{"data":[{"id":"a"}]}`, ask: "c", fault: `no model "c"; it has "a"`},
		{name: "an empty list", list: `{"data":[]}`, fault: "no model loaded"},
		{name: "no list", ask: "c", want: "c"},
		{name: "no list and no name", want: "default"},
		{name: "not JSON", list: "<html>", fault: "base URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.list == "" || r.URL.Path != "/v1/models" {
					http.NotFound(w, r)
					return
				}
				w.Write([]byte(c.list))
			}), func(cfg *openai.Config) { cfg.Model = c.config })
			err := e.Load(t.Context(), c.ask)
			switch {
			case c.fault == "" && err != nil:
				t.Fatal(err)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Fatalf("got %v, want an error with %q", err, c.fault)
			case c.fault == "" && e.Model() != c.want:
				t.Errorf("model %q, want %q", e.Model(), c.want)
			}
		})
	}
}

func TestKeyIsSent(t *testing.T) {
	got := make(chan string, 1)
	e := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		io.WriteString(w, `{"data":[{"id":"a"}]}`)
	}), func(cfg *openai.Config) { cfg.Key = "sk-1\n" })
	if err := e.Load(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if auth := <-got; auth != "Bearer sk-1" {
		t.Errorf("Authorization %q, want the key without the file's newline", auth)
	}
}
