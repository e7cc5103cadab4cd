package inference_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/inference"
	"github.com/skein-mesh/skein/inference/inferencetest"
)

func TestFakeConforms(t *testing.T) {
	inferencetest.Run(t, inference.ModePrefill, func(*testing.T) inference.Engine {
		return inference.NewFake(inference.FakeConfig{})
	})
}

func TestFakeTextIsFixed(t *testing.T) {
	text, _, usage := inferencetest.Collect(t, inference.NewFake(inference.FakeConfig{Sentences: 1}), inference.Request{
		Messages: []inference.Message{{Role: inference.RoleUser, Content: "Where is my order?"}},
	})
	// Nodes of different builds go on behind each other's text, so the text is part of what the Fake promises.
	const want = "You asked: Where is my order. (1) Größe refund snow ☃ — café parcel."
	if text != want {
		t.Errorf("got %q, want %q", text, want)
	}
	if usage.CompletionTokens != 9 {
		t.Errorf("%d tokens, want 9", usage.CompletionTokens)
	}
}

func TestFakeBehindForeignText(t *testing.T) {
	req := inferencetest.Ask()
	req.Committed = "Something that it never wrote"
	text, mode, _ := inferencetest.Collect(t, inference.NewFake(inference.FakeConfig{}), req)
	if text == "" || mode != inference.ModePrompted {
		t.Errorf("got %q in mode %q, want some text in mode prompted", text, mode)
	}
}

func TestFakeFails(t *testing.T) {
	boom := errors.New("boom")
	s, err := inference.NewFake(inference.FakeConfig{FailAfter: 2, Fail: boom}).Generate(t.Context(), inferencetest.Ask())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 2 {
		if _, err := s.Next(); err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
	}
	if _, err := s.Next(); !errors.Is(err, boom) {
		t.Errorf("third piece: got %v, want boom", err)
	}
}

func TestFakeDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s, err := inference.NewFake(inference.FakeConfig{Delay: 100 * time.Millisecond}).Generate(t.Context(), inferencetest.Ask())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		n := 0
		for {
			if _, err := s.Next(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if got, want := time.Since(start), time.Duration(n)*100*time.Millisecond; got != want {
			t.Errorf("%d pieces took %s, want %s", n, got, want)
		}
	})
}
