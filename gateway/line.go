package gateway

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// maxRefused is how many requests in a row may be refused before the line ends.
const maxRefused = 64

// form encodes what a client is told; nil says nothing.
type form interface {
	update(u session.Update) []byte
	alive(u session.Update) []byte // nothing new, but the node lives; u has the turn and how far it is
	history(p page) []byte
	closed(st *session.State) []byte
	said(found session.Findings) []byte
	fault(turn skein.TurnID, err error) []byte // the zero id: about the line, which then ends
	peers(list []Peer) []byte
	goAway(list []Peer) []byte
}

// request is what a client asks on a line: a turn, or the one of the others that is set.
type request struct {
	message session.Message
	asks    *historyRequest
	ends    *endRequest
	said    *session.Query // without its subject
}

// turn reports whether a turn is asked for.
func (r request) turn() bool { return r.asks == nil && r.ends == nil && r.said == nil }

type endRequest struct{ expect skein.Seq }

type historyRequest struct {
	after skein.Seq
	limit int
}

// line is one client's open session: a reader (whoever calls run), a worker that runs its turns one after
// another, and a writer.
type line struct {
	g    *Gateway
	who  identity
	sess Sessions
	o    session.Opening
	form form
	// write puts messages on the wire in one go; only the writer calls it.
	write func(msgs [][]byte) error
	// stop makes the reader's next return as at the end of the stream.
	stop  func()
	every time.Duration // longest silence while a turn runs
	via   bool          // another node's client: limited there, and told there of peers

	out   *outbox
	life  *time.Timer // when the next sign of life is due; set while a turn runs
	queue chan request

	refused int   // requests refused in a row; only the reader's
	broke   error // the rule that the client broke, which ended the line; the reader's, valid when run has returned

	mu sync.Mutex
	// mu guards the fields below
	now *followed // the turn that runs; nil: none
}

// followed is a turn and how much of it the client has been told.
type followed struct {
	last   session.Update
	heard  time.Time // when its home last said anything
	cancel context.CancelCauseFunc
}

// run serves the line until the client ends it, something on it breaks or ctx ends; all that it started has
// ended then. first is what the client is told before anything else. next gives io.EOF at the end.
func (l *line) run(ctx context.Context, first []byte, next func() (request, error)) {
	if !l.g.lines.enter() {
		return
	}
	defer l.g.lines.leave()
	l.out, l.queue = newOutbox(), make(chan request, maxPending)
	l.life = time.NewTimer(time.Hour)
	defer l.life.Stop()
	l.out.add(first)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unhook := context.AfterFunc(ctx, l.stop)
	defer unhook()
	working, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)

	var writer, worker sync.WaitGroup
	writer.Go(func() {
		if err := l.writeAll(ctx); err != nil {
			cancel(err)
		}
	})
	worker.Go(func() {
		for r := range l.queue {
			l.serve(working, r)
		}
	})
	err := l.readAll(ctx, next)
	if err != nil {
		giveUp(err)
	}
	if err != nil && !errors.Is(err, errGone) {
		l.g.m.fault(err)
		l.broke = err
		l.out.push(ctx, l.form.fault(skein.TurnID{}, err))
	}
	close(l.queue)
	worker.Wait()
	l.out.close()
	writer.Wait()
}

// readAll takes requests until the client ends the line (nil), has gone (errGone) or breaks a rule (what to
// tell it).
func (l *line) readAll(ctx context.Context, next func() (request, error)) error {
	for {
		r, err := next()
		if err != nil {
			return l.readError(err)
		}
		err = l.admit(r)
		if err == nil {
			l.refused = 0
			continue
		}
		l.g.m.fault(err)
		l.refused++
		if l.refused > maxRefused {
			return skein.Fault(skein.CodeOverloaded, "%d requests in a row were refused", l.refused)
		}
		if !r.turn() || r.message.Turn.Validate() != nil {
			return err
		}
		if l.out.push(ctx, l.form.fault(r.message.Turn, err)) != nil {
			return errGone
		}
		if skein.CodeOf(err) == skein.CodeTokenExpired {
			return nil // what runs is finished; a new stream needs a new token
		}
	}
}

