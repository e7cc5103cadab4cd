package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/skein-mesh/skein/inference"
)

// stream is one reply: an attempt, and a second one where the server turns out not to go on behind committed text.
// Close only cancels: the transport then drops the connection, and everything else belongs to the goroutine that
// calls Next.
type stream struct {
	engine *Engine
	req    inference.Request
	ctx    context.Context
	cancel context.CancelCauseFunc
	unhook func() bool

	attempt *attempt
	join    joiner
	mode    string // of the attempt; the first piece carries it
	told    bool   // the first piece was given, or none carries a mode
	err     error  // what Next returns from now on
	usage   inference.Usage
}

// open starts the first attempt, or the one in words where the server refuses to prefill.
func (s *stream) open() error {
	prefills, prompts := s.engine.traits()
	s.told = s.req.Committed == ""
	if s.told || prompts && !prefills {
		return s.ask(false)
	}
	err := s.ask(true)
	if !refusesShape(err) {
		return err
	}
	if err := s.ask(false); err != nil {
		return err
	}
	s.engine.notePrompts()
	return nil
}

// refusesShape reports whether a server may have refused the fields or the order of the messages, not the request.
// Servers answer 500 where a chat template does not allow the order.
func refusesShape(err error) bool {
	r, ok := errors.AsType[*refused](err)
	if !ok {
		return false
	}
	switch r.status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusNotImplemented:
		return true
	}
	return false
}

// ask starts an attempt.
func (s *stream) ask(prefill bool) error {
	a, err := s.engine.start(s.ctx, chatBody(s.engine.Model(), s.req, prefill))
	if err != nil {
		return s.engine.wrap(err)
	}
	prefills, _ := s.engine.traits()
	s.attempt, s.mode = a, inference.ModePrompted
	s.join = newJoiner(s.req.Committed, prefills && prefill)
	if prefill {
		s.mode = inference.ModePrefill
	}
	return nil
}

func (s *stream) Next() (inference.Piece, error) {
	for s.err == nil {
		text, err := s.read()
		switch err {
		case nil:
			text = s.join.feed(text)
		case io.EOF:
			text = s.join.end()
		}
		if s.join.verdict == diverged && (err == nil || err == io.EOF) {
			text, err = s.startedOver(err)
		}
		if err != nil {
			s.finish(err)
		}
		if text != "" {
			return s.piece(text), nil
		}
	}
	return inference.Piece{}, s.err
}

// read waits for the next text. What has arrived already is worth nothing once the stream is canceled.
func (s *stream) read() (string, error) {
	if s.engine.ctx.Err() != nil {
		return "", inference.ErrClosed
	}
	if cause := context.Cause(s.ctx); cause != nil {
		return "", cause
	}
	return s.attempt.next()
}

// startedOver handles a server that began the reply again with other words. It is asked in words, once; where it
// does the same again, its new text follows on a line of its own, since nothing that was committed is taken back.
func (s *stream) startedOver(end error) (string, error) {
	if s.mode == inference.ModePrefill {
		s.engine.notePrompts()
		s.leave()
		return "", s.ask(false)
	}
	s.join.verdict = goesOn
	if end != nil {
		return "", end
	}
	return "\n" + s.join.held, nil
}

func (s *stream) piece(text string) inference.Piece {
	p := inference.Piece{Text: text}
	if !s.told {
		s.told = true
		p.Mode = s.mode
		if s.join.verdict == repeated {
			p.Mode = inference.ModePrompted
		}
	}
	return p
}

// leave ends the attempt and keeps its count of tokens.
func (s *stream) leave() {
	s.usage.PromptTokens += s.attempt.usage.PromptTokens
	s.usage.CompletionTokens += s.attempt.usage.CompletionTokens
	s.usage.Truncated = s.attempt.usage.Truncated
	s.attempt.usage = inference.Usage{}
	s.attempt.close()
}

func (s *stream) finish(err error) {
	s.leave()
	s.err = err
	if err != io.EOF {
		s.err = s.engine.wrap(err)
	}
}

func (s *stream) Usage() inference.Usage { return s.usage }

func (s *stream) Close() error {
	s.unhook()
	s.cancel(context.Canceled)
	return nil
}

// wrap names the server, once.
func (e *Engine) wrap(err error) error {
	if _, ok := errors.AsType[*serverError](err); ok {
		return err
	}
	return &serverError{url: e.base.Redacted(), err: err}
}

// serverError says which server an error comes from.
type serverError struct {
	url string
	err error
}

func (e *serverError) Error() string { return fmt.Sprintf("model server %s: %v", e.url, e.err) }
func (e *serverError) Unwrap() error { return e.err }
