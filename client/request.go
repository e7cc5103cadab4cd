package client

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// start begins a turn.
func (l *loop) start(ctx context.Context, id skein.TurnID, text string) (*Turn, error) {
	if l.turn != nil {
		return nil, skein.Fault(skein.CodeTurnOpen, "turn %s still runs", l.turn.id)
	}
	if id == (skein.TurnID{}) {
		if l.c.counter.Load() == math.MaxUint64 {
			return nil, fmt.Errorf("client instance %s has used up its turn ids", l.c.cfg.Instance)
		}
		id = skein.TurnID{Client: l.c.cfg.Instance, Counter: l.c.counter.Add(1)}
	} else if id.Client == l.c.cfg.Instance {
		l.c.raise(id.Counter)
	}
	l.turn = newTurn(ctx, id, text)
	l.begin(l.turnFrame())
	return l.turn, nil
}

// ask begins a question.
func (l *loop) ask(q *question) {
	l.asked = q
	l.begin(q.frame)
}

// begin sends a new request where it is answered soonest: on the legs that are being tried, on the main leg,
// or on a new one that carries it from its first byte.
func (l *loop) begin(f *wire.ClientFrame) {
	now := time.Now()
	l.contact, l.good, l.tries, l.fulls, l.lastErr = now, now, 0, 0, nil
	l.elsewhere = false
	switch {
	case len(l.trials) > 0:
		for _, g := range slices.Clone(l.legs()) {
			if g != l.main || !g.goaway {
				l.send(g, f)
			}
		}
	case l.main != nil && !l.main.goaway:
		l.send(l.main, f)
	default:
		l.retryAt = time.Time{}
		if !l.launch() && l.main != nil {
			l.send(l.main, f)
		}
	}
}

func (l *loop) send(g *leg, f *wire.ClientFrame) {
	b, err := wire.AppendFrame(nil, f)
	if err != nil {
		l.fault(err)
		return
	}
	if !g.send(b) {
		l.lose(g, fmt.Errorf("%s takes no frames", g.addr))
	}
}

func (l *loop) turnFrame() *wire.ClientFrame {
	return &wire.ClientFrame{Body: &wire.ClientFrame_Turn{Turn: &wire.Turn{
		Id: wire.Ref(l.turn.id), Text: l.turn.text, Offset: uint64(l.turn.offset()),
	}}}
}

// pending gives the frames of all that is waited for.
func (l *loop) pending() []*wire.ClientFrame {
	var fs []*wire.ClientFrame
	if l.turn != nil {
		fs = append(fs, l.turnFrame())
	}
	if l.asked != nil {
		fs = append(fs, l.asked.frame)
	}
	return fs
}

// fault ends what is waited for with an error that no other node can help.
func (l *loop) fault(err error) { l.finishAll(err) }

func (l *loop) finishAll(err error) {
	if l.opening != nil {
		l.opening <- err
		l.opening = nil
	}
	if l.asked != nil {
		l.finishQuestion(result{err: err})
	}
	if l.turn != nil {
		l.finishTurn(err)
	}
}

func (l *loop) finishQuestion(r result) {
	l.asked.res <- r
	l.asked = nil
	l.rest()
}

// finishTurn ends the turn; with nil it is complete already.
func (l *loop) finishTurn(err error) {
	if err != nil {
		l.turn.fail(err)
	}
	l.turn = nil
	l.rest()
}

// rest follows the end of a request: an idle session keeps one leg only.
func (l *loop) rest() {
	if l.busy() {
		return
	}
	l.tries, l.away, l.retryAt, l.elsewhere = 0, 0, time.Time{}, false
	if i := slices.IndexFunc(l.trials, func(g *leg) bool { return g.opened }); l.main == nil && i >= 0 {
		l.win(l.trials[i])
	}
	if l.main == nil {
		return
	}
	for _, g := range slices.Clone(l.trials) {
		l.drop(g)
	}
}
