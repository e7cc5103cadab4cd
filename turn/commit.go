package turn

import (
	"context"
	"errors"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// pump commits the text as it grows, and renews the lease while it does not.
func (a *Attempt) pump() {
	defer close(a.ended)
	renew := time.NewTimer(renewEvery)
	defer renew.Stop()
	for {
		select {
		case <-a.more:
			began := time.Now()
			if a.flush() != nil {
				return
			}
			renew.Reset(renewEvery)
			if !a.rest(min(max(time.Since(began), minInterval), maxInterval)) {
				return
			}
		case <-renew.C:
			if _, err := a.commit(session.Renew{Run: a.here()}); err != nil {
				return
			}
			renew.Reset(renewEvery)
		case <-a.quit:
			return
		case <-a.ctx.Done():
			return
		}
	}
}

func (a *Attempt) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.quit:
	case <-a.ctx.Done():
	}
	return false
}

func (a *Attempt) flush() error {
	a.mu.Lock()
	p := session.Progress{Run: a.here(), Offset: a.committed, Text: a.text.String()[a.committed:], Mode: a.mode}
	a.mode = ""
	a.mu.Unlock()
	if p.Text == "" {
		return nil
	}
	if _, err := a.commit(p); err != nil {
		return err
	}
	a.mu.Lock()
	a.committed += len(p.Text)
	a.mu.Unlock()
	return nil
}

// quick commits the turn with its reply in one command.
func (a *Attempt) quick(ans Answer, out Outcome) (*session.State, Outcome, error) {
	reply := session.Reply{Text: ans.Text, Memory: ans.Memory, Source: ans.Source}
	a.run.committing()
	res, err := a.run.desk.propose(a.ctx, a.command(a.acceptBody(&reply)))
	if err == nil {
		err = res.Err
	}
	switch {
	case err == nil:
		a.run.settle(res.State, nil)
		out.Status = "completed"
		return res.State, out, nil
	case res.State == nil || skein.CodeOf(err) != skein.CodeConflict && skein.CodeOf(err) != skein.CodeTurnOpen:
		out.Status = "refused"
		return nil, out, err
	}
	return res.State, out, err
}

// complete commits the end of a turn that was accepted before.
func (a *Attempt) complete(ans Answer, out Outcome) (*session.State, Outcome, error) {
	reply := session.Reply{Text: ans.Text, Memory: ans.Memory, Source: ans.Source}
	st, err := a.commit(session.Complete{Run: a.here(), Reply: reply})
	if err != nil {
		return nil, a.run.ended(a, &out), nil
	}
	out.Status = "completed"
	return st, out, nil
}

// fail records that the attempt failed; the leader starts the next one after the back-off.
func (a *Attempt) fail(cause error, out Outcome) (*session.State, Outcome, error) {
	if !a.accepted {
		if err := a.accept(); err != nil {
			if a.stale != nil {
				return a.stale, out, a.staleErr
			}
			out.Status = "refused"
			return nil, out, err
		}
		defer a.stop()
	}
	out.Status = "failed"
	a.giveUp(cause)
	return nil, out, nil
}

// giveUp commits the failure. It outlives the attempt's own context, which the failure may have ended.
func (a *Attempt) giveUp(cause error) {
	a.run.desk.cfg.Log.Warn("attempt failed", "session", a.base.ID, "turn", a.run.msg.Turn.String(), "attempt", a.number, "error", cause)
	ctx, cancel := context.WithTimeout(a.run.desk.ctx, waitOpen)
	defer cancel()
	f := session.Fail{Run: a.here(), Reason: clip(cause.Error(), session.MaxReason), Final: errors.Is(cause, ErrFinal) || skein.CodeOf(cause) == skein.CodeTooLarge}
	if _, err := a.run.desk.propose(ctx, a.command(f)); err != nil {
		a.run.desk.cfg.Log.Warn("the failure is not in the log; its lease will lapse", "session", a.base.ID, "error", err)
	}
}