func (l *line) readError(err error) error {
	if _, ok := errors.AsType[*skein.Error](err); ok {
		l.g.m.refused()
		return err
	}
	select {
	case <-l.g.finish:
		return nil
	default:
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	l.g.log.Debug("client's stream ended", "session", l.o.Session, "err", err)
	return errGone
}

// errGone ends the following of turns whose client has gone.
var errGone = errors.New("the client has gone")

// admit puts a request into the queue, or says why not.
func (l *line) admit(r request) error {
	now := time.Now()
	if err := l.who.check(now); err != nil {
		l.g.m.authFailure()
		return err
	}
	if r.turn() {
		if err := checkMessage(r.message); err != nil {
			l.g.m.refused()
			return err
		}
		if l.g.isDraining() {
			return skein.Fault(skein.CodeDraining, "%s takes no new turns", l.g.cfg.Node)
		}
		if !l.via {
			if err := l.g.limit.allow(l.who.subject, now); err != nil {
				return err
			}
		}
		l.reattach(r.message.Turn)
	}
	select {
	case l.queue <- r:
		return nil
	default:
		return skein.Fault(skein.CodeOverloaded, "%d requests of this stream wait already", maxPending)
	}
}

// reattach lets go of the turn that runs when its client asks for it again, from another offset. With others
// in between it stays, since they would find the turn still open.
func (l *line) reattach(id skein.TurnID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil && l.now.last.Turn == id && len(l.queue) == 0 {
		l.now.cancel(errReattached)
	}
}

// serve answers one request.
func (l *line) serve(ctx context.Context, r request) {
	if ctx.Err() != nil {
		return
	}
	if !r.turn() {
		answer, err := l.other(ctx, r)
		if err != nil {
			l.g.m.fault(err)
			l.out.push(ctx, l.form.fault(skein.TurnID{}, err))
			l.stop() // an error without a turn ends the line
			return
		}
		l.out.push(ctx, answer)
		return
	}
	turn, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := r.message
	l.follow(&followed{heard: time.Now(), last: session.Update{Turn: m.Turn, Offset: m.Offset}, cancel: cancel})
	err := l.g.runTurn(turn, l.sess, m, func(u session.Update) error { return l.tell(turn, u) })
	l.follow(nil)
	if err != nil && turn.Err() == nil {
		l.g.m.fault(err)
		l.out.push(ctx, l.form.fault(m.Turn, err))
	}
}

// other answers what is no turn.
func (l *line) other(ctx context.Context, r request) ([]byte, error) {
	switch {
	case r.said != nil:
		found, err := l.g.said(ctx, l.sess, l.o, *r.said)
		return l.form.said(found), err
	case r.ends != nil:
		st, err := l.g.endSession(ctx, l.sess, l.o, r.ends.expect)
		if err != nil {
			return nil, err
		}
		return l.form.closed(st), nil
	}
	p, err := l.g.history(ctx, l.sess, l.o, r.asks.after, r.asks.limit)
	return l.form.history(p), err
}

func (l *line) follow(f *followed) {
	l.mu.Lock()
	l.now = f
	l.mu.Unlock()
	if f != nil {
		l.life.Reset(l.every)
	} else {
		l.life.Stop()
	}
}

// tell passes one update on. An empty piece only notes that the turn's home is well: the writer paces the signs.
func (l *line) tell(ctx context.Context, u session.Update) error {
	sign := u.Kind == session.UpdatePiece && u.Text == "" && u.Mode == ""
	l.mu.Lock()
	if l.now != nil {
		l.now.heard = time.Now()
	}
	if sign {
		l.mu.Unlock()
		return nil
	}
	if l.now != nil {
		last := u
		if u.Kind == session.UpdatePiece {
			last.Offset += len(u.Text)
		} else {
			last.Offset = l.now.last.Offset
		}
		last.Text = ""
		l.now.last = last
	}
	l.mu.Unlock()
	return l.out.put(ctx, l.form.update(u), u.More)
}

// running reports whether a turn runs.
func (l *line) running() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now != nil
}

// trusted is how long a word from behind stands for the turn's health. Without a newer one, as on a node that is
// cut off from its group, the line falls silent, so that the client goes elsewhere.
func (l *line) trusted() time.Duration {
	if region, _ := l.o.Session.Split(); region != l.g.cfg.Region {
		return 2*forwardSign + 2*lifeSign
	}
	return 4 * lifeSign
}

// sign gives a sign of life while a turn runs and its home is known to be well.
func (l *line) sign() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil || time.Since(l.now.heard) > l.trusted() {
		return nil
	}
	return l.form.alive(l.now.last)
}
