package node

import (
	"context"
	"strings"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/session"
)

// letterText bounds what an operator's list shows of a message, in bytes.
const letterText = 200

// deadLetters shows the region's dead letters to operators, and settles them.
type deadLetters struct{ n *Node }

// DeadLetters satisfies admin.DeadLetters.
func (d deadLetters) DeadLetters(_ context.Context, after skein.SessionID, limit int) ([]admin.DeadLetter, skein.SessionID, error) {
	if d.n.spectator() {
		return nil, "", skein.Fault(skein.CodeRefused, "node %s keeps no replica: ask a voter", d.n.cfg.Node)
	}
	page, next, err := d.n.region.DeadLetters(after, limit)
	if err != nil {
		return nil, "", err
	}
	out := make([]admin.DeadLetter, len(page))
	for i, l := range page {
		out[i] = admin.DeadLetter{
			Session: l.Session, Turn: l.Turn.String(), Subject: l.Subject, Text: clip(l.Text, letterText), Reason: l.Reason,
			Failures: l.Fails, Attempt: l.Attempt, Node: l.Place.Node, At: l.At, DiedAt: l.DiedAt, Retriable: l.Last,
		}
	}
	return out, next, nil
}

// clip cuts s behind a whole character.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// Retry satisfies admin.DeadLetters.
func (d deadLetters) Retry(ctx context.Context, id skein.SessionID, turn skein.TurnID) (admin.Settled, error) {
	done, err := d.settle(ctx, id, turn, func(r session.Run) session.Body { return session.Retry{Run: r} })
	if err == nil && !done.Known {
		d.n.meters.Counter("skein_dead_letters_retried_total", "Dead turns that operators sent into another round of attempts through this node.").Inc()
	}
	return done, err
}

// Drop satisfies admin.DeadLetters.
func (d deadLetters) Drop(ctx context.Context, id skein.SessionID, turn skein.TurnID) (admin.Settled, error) {
	done, err := d.settle(ctx, id, turn, func(r session.Run) session.Body { return session.Drop{Run: r} })
	if err == nil && !done.Known {
		d.n.meters.Counter("skein_dead_letters_dropped_total", "Dead turns that operators took off the list through this node.").Inc()
	}
	return done, err
}

// settle proposes an operator's order about the turn's newest attempt, which it asks the log for: a replica may lag.
func (d deadLetters) settle(ctx context.Context, id skein.SessionID, turn skein.TurnID, order func(session.Run) session.Body) (admin.Settled, error) {
	if region, _ := id.Split(); region != d.n.cfg.Region {
		return admin.Settled{}, skein.Fault(skein.CodeRefused, "%s is at home in region %s: ask a node there", id, region)
	}
	look, err := d.propose(ctx, id, session.Renew{}) // of no turn: refused, with the state
	if err != nil {
		return admin.Settled{}, err
	}
	if look.State == nil {
		return admin.Settled{}, look.Err
	}
	run := session.Run{Turn: turn}
	if t, ok := look.State.Turn(turn); ok {
		run.Attempt = t.Attempt
		if t.Status.Open() && t.Retried > 0 { // a retry that comes twice is known, also when the attempt has begun
			run.Attempt = t.Retried
		}
	}
	res, err := d.propose(ctx, id, order(run))
	if err == nil {
		err = res.Err
	}
	if err != nil {
		return admin.Settled{}, err
	}
	done := admin.Settled{Session: id, Turn: turn.String(), Known: res.Duplicate}
	if t, ok := res.State.Turn(turn); ok {
		done.Status = t.Status.String()
	}
	return done, nil
}

func (d deadLetters) propose(ctx context.Context, id skein.SessionID, body session.Body) (session.Result, error) {
	res, err := d.n.region.Propose(ctx, session.Command{Session: id, At: time.Now().Truncate(time.Millisecond), Body: body})
	if err != nil {
		return session.Result{}, err
	}
	return res[0], nil
}
