package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/skein-mesh/skein/inference"
)

// afterFinish is how long the rest of a stream (usage, the end mark) may take once the reply is whole.
const afterFinish = 2 * time.Second

// attempt is one HTTP request and its answer.
type attempt struct {
	engine *Engine
	ctx    context.Context
	cancel context.CancelCauseFunc
	quiet  *quiet
	body   io.ReadCloser
	events *sseDecoder
	whole  *completion // the answer of a server that does not stream; nil: events

	usage    inference.Usage
	finished bool // the server said that the reply is whole
}

// quiet cancels an attempt when one read takes longer than its limit. It does not run while nobody reads, so a slow
// consumer is not the server's silence.
type quiet struct {
	r     io.Reader
	limit time.Duration
	timer *time.Timer
}

func (q *quiet) Read(p []byte) (int, error) {
	q.timer.Reset(q.limit)
	n, err := q.r.Read(p)
	q.timer.Stop()
	return n, err
}

// start sends the request and waits for the head of the answer.
func (e *Engine) start(parent context.Context, body chatRequest) (*attempt, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", inference.ErrRefused, err)
	}
	a := &attempt{engine: e}
	a.ctx, a.cancel = context.WithCancelCause(parent)
	silent := fmt.Errorf("%w: nothing for %s", inference.ErrSilent, e.cfg.Timeout)
	a.quiet = &quiet{limit: e.cfg.Timeout, timer: time.AfterFunc(e.cfg.Timeout, func() { a.cancel(silent) })}
	if err := a.send(data); err != nil {
		err = a.reason(err)
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *attempt) send(data []byte) error {
	req, err := a.engine.request(a.ctx, http.MethodPost, "chat/completions", bytes.NewReader(data))
	if err != nil {
		return err
	}
	resp, err := a.engine.cfg.HTTP.Do(req)
	if err != nil {
		return err
	}
	a.quiet.timer.Stop()
	a.body, a.quiet.r = resp.Body, resp.Body
	resp.Body = io.NopCloser(a.quiet) // whoever reads the answer from here on is timed; close closes a.body
	if resp.StatusCode != http.StatusOK {
		return a.engine.refusal(resp)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch kind {
	case "text/event-stream", "text/plain", "": // the last two from servers that name no type, or guess it
		a.events = newSSE(a.quiet)
	case "application/json":
		a.whole = new(completion)
		if err := json.NewDecoder(io.LimitReader(a.quiet, maxStream)).Decode(a.whole); err != nil {
			return fmt.Errorf("answer that is neither a stream nor a completion: %w", err)
		}
	default:
		return fmt.Errorf("answer of type %.80q, want text/event-stream (is the base URL right?)", kind)
	}
	return nil
}

// next waits for the next text of the reply; io.EOF means that the reply is whole.
func (a *attempt) next() (string, error) {
	if a.whole != nil {
		return a.nextOfWhole()
	}
	for {
		ev, err := a.events.next()
		if err != nil {
			return "", a.ended(err)
		}
		if bytes.Equal(bytes.TrimSpace(ev.data), []byte("[DONE]")) {
			a.finished = true
			return "", io.EOF
		}
		var c completion
		if err := json.Unmarshal(ev.data, &c); err != nil {
			return "", fmt.Errorf("malformed chunk %.60q: %w", printable(string(ev.data)), err)
		}
		if ev.name == "error" || c.failed() {
			return "", a.engine.inStream(ev.data)
		}
		text := a.take(&c)
		if a.finished {
			a.quiet.limit = min(a.quiet.limit, afterFinish)
		}
		if text != "" {
			return text, nil
		}
	}
}

func (a *attempt) nextOfWhole() (string, error) {
	if a.finished {
		return "", io.EOF
	}
	if a.whole.failed() {
		return "", a.engine.inStream(fmt.Appendf(nil, `{"error":%s}`, a.whole.Error))
	}
	if len(a.whole.Choices) == 0 {
		return "", fmt.Errorf("answer without a choice: %w", inference.ErrCut)
	}
	text := a.take(a.whole)
	a.finished = true
	if text == "" {
		return "", io.EOF
	}
	return text, nil
}

// take reads the text, the end and the usage out of a chunk or a completion.
func (a *attempt) take(c *completion) string {
	if c.Usage != nil {
		a.usage.PromptTokens, a.usage.CompletionTokens = c.Usage.PromptTokens, c.Usage.CompletionTokens
	}
	text := ""
	for _, choice := range c.Choices {
		if choice.Index != 0 {
			continue
		}
		text += choice.Delta.Content + choice.Message.Content
		switch choice.FinishReason {
		case "":
		case "length", "content_filter":
			a.usage.Truncated = true
			a.finished = true
		default:
			a.finished = true
		}
	}
	return text
}

// ended explains the end of the stream. Once the reply is whole, how the connection ends does not matter, unless
// we ended it.
func (a *attempt) ended(err error) error {
	if cause := context.Cause(a.ctx); cause != nil && !(a.finished && errors.Is(cause, inference.ErrSilent)) {
		return cause
	}
	switch {
	case a.finished:
		return io.EOF
	case errors.Is(err, errTooLong):
		return err
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the server closed the stream before the end of the reply", inference.ErrCut)
	}
	return fmt.Errorf("%w: %w", inference.ErrCut, err)
}

// reason prefers why we canceled to what the canceled call says about it.
func (a *attempt) reason(err error) error {
	if cause := context.Cause(a.ctx); cause != nil {
		return cause
	}
	return err
}

// close gives the connection back where the reply is whole and the server has ended the answer, and breaks it
// otherwise, which is how the server learns that nobody listens any more.
func (a *attempt) close() {
	if a.body != nil && a.finished && a.ctx.Err() == nil {
		a.quiet.limit = 50 * time.Millisecond // for the end mark of the HTTP body; reuse is worth no more
		io.CopyN(io.Discard, a.quiet, 4096)
	}
	a.cancel(context.Canceled)
	a.quiet.timer.Stop()
	if a.body != nil {
		a.body.Close()
	}
}
