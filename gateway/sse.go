package gateway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/skein-mesh/skein/session"
)

// eventSign is the longest silence of a stream of events while a turn runs.
const eventSign = 750 * time.Millisecond

// events writes one turn as server-sent events (HTML Standard, section 9.2). The answer begins with the
// first event, so that an error before it still has a status of its own.
type events struct {
	w     http.ResponseWriter
	form  jsonForm
	at    int // bytes of the reply that the client holds
	begun bool
}

// streamTurn answers with the events of a turn. It returns an error only while nothing was written.
func (g *Gateway) streamTurn(w http.ResponseWriter, r *http.Request, s Sessions, m session.Message) error {
	e := &events{w: w, form: jsonForm{session: m.Session, gateway: g.cfg.Node}, at: m.Offset}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	updates, ended := make(chan session.Update), make(chan error, 1)
	go func() {
		ended <- g.runTurn(ctx, s, m, func(u session.Update) error {
			select {
			case updates <- u:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	err := e.write(ctx, updates, ended, cancel)
	if err == nil {
		return nil
	}
	if !e.begun {
		return gone(r, err)
	}
	if r.Context().Err() == nil {
		g.m.fault(err)
		_, f := faultOf(err)
		e.send("error", errorJSON{Error: f})
	}
	return nil
}

// write writes events until the turn has ended, and gives the turn's error.
func (e *events) write(ctx context.Context, updates <-chan session.Update, ended <-chan error, cancel context.CancelCauseFunc) error {
	sign := time.NewTicker(eventSign)
	defer sign.Stop()
	for {
		var err error
		select {
		case err := <-ended:
			return err
		case u := <-updates:
			err = e.update(u)
		case <-sign.C:
			err = e.put(": still running\n\n")
		}
		if err != nil {
			cancel(err) // the client has gone: the turn goes on without it
			return <-ended
		}
	}
}

func (e *events) update(u session.Update) error {
	switch u.Kind {
	case session.UpdateAccepted:
		return e.send("accepted", e.form.accepted(u))
	case session.UpdatePiece:
		if u.Text == "" && u.Mode == "" {
			return nil
		}
		e.at = u.Offset + len(u.Text)
		return e.send("piece", e.form.piece(u))
	case session.UpdateCompleted:
		e.at = len(u.Text)
		return e.send("completed", e.form.completed(u))
	}
	return nil
}

// send writes one event. Its id is how much of the reply the client has with it, so that Last-Event-ID goes
// on there.
func (e *events) send(name string, data any) error {
	return e.put(fmt.Sprintf("event: %s\nid: %d\ndata: %s\n\n", name, e.at, encoded(data)))
}

func (e *events) put(text string) error {
	rc := http.NewResponseController(e.w)
	if !e.begun {
		e.begun = true
		e.w.Header().Set("Content-Type", "text/event-stream")
		e.w.Header().Set("X-Accel-Buffering", "no")
		e.w.WriteHeader(http.StatusOK)
	}
	rc.SetWriteDeadline(time.Now().Add(writeWithin))
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	return rc.Flush()
}
