package turn

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Intervals between two commits of text: the next waits as long as the last one took, within these.
const (
	minInterval = 50 * time.Millisecond
	maxInterval = 500 * time.Millisecond
	renewEvery  = time.Duration(session.Lease) / 3
)

// Attempt is one run of the answerer. The turn is committed as accepted no later than the first piece or call,
// so an answer that needs neither costs one commit. Its methods may be used by one goroutine at a time.
type Attempt struct {
	run    *run
	ctx    context.Context
	cancel context.CancelCauseFunc
	number skein.Attempt
	base   *session.State // what the answerer was told
	turn   *session.Turn  // nil until accepted

	accepted bool
	stale    *session.State // the session moved on before the turn was accepted
	staleErr error

	mu        sync.Mutex // guards the fields below
	committed int        // bytes of the reply in the log
	text      strings.Builder
	mode      string

	more  chan struct{} // has one element when text grew
	quit  chan struct{}
	ended chan struct{}
}

func newAttempt(ctx context.Context, r *run, st *session.State) *Attempt {
	a := &Attempt{run: r, number: 1, base: st, more: make(chan struct{}, 1)}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	if r.key.attempt > 0 {
		a.number = r.key.attempt
		a.adopt(st)
	}
	return a
}

func (a *Attempt) question() Question {
	q := Question{
		Assistant: a.base.Assistant, Session: a.base.ID, Turn: a.run.msg.Turn, Attempt: a.number, Text: a.run.msg.Text,
		Memory: a.base.Memory, Now: time.Now(),
	}
	for _, t := range a.base.Turns {
		if t.Status == session.Completed {
			q.History = append(q.History, *t)
		}
	}
	if a.turn != nil {
		q.Committed, q.Calls = a.turn.Reply, slices.Clone(a.turn.Calls)
	}
	return q
}

// adopt goes on with a turn that the log has: the commits of its text start.
func (a *Attempt) adopt(st *session.State) {
	t, ok := st.Turn(a.run.msg.Turn)
	if !ok || t.Attempt != a.number || !t.Status.Open() {
		a.cancel(skein.Fault(skein.CodeFenced, "turn %s is no longer attempt %d", a.run.msg.Turn, a.number))
		t = &session.Turn{ID: a.run.msg.Turn}
	}
	a.turn, a.accepted, a.committed = t, true, len(t.Reply)
	a.text.WriteString(t.Reply)
	a.quit, a.ended = make(chan struct{}), make(chan struct{})
	a.run.settle(st, nil)
	go a.pump()
}

// accept commits the turn before its reply.
func (a *Attempt) accept() error {
	if a.accepted {
		return context.Cause(a.ctx)
	}
	if a.stale != nil {
		return a.staleErr
	}
	a.run.committing()
	res, err := a.run.desk.propose(a.ctx, a.command(a.acceptBody(nil)))
	if err == nil {
		err = res.Err
	}
	switch {
	case err == nil && !res.Duplicate, res.Duplicate && a.mine(res.State):
		a.adopt(res.State)
		return nil
	case res.State != nil && (err == nil || errors.Is(err, skein.ErrConflict) || errors.Is(err, skein.ErrTurnOpen)):
		if err == nil {
			err = skein.ErrConflict
		}
		a.stale, a.staleErr = res.State, err
	}
	a.cancel(err)
	return err
}

// mine reports whether a repeat is this run's own proposal, whose outcome was not known.
func (a *Attempt) mine(st *session.State) bool {
	t, ok := st.Turn(a.run.msg.Turn)
	return ok && t.Runner == a.run.desk.cfg.Self && t.Attempt == a.number && t.Status == session.Running
}

func (a *Attempt) acceptBody(reply *session.Reply) session.Accept {
	d, m := a.run.desk, a.run.msg
	return session.Accept{Turn: m.Turn, Subject: m.Subject, Text: m.Text, Runner: d.cfg.Self, Place: d.cfg.Place, Reply: reply}
}

func (a *Attempt) command(b session.Body) session.Command {
	c := session.Command{Session: a.base.ID, Body: b}
	if _, ok := b.(session.Accept); ok {
		c.Expect = a.base.Seq
	}
	return c
}

func (a *Attempt) here() session.Run { return session.Run{Turn: a.run.msg.Turn, Attempt: a.number} }

// Piece takes the next piece of the reply; it is committed, and shown, soon. mode is set on the first piece
// that goes on behind the text of an earlier attempt.
func (a *Attempt) Piece(_ context.Context, text, mode string) error {
	if err := a.accept(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.text.Len()+len(text) > session.MaxReply {
		return skein.Fault(skein.CodeTooLarge, "a reply has at most %d bytes", session.MaxReply)
	}
	a.text.WriteString(text)
	if mode != "" {
		a.mode = mode
	}
	select {
	case a.more <- struct{}{}:
	default:
	}
	return nil
}

// Call runs do. With an idempotency key the intent is committed before and the outcome behind it; a call whose
// outcome is in the log is answered from there. An intent without outcome runs again: a caller that may not
// repeat it looks at Question.Calls first.
func (a *Attempt) Call(ctx context.Context, call session.Call, do func(context.Context) (string, error)) (session.Call, error) {
	if err := a.accept(); err != nil {
		return call, err
	}
	if call.Key == "" {
		return outcome(ctx, call, do), context.Cause(a.ctx)
	}
	for _, old := range a.turn.Calls {
		if old.ID == call.ID && old.Done {
			return old, nil
		}
	}
	if _, err := a.commit(session.Intend{Run: a.here(), Call: call}); err != nil {
		return call, err
	}
	call = outcome(ctx, call, do)
	if err := context.Cause(a.ctx); err != nil {
		return call, err
	}
	_, err := a.commit(session.Outcome{Run: a.here(), Call: call})
	return call, err
}

func outcome(ctx context.Context, call session.Call, do func(context.Context) (string, error)) session.Call {
	result, err := do(ctx)
	call.Done, call.Result = true, result
	if err != nil {
		call.Result, call.Error = "", clip(err.Error(), session.MaxReason)
	}
	return call
}

// commit proposes b; when the log refuses, the attempt ends.
func (a *Attempt) commit(b session.Body) (*session.State, error) {
	res, err := a.run.desk.propose(a.ctx, a.command(b))
	if err == nil {
		err = res.Err
	}
	if err != nil {
		a.cancel(err)
		return nil, err
	}
	return res.State, nil
}

// stop ends the commits of text and waits for the one under way.
func (a *Attempt) stop() {
	if a.ended != nil {
		close(a.quit)
		<-a.ended
	}
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
