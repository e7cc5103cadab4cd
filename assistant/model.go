package assistant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/inference"
)

// modelAttempts is how many attempts a model has to begin a reply before the fallback is said instead.
const modelAttempts skein.Attempt = 3

var ownInstructions = map[string]string{
	english: "You are a helpful assistant. Answer briefly, in English. Say so when you do not know.",
	chinese: "你是一个乐于助人的助手。请用中文简短回答；不知道时请直说。",
}

// errNoModel: the reply was begun by a model and this node has none; another node may.
var errNoModel = errors.New("assistant: a model has begun this reply and there is none here")

// write lets the model write the reply, behind what the flow has said and what is committed.
func (t *turn) write(ctx context.Context) error {
	if t.a.deps.Engine == nil {
		if t.in.Committed != "" {
			return errNoModel
		}
		t.sorry()
		return nil
	}
	prefix := ""
	if t.wantModel && len(t.parts) > 0 {
		prefix = strings.Join(t.parts, "\n") + "\n"
	}
	req := inference.Request{Messages: t.prompt(), MaxTokens: t.a.def.model.maxTokens, Temperature: t.a.def.model.temperature}
	t.text = t.in.Committed
	switch rest, ok := strings.CutPrefix(prefix, t.in.Committed); {
	case ok && rest != "":
		if err := t.host.Piece(ctx, rest, ""); err != nil {
			return err
		}
		t.text = prefix
	case strings.HasPrefix(t.in.Committed, prefix):
		req.Committed = t.in.Committed[len(prefix):]
	default:
		req.Committed = t.in.Committed
	}
	err := t.stream(ctx, req)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if hosted, ok := errors.AsType[*hostError](err); ok {
		return hosted.err
	}
	if err == nil && t.text != "" {
		t.source = "model"
		return nil
	}
	return t.unwritten(err)
}

// unwritten decides what becomes of a reply that the model did not finish.
func (t *turn) unwritten(err error) error {
	refused := errors.Is(err, inference.ErrRefused)
	if err != nil {
		t.a.log().Warn("model failed", "session", string(t.in.Session), "attempt", t.in.Attempt, "err", err)
	}
	switch {
	case t.text == "" && (err == nil || refused || t.in.Attempt >= modelAttempts):
		t.parts = nil
		t.sorry()
	case refused:
		t.source = "model" // no attempt can go on; what the user has read stands
	default:
		return fmt.Errorf("model: %w", err)
	}
	return nil
}

func (t *turn) sorry() {
	t.from("fallback")
	t.say(t.a.def.sorry, sayFallback)
	t.text = strings.Join(t.parts, "\n")
}

// hostError tells a fault of the host from one of the engine.
type hostError struct{ err error }

func (e *hostError) Error() string { return e.err.Error() }

func (t *turn) stream(ctx context.Context, req inference.Request) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := t.a.deps.Engine.Generate(ctx, req)
	if err != nil {
		return err
	}
	defer s.Close()
	for len(t.text) < maxWritten {
		p, err := s.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.host.Piece(ctx, p.Text, p.Mode); err != nil {
			return &hostError{err}
		}
		t.text += p.Text
	}
	return nil
}

// prompt gives the messages: instructions, the newest turns that fit, and the message.
func (t *turn) prompt() []inference.Message {
	system := ownInstructions[t.lang]
	if t.a.def.instructions != nil {
		system = t.pick(t.a.def.instructions).render(t, nil, nil)
	}
	var turns []inference.Message
	size := 0
	for _, h := range slices.Backward(t.in.History) {
		if size += len(h.Text) + len(h.Reply); size > maxPrompt || h.Reply == "" {
			break
		}
		turns = append(turns,
			inference.Message{Role: inference.RoleAssistant, Content: strings.ToValidUTF8(h.Reply, "")},
			inference.Message{Role: inference.RoleUser, Content: strings.ToValidUTF8(h.Text, "")})
	}
	messages := []inference.Message{{Role: inference.RoleSystem, Content: system}}
	slices.Reverse(turns)
	messages = append(messages, turns...)
	return append(messages, inference.Message{Role: inference.RoleUser, Content: strings.ToValidUTF8(t.in.Text, "")})
}
