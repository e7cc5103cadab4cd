package assistant

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// fakeHost keeps what a node would have in its log.
type fakeHost struct {
	pieces []string
	modes  []string
	calls  []session.Call
	done   map[string]session.Call
	deny   error // of every call and piece
	after  int   // pieces that are taken before deny
}

func (h *fakeHost) Piece(_ context.Context, text, mode string) error {
	if h.deny != nil && len(h.pieces) >= h.after {
		return h.deny
	}
	h.pieces = append(h.pieces, text)
	h.modes = append(h.modes, mode)
	return nil
}

func (h *fakeHost) Call(ctx context.Context, c session.Call, do func(context.Context) (string, error)) (session.Call, error) {
	if done, ok := h.done[c.ID]; ok {
		return done, nil
	}
	if h.deny != nil {
		return c, h.deny
	}
	h.calls = append(h.calls, c)
	result, err := do(ctx)
	if c.Done, c.Result = true, result; err != nil {
		c.Result, c.Error = "", err.Error()
	}
	return c, nil
}

// talk is one conversation with an assistant.
type talk struct {
	*testing.T
	a    *Assistant
	in   Input
	host *fakeHost
}

func newTalk(t *testing.T, a *Assistant) *talk {
	return &talk{T: t, a: a, host: &fakeHost{}, in: Input{Session: "eu~talk", Now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}}
}

func (k *talk) say(text string) Answer {
	k.Helper()
	got, err := k.try(text)
	if err != nil {
		k.Fatalf("answer %q: %v", text, err)
	}
	k.in.Memory = got.Memory
	return got
}

func (k *talk) try(text string) (Answer, error) {
	k.in.Text, k.in.Attempt = text, max(1, k.in.Attempt)
	k.in.Turn = skein.TurnID{Client: "c", Counter: k.in.Turn.Counter + 1}
	return k.a.Answer(k.Context(), k.in, k.host)
}

func mustParse(t *testing.T, src string) *Assistant {
	t.Helper()
	a, err := Parse("test.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustShop(t testing.TB) *Assistant {
	t.Helper()
	a, err := Shop()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var errHost = errors.New("the host is gone")
