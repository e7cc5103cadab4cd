package turn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// run is one turn that this node answers.
type run struct {
	desk  *Desk
	key   runKey
	msg   session.Message
	known chan struct{} // closed when the log knows the turn, or never will from here

	ticket *ticket // of its admission; nil: it needed none

	// state and err are set before known is closed.
	state *session.State
	err   error
}

// begin starts a run, or gives the one that has the key.
func (d *Desk) begin(key runKey, m session.Message, st *session.State) (*run, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r, ok := d.runs[key]; ok {
		return r, nil
	}
	switch {
	case d.stopped || d.draining && key.attempt == 0:
		return nil, skein.Fault(skein.CodeDraining, "node %s takes no new turns", d.cfg.Self.Node)
	case len(d.runs) >= d.cfg.MaxRuns:
		f := skein.Fault(skein.CodeOverloaded, "node %s runs %d turns", d.cfg.Self.Node, len(d.runs))
		f.RetryAfter = time.Second
		return nil, f
	}
	r := &run{desk: d, key: key, msg: m, known: make(chan struct{})}
	if key.attempt == 0 {
		ticket, after := d.room.enter(time.Now())
		if ticket == nil {
			return nil, d.overloaded(after)
		}
		r.ticket = ticket
	}
	d.runs[key] = r
	d.crew.do(func() { r.work(st) })
	return r, nil
}

func (d *Desk) overloaded(after time.Duration) error {
	f := skein.Fault(skein.CodeOverloaded, "node %s has more turns than it can answer soon", d.cfg.Self.Node)
	f.RetryAfter = after
	return f
}

func (d *Desk) finish(r *run) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.runs, r.key)
	if len(d.runs) == 0 && d.idle != nil {
		close(d.idle)
		d.idle = nil
	}
}

// Adopt runs the attempt that the leader has given to this node: the open turn of a session whose state has
// reached seq. It returns when the run has begun; a turn that is no longer this node's is no error.
func (d *Desk) Adopt(ctx context.Context, id skein.SessionID, seq skein.Seq) error {
	after := seq
	if after > 0 {
		after--
	}
	st, err := d.cfg.Store.Read(ctx, id, after)
	if err != nil {
		return fmt.Errorf("adopt %s: %w", id, err)
	}
	st = d.remember(st) // a run that ended here knows more than a replica that lags
	t, ok := st.OpenTurn()
	if !ok || t.Status != session.Running || t.Runner != d.cfg.Self {
		return nil
	}
	m := session.Message{Session: id, Subject: st.Subject, Turn: t.ID, Text: t.Text}
	_, err = d.begin(runKey{session: id, turn: t.ID, attempt: t.Attempt}, m, st)
	return err
}

func (r *run) work(st *session.State) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.desk.ctx, maxRunTime)
	defer cancel()
	out := r.answer(ctx, st)
	r.desk.finish(r)
	r.settle(r.state, r.err)
	out.Took = time.Since(began)
	r.desk.cfg.Observe(out)
}

// committing notes that the turn has its answer, or its first piece, and goes to the log.
func (r *run) committing() {
	if r.ticket != nil {
		r.desk.room.commit(r.ticket, time.Now())
	}
}

// settle tells those who wait that the log knows the turn, or why it never will from here. Only the first counts.
func (r *run) settle(st *session.State, err error) {
	select {
	case <-r.known:
	default:
		r.state, r.err = st, err
		close(r.known)
		if r.ticket != nil {
			r.desk.room.leave(r.ticket, time.Now())
		}
	}
}

// answer runs the assistant until its reply is committed; a session that moved on meanwhile is asked again.
func (r *run) answer(ctx context.Context, st *session.State) Outcome {
	for range maxRetries {
		next, out, err := r.attempt(ctx, st)
		switch {
		case err == nil:
			return out
		case errors.Is(err, skein.ErrTurnOpen):
			if next, err = r.waitOpen(ctx, next); err != nil {
				r.settle(nil, err)
				return Outcome{Status: "refused"}
			}
		case !errors.Is(err, skein.ErrConflict):
			r.settle(nil, err)
			return out
		}
		if t, ok := next.Turn(r.msg.Turn); ok && r.key.attempt == 0 {
			if t.Text != r.msg.Text {
				err = skein.Fault(skein.CodeTurnConflict, "turn %s was sent with another text", t.ID)
				next = nil
			} else {
				err = nil
			}
			r.settle(next, err)
			return Outcome{Status: "refused"}
		}
		st = next
	}
	r.settle(nil, skein.Fault(skein.CodeOverloaded, "%s moved on %d times", r.msg.Session, maxRetries))
	return Outcome{Status: "refused"}
}

// waitOpen waits for the turn before this one to end.
func (r *run) waitOpen(ctx context.Context, st *session.State) (*session.State, error) {
	ctx, cancel := context.WithTimeout(ctx, waitOpen)
	defer cancel()
	for {
		open, ok := st.OpenTurn()
		if !ok {
			return st, nil
		}
		next, err := r.desk.cfg.Store.Read(ctx, st.ID, st.Seq)
		if ctx.Err() != nil {
			return nil, skein.Fault(skein.CodeTurnOpen, "turn %s is still %s", open.ID, open.Status)
		}
		if err != nil {
			return nil, err
		}
		st = r.desk.remember(next)
	}
}

// attempt asks the assistant once. The state given back is the newest known; err is a conflict when the
// assistant must be asked again with it.
func (r *run) attempt(ctx context.Context, st *session.State) (*session.State, Outcome, error) {
	a := newAttempt(ctx, r, st)
	ans, err := r.desk.cfg.Answerer.Answer(a.ctx, a.question(), a)
	a.stop()
	out := Outcome{Source: ans.Source, Attempt: a.number, Quick: !a.accepted}
	switch {
	case a.stale != nil:
		return a.stale, out, a.staleErr
	case a.accepted && context.Cause(a.ctx) != nil:
		return nil, r.ended(a, &out), nil
	case err != nil:
		return a.fail(err, out)
	case !a.accepted:
		return a.quick(ans, out)
	}
	return a.complete(ans, out)
}

// ended settles a running attempt that gave up. Fenced, or on a node that stops: another node goes on.
// Anything else is a failure.
func (r *run) ended(a *Attempt, out *Outcome) Outcome {
	cause := context.Cause(a.ctx)
	switch {
	case errors.Is(cause, skein.ErrFenced):
		out.Status = "fenced"
	case r.desk.ctx.Err() != nil:
		out.Status = "stopped"
	default:
		out.Status = "failed"
		a.giveUp(cause)
	}
	return *out
}
