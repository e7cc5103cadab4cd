// Package inferencetest holds what every inference.Engine must do. It runs against engines whose reply depends on
// the request alone.
package inferencetest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/skein-mesh/skein/inference"
)

// Ask is a request that engines under test answer with at least eight pieces.
func Ask() inference.Request {
	return inference.Request{
		Messages: []inference.Message{
			{Role: inference.RoleSystem, Content: "You work in a shoe shop."},
			{Role: inference.RoleUser, Content: "那款鞋还有39码吗？ And where is SO10021?"},
		},
		Seed: 7,
	}
}

// Run checks the engine that open makes, a fresh one for each test. Wanted is the mode in which it goes on behind
// committed text: inference.ModePrefill or inference.ModePrompted.
func Run(t *testing.T, wanted string, open func(t *testing.T) inference.Engine) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, e inference.Engine)
	}{
		{"a whole reply", wholeReply},
		{"goes on behind every cut", func(t *testing.T, e inference.Engine) { goesOn(t, e, wanted) }},
		{"a limit of tokens", limitOfTokens},
		{"close cancels", closeCancels},
		{"the context cancels", contextCancels},
		{"many streams at once", manyStreams},
		{"bad requests", badRequests},
		{"a closed engine", closedEngine},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := open(t)
			t.Cleanup(func() {
				if err := e.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			c.run(t, e)
		})
	}
}

// Collect reads a stream to its end and closes it: the text, the mode of the first piece, the usage.
func Collect(t testing.TB, e inference.Engine, req inference.Request) (text, mode string, usage inference.Usage) {
	t.Helper()
	s, err := e.Generate(t.Context(), req)
	if err != nil {
		t.Fatalf("generate: %v", err)
	}
	defer s.Close()
	var b strings.Builder
	for i := 0; ; i++ {
		p, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
		if p.Text == "" || !utf8.ValidString(p.Text) {
			t.Errorf("piece %d is %q, want UTF-8 that is not empty", i, p.Text)
		}
		if i == 0 {
			mode = p.Mode
		} else if p.Mode != "" {
			t.Errorf("piece %d has mode %q, want a mode on the first one only", i, p.Mode)
		}
		b.WriteString(p.Text)
	}
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("next behind the end: got %v, want io.EOF again", err)
	}
	return b.String(), mode, s.Usage()
}

func wholeReply(t *testing.T, e inference.Engine) {
	if err := e.Load(t.Context(), ""); err != nil {
		t.Fatalf("load: %v", err)
	}
	first, mode, usage := Collect(t, e, Ask())
	if mode != "" {
		t.Errorf("mode %q without committed text, want none", mode)
	}
	if usage.PromptTokens < 1 || usage.CompletionTokens < 8 || usage.Truncated {
		t.Errorf("usage %+v, want both counts and no truncation", usage)
	}
	if second, _, _ := Collect(t, e, Ask()); second != first {
		t.Errorf("the same request again:\ngot  %q\nwant %q", second, first)
	}
	if e.Load(t.Context(), "") != nil {
		t.Error("a second load is refused")
	}
}

func goesOn(t *testing.T, e inference.Engine, wanted string) {
	whole, _, _ := Collect(t, e, Ask())
	for _, at := range cuts(whole) {
		req := Ask()
		req.Committed = whole[:at]
		rest, mode, _ := Collect(t, e, req)
		if req.Committed+rest != whole {
			t.Errorf("committed %q:\ngot  %q\nwant %q", req.Committed, rest, whole[at:])
		}
		if rest != "" && mode != wanted {
			t.Errorf("committed %d bytes: mode %q, want %q", at, mode, wanted)
		}
	}
}

// cuts gives about a dozen places between two characters of s, and its end. The first few characters are left out:
// that short, a repeat cannot be told from a coincidence.
func cuts(s string) []int {
	step := max(1, utf8.RuneCountInString(s)/12)
	var at []int
	n := 0
	for i := range s {
		if n >= 4 && n%step == 0 {
			at = append(at, i)
		}
		n++
	}
	return append(at, len(s))
}

func limitOfTokens(t *testing.T, e inference.Engine) {
	whole, _, _ := Collect(t, e, Ask())
	req := Ask()
	req.MaxTokens = 3
	text, _, usage := Collect(t, e, req)
	if text == "" || len(text) >= len(whole) || !strings.HasPrefix(whole, text) {
		t.Errorf("three tokens: got %q, want the beginning of %q", text, whole)
	}
	if !usage.Truncated {
		t.Errorf("usage %+v, want it truncated", usage)
	}
}

func closeCancels(t *testing.T, e inference.Engine) {
	s, err := e.Generate(t.Context(), Ask())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if _, err := s.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("next after close: got %v, want context.Canceled", err)
	}
}

func contextCancels(t *testing.T, e inference.Engine) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := e.Generate(ctx, Ask())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := s.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("next after the context ended: got %v, want context.Canceled", err)
	}
	late, err := e.Generate(ctx, Ask())
	if err == nil {
		defer late.Close()
		_, err = late.Next()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("generate under a context that has ended: got %v, want context.Canceled", err)
	}
}

func manyStreams(t *testing.T, e inference.Engine) {
	want := make([]string, 4)
	for i := range want {
		want[i], _, _ = Collect(t, e, seeded(i))
	}
	var wg sync.WaitGroup
	for i := range want {
		wg.Go(func() {
			s, err := e.Generate(t.Context(), seeded(i))
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			var b strings.Builder
			for {
				p, err := s.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Error(err)
					return
				}
				b.WriteString(p.Text)
			}
			if b.String() != want[i] {
				t.Errorf("stream %d: got %q, want %q", i, b.String(), want[i])
			}
		})
	}
	wg.Wait()
}

func seeded(i int) inference.Request {
	req := Ask()
	req.Seed = int64(i + 1)
	return req
}

func badRequests(t *testing.T, e inference.Engine) {
	user := inference.Message{Role: inference.RoleUser, Content: "hello"}
	for name, req := range map[string]inference.Request{
		"no message":          {},
		"a reply comes last":  {Messages: []inference.Message{user, {Role: inference.RoleAssistant, Content: "hi"}}},
		"an unknown role":     {Messages: []inference.Message{{Role: "tool"}, user}},
		"broken characters":   {Messages: []inference.Message{user}, Committed: "\xff"},
		"negative tokens":     {Messages: []inference.Message{user}, MaxTokens: -1},
		"too hot":             {Messages: []inference.Message{user}, Temperature: 3},
		"more than any model": {Messages: []inference.Message{{Role: inference.RoleUser, Content: strings.Repeat("a", 5<<20)}}},
	} {
		if s, err := e.Generate(t.Context(), req); !errors.Is(err, inference.ErrRefused) {
			t.Errorf("%s: got %v, want inference.ErrRefused", name, err)
			if err == nil {
				s.Close()
			}
		}
	}
}

func closedEngine(t *testing.T, e inference.Engine) {
	s, err := e.Generate(t.Context(), Ask())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Generate(t.Context(), Ask()); !errors.Is(err, inference.ErrClosed) {
		t.Errorf("generate: got %v, want inference.ErrClosed", err)
	}
	if err := e.Load(t.Context(), ""); !errors.Is(err, inference.ErrClosed) {
		t.Errorf("load: got %v, want inference.ErrClosed", err)
	}
	for range 10_000 {
		if _, err = s.Next(); err != nil {
			break
		}
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, inference.ErrClosed) {
		t.Errorf("a stream of the closed engine: got %v, want it canceled", err)
	}
}
