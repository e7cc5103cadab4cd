package turn

import (
	"context"
	"errors"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Turn runs the turn here unless it is known already, and follows it: emit hears that it was accepted, each
// committed piece behind m.Offset, a sign of life at least every 50 ms while the group has a quorum, and the
// completed reply. When ctx ends or emit fails only the following ends.
func (d *Desk) Turn(ctx context.Context, m session.Message, emit func(session.Update) error) error {
	if err := check(m); err != nil {
		return err
	}
	st, err := d.state(ctx, m.Session)
	if err != nil {
		return err
	}
	t, known := st.Turn(m.Turn)
	if known && !t.Status.Open() {
		if st, err = d.again(ctx, st, t.Status); err != nil {
			return err
		}
		t, known = st.Turn(m.Turn)
	}
	if err := st.Allow(m.Subject); err != nil {
		return err
	}
	switch {
	case known && t.Text != m.Text:
		return skein.Fault(skein.CodeTurnConflict, "turn %s was sent with another text", m.Turn)
	case !known:
		if st, err = d.ask(ctx, m, st, emit); err != nil {
			return err
		}
	}
	f := follower{desk: d, msg: m, emit: emit, sent: m.Offset}
	return f.follow(ctx, st)
}

// again looks at a session whose turn has ended, before a repeat is answered: an operator may have retried a dead one, or
// erased the session, and what is kept at hand does not hear of it.
func (d *Desk) again(ctx context.Context, st *session.State, ended session.Status) (*session.State, error) {
	if ended == session.Dead {
		return d.newest(ctx, st.ID)
	}
	return d.cfg.Store.Read(ctx, st.ID, st.Seq-1)
}

// newest gives a session as it stands in the log; a replica that lags does not know of a retry.
func (d *Desk) newest(ctx context.Context, id skein.SessionID) (*session.State, error) {
	res, err := d.propose(ctx, session.Command{Session: id, Body: session.Renew{}}) // of no turn: refused, with the state
	if err != nil {
		return nil, err
	}
	if res.State == nil {
		return nil, res.Err
	}
	return res.State, nil
}

func check(m session.Message) error {
	if err := m.Session.Validate(); err != nil {
		return err
	}
	if err := m.Turn.Validate(); err != nil {
		return err
	}
	switch {
	case m.Text == "":
		return skein.Fault(skein.CodeMalformed, "a turn has a text")
	case len(m.Text) > session.MaxText:
		return skein.Fault(skein.CodeTooLarge, "a message has at most %d bytes", session.MaxText)
	case m.Offset < 0 || m.Offset > session.MaxReply:
		return skein.Fault(skein.CodeMalformed, "offset %d: want 0 to %d", m.Offset, session.MaxReply)
	}
	return nil
}

// ask begins the turn, or joins the run that has begun it, and waits until the log knows it.
func (d *Desk) ask(ctx context.Context, m session.Message, st *session.State, emit func(session.Update) error) (*session.State, error) {
	r, err := d.begin(runKey{session: m.Session, turn: m.Turn}, m, st)
	if err != nil {
		return nil, err
	}
	if r.msg.Text != m.Text {
		return nil, skein.Fault(skein.CodeTurnConflict, "turn %s was sent with another text", m.Turn)
	}
	life := time.NewTicker(signEvery)
	defer life.Stop()
	for {
		select {
		case <-r.known:
			return r.state, r.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-life.C:
			if err := d.sign(m.Session, session.Update{Turn: m.Turn, Offset: m.Offset}, emit); err != nil {
				return nil, err
			}
		}
	}
}

// sign gives a sign of life, unless this node is cut off from the session's group: then the client does better elsewhere.
func (d *Desk) sign(id skein.SessionID, u session.Update, emit func(session.Update) error) error {
	if !d.cfg.Store.QuorumOf(id) {
		return nil
	}
	u.Kind = session.UpdatePiece
	return emit(u)
}

type follower struct {
	desk     *Desk
	msg      session.Message
	emit     func(session.Update) error
	sent     int           // bytes of the reply that the client has
	attempt  skein.Attempt // that the client has heard of
	accepted bool
}

func (f *follower) follow(ctx context.Context, st *session.State) error {
	if done, err := f.tell(st); done || err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	states, ended := f.watch(ctx, st.Seq)
	defer func() { cancel(); <-ended }()
	life := time.NewTicker(signEvery)
	defer life.Stop()
	for {
		select {
		case st, ok := <-states:
			if !ok {
				return f.lost(ctx)
			}
			if done, err := f.tell(st); done || err != nil {
				return err
			}
		case <-life.C:
			sign := session.Update{Turn: f.msg.Turn, Attempt: f.attempt, Offset: f.sent}
			if err := f.desk.sign(f.msg.Session, sign, f.emit); err != nil {
				return err
			}
		}
	}
}

func (f *follower) lost(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return skein.Fault(skein.CodeNoQuorum, "the turn can no longer be followed here")
}

// watch sends every newer state that it gets hold of; the reader is never behind by more than one.
func (f *follower) watch(ctx context.Context, seq skein.Seq) (<-chan *session.State, <-chan struct{}) {
	states, ended := make(chan *session.State), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(states)
		for ctx.Err() == nil {
			st, err := f.desk.cfg.Store.Read(ctx, f.msg.Session, seq)
			if err != nil {
				if !f.pause(ctx, err) {
					return
				}
				continue
			}
			seq = st.Seq
			f.desk.remember(st)
			select {
			case states <- st:
			case <-ctx.Done():
			}
		}
	}()
	return states, ended
}

