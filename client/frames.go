package client

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// errProtocol says that a node sent what the protocol does not allow.
var errProtocol = errors.New("protocol fault")

// take handles what a leg tells; legs that were let go of are not heard.
func (l *loop) take(ev event) {
	g := ev.leg
	if !l.holds(g) {
		return
	}
	if len(ev.frames) == 0 {
		l.gone(g, ev.err)
		return
	}
	g.ch, g.last = ev.ch, time.Now()
	if g == l.main {
		l.contact = g.last
	}
	for _, f := range ev.frames {
		if err := l.frame(g, f); err != nil {
			l.lose(g, fmt.Errorf("%s: %w", g.addr, err))
		}
		if !l.holds(g) {
			return
		}
	}
}

// holds reports whether the loop has not let go of a leg.
func (l *loop) holds(g *leg) bool { return g == l.main || slices.Contains(l.trials, g) }

// frame handles one frame. An error ends the leg, not what is waited for.
func (l *loop) frame(g *leg, f *wire.ServerFrame) error {
	switch b := f.GetBody().(type) {
	case *wire.ServerFrame_Error:
		l.refused(g, b.Error)
		return nil
	case *wire.ServerFrame_Opened:
		return l.onOpened(g, b.Opened)
	case *wire.ServerFrame_Peers:
		l.c.book.told(peers(b.Peers.GetPeers()), g.addr)
		return nil
	case *wire.ServerFrame_GoAway:
		l.goAway(g, b.GoAway)
		return nil
	}
	if !g.opened {
		return fmt.Errorf("%w: a frame before Opened", errProtocol)
	}
	switch b := f.GetBody().(type) {
	case *wire.ServerFrame_Accepted:
		l.onAccepted(g, b.Accepted)
	case *wire.ServerFrame_Piece:
		return l.onPiece(g, b.Piece)
	case *wire.ServerFrame_Completed:
		return l.onCompleted(g, b.Completed)
	case *wire.ServerFrame_History, *wire.ServerFrame_Closed, *wire.ServerFrame_Said:
		if l.asked != nil && l.asked.fits(f) {
			l.win(g)
			l.finishQuestion(result{frame: f})
		}
	}
	return nil // a kind that a newer node knows is passed over
}

func (l *loop) onOpened(g *leg, o *wire.Opened) error {
	id := skein.SessionID(o.GetSession())
	if err := id.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	if l.opened && id != l.s.ID() {
		return fmt.Errorf("%w: opened %.80q instead of %s", errProtocol, string(id), l.s.ID())
	}
	g.opened = true
	if gw := o.GetGateway(); skein.ValidName(gw) {
		g.node.ID = skein.NodeID(gw)
	}
	g.node = l.c.book.named(g.node)
	if o.GetHighWater() < math.MaxUint64 {
		l.c.raise(o.GetHighWater())
	}
	l.saw(o.GetSeq())
	if !l.opened {
		l.opened = true
		l.s.mu.Lock()
		l.s.id = id
		l.s.mu.Unlock()
	}
	if l.turn == nil { // with a turn the node has yet to show that it can serve it
		l.win(g)
		l.tries, l.away = 0, 0
	}
	if l.opening != nil {
		l.opening <- nil
		l.opening = nil
		l.rest()
	}
	return nil
}

func (l *loop) onAccepted(g *leg, a *wire.Accepted) {
	l.saw(a.GetSeq())
	if l.concerns(a.GetId()) {
		l.learn(g, a.GetWhere())
		l.win(g)
	}
}

func (l *loop) onPiece(g *leg, p *wire.Piece) error {
	l.saw(p.GetSeq())
	if !l.concerns(p.GetId()) {
		return nil
	}
	if p.GetText() != "" {
		if p.GetOffset() > maxReply {
			return errGap
		}
		fresh, err := l.turn.take(Piece{
			Offset: int(p.GetOffset()), Text: p.GetText(), Attempt: skein.Attempt(p.GetAttempt()), Mode: p.GetMode(),
		})
		if errors.Is(err, ErrRetracted) {
			l.finishTurn(err)
			return nil
		}
		if err != nil {
			return err
		}
		if fresh {
			l.tries = 0
		}
	}
	l.good, l.away = time.Now(), 0
	l.win(g)
	return nil
}

