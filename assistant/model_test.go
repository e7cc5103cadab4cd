package assistant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/inference"
	"github.com/skein-mesh/skein/session"
)

// script is an engine that writes given pieces.
type script struct {
	pieces []inference.Piece
	err    error // behind the pieces; nil: the end
	got    inference.Request
	asked  int
	closed int
}

func (s *script) Load(context.Context, string) error { return nil }
func (s *script) Close() error                       { return nil }

func (s *script) Generate(_ context.Context, r inference.Request) (inference.Stream, error) {
	s.got, s.asked = r, s.asked+1
	return &scripted{s, 0}, r.Validate()
}

type scripted struct {
	*script
	next int
}

func (s *scripted) Usage() inference.Usage { return inference.Usage{} }
func (s *scripted) Close() error           { s.closed++; return nil }

func (s *scripted) Next() (inference.Piece, error) {
	if s.next < len(s.pieces) {
		s.next++
		return s.pieces[s.next-1], nil
	}
	if s.err != nil {
		return inference.Piece{}, s.err
	}
	return inference.Piece{}, io.EOF
}

func pieces(texts ...string) []inference.Piece {
	var out []inference.Piece
	for _, t := range texts {
		out = append(out, inference.Piece{Text: t})
	}
	return out
}

func TestModelAnswersTheRest(t *testing.T) {
	e := &script{pieces: pieces("It ", "depends.")}
	k := newTalk(t, mustShop(t).With(Deps{Engine: e}))
	k.in.History = []session.Turn{{Text: "hello", Reply: "Hi!"}}
	got := k.say("why is the sky blue over mountains")
	if got.Text != "It depends." || got.Source != "model" || fmt.Sprint(k.host.pieces) != "[It  depends.]" {
		t.Errorf("got %+v, pieces %q", got, k.host.pieces)
	}
	var roles []string
	for _, m := range e.got.Messages {
		roles = append(roles, string(m.Role)+":"+strings.Fields(m.Content)[0])
	}
	if want := "[system:You user:hello assistant:Hi! user:why]"; fmt.Sprint(roles) != want || e.closed != 1 {
		t.Errorf("got %v, want %s; closed %d", roles, want, e.closed)
	}
	if got := k.say("when are you open"); got.Source != "flow:hours" || e.asked != 1 {
		t.Errorf("got %+v after %d requests, want the flow without the model", got, e.asked)
	}
}

func TestModelGoesOnBehindCommitted(t *testing.T) {
	e := &script{pieces: []inference.Piece{{Text: " the air.", Mode: inference.ModePrefill}}}
	k := newTalk(t, mustShop(t).With(Deps{Engine: e}))
	k.in.Committed, k.in.Attempt = "Because of", 2
	got := k.say("why is the sky blue over mountains")
	if got.Text != "Because of the air." || e.got.Committed != "Because of" || fmt.Sprint(k.host.modes) != "[prefill]" {
		t.Errorf("got %q behind %q, modes %v", got.Text, e.got.Committed, k.host.modes)
	}
	// A definition that answers it by a flow meanwhile must not change what was begun.
	if got := k.say("when are you open"); got.Text != "Because of the air." || got.Source != "model" {
		t.Errorf("got %+v, want the model to go on", got)
	}
	k.a = mustShop(t)
	if _, err := k.try("when are you open"); err == nil || errors.Is(err, ErrFinal) {
		t.Errorf("got %v, want an error that asks for another node", err)
	}
}

func TestModelInsideFlow(t *testing.T) {
	const src = "assistant: {id: x, languages: [en]}\nintents: {ask: {en: [ask the model]}}\n" +
		"flows: {ask: {start: {intent: ask}, steps: [{say: 'One moment.'}, {answer: model}]}}\n"
	tests := []struct{ committed, engine, want string }{
		{"", "", "One moment.\nFine."},
		{"One mo", "", "One moment.\nFine."},
		{"One moment.\nFi", "Fi", "One moment.\nFiFine."},
		{"Other", "Other", "OtherFine."},
	}
	for _, tt := range tests {
		e := &script{pieces: pieces("Fine.")}
		k := newTalk(t, mustParse(t, src).With(Deps{Engine: e}))
		k.in.Committed = tt.committed
		got := k.say("ask the model")
		if got.Text != tt.want || e.got.Committed != tt.engine || tt.committed+strings.Join(k.host.pieces, "") != got.Text {
			t.Errorf("behind %q: got %q, the engine was given %q, pieces %q; want %q", tt.committed, got.Text, e.got.Committed, k.host.pieces, tt.want)
		}
	}
	k := newTalk(t, mustParse(t, src))
	if got := k.say("ask the model"); got.Text != "One moment.\nSorry, I can't help with that." {
		t.Errorf("without an engine: got %q", got.Text)
	}
}

func TestModelFaults(t *testing.T) {
	tests := []struct {
		name      string
		engine    script
		attempt   int
		committed string
		want      string // empty: an error that asks for another attempt
	}{
		{"down", script{err: inference.ErrSilent}, 1, "", ""},
		{"down for long", script{err: inference.ErrSilent}, 3, "", "Sorry, I can't"},
		{"cut", script{pieces: pieces("a"), err: inference.ErrCut}, 3, "", ""},
		{"cut later", script{err: inference.ErrCut}, 4, "abc", ""},
		{"refused", script{err: inference.ErrRefused}, 1, "", "Sorry, I can't"},
		{"refused later", script{err: inference.ErrRefused}, 2, "abc", "abc"},
		{"silent model", script{}, 1, "", "Sorry, I can't"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newTalk(t, mustShop(t).With(Deps{Engine: &tt.engine}))
			k.in.Attempt, k.in.Committed = max(1, k.in.Attempt), tt.committed
			for range tt.attempt - 1 {
				k.in.Attempt++
			}
			got, err := k.try("why is the sky blue over mountains")
			if (err != nil) != (tt.want == "") || errors.Is(err, ErrFinal) || !strings.HasPrefix(got.Text, tt.want) {
				t.Errorf("got %q, %v, want %q", got.Text, err, tt.want)
			}
		})
	}
}

func TestHostEndsModel(t *testing.T) {
	e := &script{pieces: pieces("a", "b", "c")}
	k := newTalk(t, mustShop(t).With(Deps{Engine: e}))
	k.host.deny, k.host.after = errHost, 1
	if _, err := k.try("why is the sky blue over mountains"); !errors.Is(err, errHost) || e.closed != 1 {
		t.Errorf("got %v with %d streams closed, want the host's error and 1", err, e.closed)
	}
}