// pause waits before a read is tried again; false when it would fail again.
func (f *follower) pause(ctx context.Context, err error) bool {
	if !skein.CodeOf(err).Retry() && !errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	select {
	case <-time.After(signEvery):
		return true
	case <-ctx.Done():
		return false
	}
}

// tell emits what st adds to what the client knows; done when the turn has ended.
func (f *follower) tell(st *session.State) (done bool, err error) {
	if err := st.Allow(f.msg.Subject); err != nil {
		return true, err
	}
	t, ok := st.Turn(f.msg.Turn)
	if !ok {
		return true, skein.Fault(skein.CodeReplyExpired, "turn %s was answered; its reply is no longer kept", f.msg.Turn)
	}
	if f.sent > len(t.Reply) && !t.Status.Open() {
		return true, skein.Fault(skein.CodeMalformed, "offset %d: the reply has %d bytes", f.msg.Offset, len(t.Reply))
	}
	up := session.Update{Turn: t.ID, Seq: t.Seq, Attempt: t.Attempt, Place: t.Place}
	if !f.accepted || f.attempt != t.Attempt {
		f.accepted, f.attempt = true, t.Attempt
		up.Kind, up.More = session.UpdateAccepted, f.sent < len(t.Reply) || t.Status == session.Completed
		if err := f.emit(up); err != nil {
			return true, err
		}
	}
	if f.sent < len(t.Reply) {
		up.Kind, up.Offset, up.Text, up.Mode = session.UpdatePiece, f.sent, t.Reply[f.sent:], mode(t, f.sent)
		up.More = t.Status == session.Completed
		f.sent = len(t.Reply)
		if err := f.emit(up); err != nil {
			return true, err
		}
	}
	switch t.Status {
	case session.Completed:
		up.Kind, up.Offset, up.Text, up.Source, up.Mode, up.More = session.UpdateCompleted, 0, t.Reply, t.Source, "", false
		return true, f.emit(up)
	case session.Dead:
		// the reason may name servers and tools: operators see it among the dead letters
		return true, skein.Fault(skein.CodeTurnDead, "turn %s could not be answered; attempts that failed: %d", t.ID, t.Failures)
	}
	return false, nil
}

// mode says how the text from offset on came about, when an attempt went on behind another's there.
func mode(t *session.Turn, offset int) string {
	for _, c := range t.Continuations {
		if c.Offset >= offset {
			return c.Mode
		}
	}
	return ""
}