func (l *loop) onCompleted(g *leg, d *wire.Completed) error {
	l.saw(d.GetSeq())
	if !l.concerns(d.GetId()) {
		return nil
	}
	l.learn(g, d.GetWhere())
	at := d.GetWhere().Place()
	err := l.turn.complete(Reply{
		Text: d.GetReply(), Node: at.Node, Region: at.Region, Zone: at.Zone, Via: skein.NodeID(d.GetGateway()),
		Attempts: int(d.GetAttempt()), Source: d.GetSource(), Seq: skein.Seq(d.GetSeq()),
	})
	if err != nil && !errors.Is(err, ErrRetracted) {
		return err
	}
	l.win(g)
	l.finishTurn(err)
	return nil
}

// refused handles an error frame. What another node or a later moment may grant is tried again under the same
// turn id; everything else ends the request.
func (l *loop) refused(g *leg, e *wire.Error) {
	if e.GetId() != nil && !l.concerns(e.GetId()) {
		return
	}
	fault, ok := errors.AsType[*skein.Error](e.Fault())
	if !ok {
		return
	}
	streamEnds := e.GetId() == nil || !g.opened
	if !fault.Code.Retry() {
		if streamEnds {
			l.drop(g)
		}
		switch {
		case !l.busy():
		case !streamEnds:
			l.win(g)
			l.finishTurn(fault)
		default:
			l.finishAll(fault)
		}
		return
	}
	if l.homeAway(fault) {
		l.finishAll(fault)
	}
	if full(fault) && l.sentAway(g, fault, streamEnds) {
		return
	}
	here := stays(fault)
	switch {
	case len(l.legs()) > 1 && (g != l.main || !here):
		l.lose(g, fault) // the others are still to answer
		return
	case streamEnds:
		l.lose(g, fault)
	default:
		l.win(g) // it is there, and is asked again unless another can be
	}
	l.lastErr = fault
	if !here {
		l.c.book.failed(g.addr)
	}
	if l.busy() {
		l.putOff(fault, here)
	}
}

// sentAway handles the word of a node that it is full, and reports whether that is all there is to do.
func (l *loop) sentAway(g *leg, fault *skein.Error, streamEnds bool) bool {
	if g != l.main { // the next node is as full, and more so the more often it is asked beside the one that is slow
		l.hedged = time.Now().Add(fault.RetryAfter << min(l.fulls, 5))
		l.fulls++
	}
	if !l.s.opt.FailFast || l.turn == nil {
		return false
	}
	if streamEnds || len(l.legs()) > 1 {
		l.lose(g, fault)
	} else {
		l.win(g)
	}
	if len(l.trials) == 0 && (l.main == nil || l.main == g) { // otherwise others are still to answer
		l.finishTurn(fault)
	}
	return true
}

// full reports whether the node knows when it has room.
func full(fault *skein.Error) bool {
	return fault.Code == skein.CodeOverloaded && fault.RetryAfter > 0
}

// stays reports whether the same node is asked again. One that is full is, unless it says that this lasts: others that
// are as full would not gain by it.
func stays(fault *skein.Error) bool {
	return fault.Code == skein.CodeTurnOpen || fault.Code == skein.CodeRateLimited || full(fault) && fault.RetryAfter <= stayAtMost
}

// homeAway counts the nodes' word that they do not reach the session's home, and reports when it has been enough.
func (l *loop) homeAway(fault *skein.Error) bool {
	if fault.Code != skein.CodeHomeUnreachable {
		return false
	}
	l.away++
	return l.busy() && l.away >= awayAnswers && time.Since(l.good) >= awayFor
}

// putOff plans the next try: at another node soon, or at the same one after the pause that it asked for.
func (l *loop) putOff(fault *skein.Error, here bool) {
	pause := backoff(l.tries+1, firstBackoff, maxBackoff)
	l.elsewhere = !here
	if l.elsewhere && slices.ContainsFunc(l.c.book.ranked(l.place), func(n Node) bool { return l.free(n.QUIC) && l.c.book.fresh(n.QUIC) }) {
		pause = backoff(l.tries, firstBackoff, maxBackoff)
	} else if fault.RetryAfter > pause {
		pause = fault.RetryAfter
		l.elsewhere = false
	}
	l.tries++
	l.retryAt = time.Now().Add(pause)
}

func (l *loop) goAway(g *leg, m *wire.GoAway) {
	g.goaway = true
	l.c.book.goes(g.addr)
	if list := peers(m.GetPeers()); len(list) > 0 {
		l.c.book.told(list, g.addr)
	}
}

func (l *loop) concerns(id *wire.TurnRef) bool {
	return l.turn != nil && id.TurnID() == l.turn.id
}

func (l *loop) saw(seq uint64) { l.seen = max(l.seen, skein.Seq(seq)) }
