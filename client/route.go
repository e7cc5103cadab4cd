package client

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// launch asks the best node that has no leg yet. Without any it looks for more and reports false.
func (l *loop) launch() bool {
	node, ok := l.choose()
	if !ok {
		l.c.refresh()
		return false
	}
	l.launchAt(node)
	return true
}

func (l *loop) choose() (Node, bool) {
	if l.place == (Node{}) { // a new session goes where the client is
		if a, ok := l.c.pool.current(); ok && l.free(a) {
			return l.c.book.named(Node{QUIC: a}), true
		}
	}
	for _, n := range l.c.book.ranked(l.place) {
		if l.free(n.QUIC) {
			if !l.c.book.fresh(n.QUIC) {
				l.c.refresh()
			}
			return n, true
		}
	}
	return Node{}, false
}

func (l *loop) free(a netip.AddrPort) bool {
	return !slices.ContainsFunc(l.legs(), func(g *leg) bool { return g.addr == a })
}

func (l *loop) launchAt(node Node) {
	var first []byte
	for _, f := range l.pending() {
		b, err := wire.AppendFrame(first, f)
		if err != nil {
			l.fault(err)
			return
		}
		first = b
	}
	name := l.s.name
	if l.opened {
		name = string(l.s.ID())
	}
	open := &wire.Open{
		Version: wire.Version, Session: name, Assistant: l.s.opt.Assistant, Create: !l.opened && !l.s.opt.Resume,
		SeenSeq: uint64(l.seen), Client: string(l.c.cfg.Instance),
	}
	ctx, cancel := context.WithCancel(l.s.ctx)
	now := time.Now()
	g := &leg{addr: node.QUIC, node: node, cancel: cancel, out: make(chan []byte, 4), last: now}
	l.trials = append(l.trials, g)
	l.hedged = now
	l.c.wg.Go(func() {
		defer cancel()
		g.run(ctx, l.s, open, first)
	})
}

// lose ends a leg that failed and shuns its node for a while.
func (l *loop) lose(g *leg, err error) {
	l.drop(g)
	if !g.goaway {
		l.c.book.failed(g.addr)
	}
	l.because(err)
	l.c.cfg.Log.Debug("leg lost", "session", l.s.name, "node", g.addr, "err", err)
}

// because keeps why the request does not get on. What a node said tells more than that another one cannot be reached.
func (l *loop) because(err error) {
	_, told := errors.AsType[*skein.Error](err)
	_, knew := errors.AsType[*skein.Error](l.lastErr)
	if told || !knew {
		l.lastErr = err
	}
}

// drop ends a leg.
func (l *loop) drop(g *leg) {
	g.cancel()
	if l.main == g {
		l.main = nil
		if !l.busy() {
			l.contact = time.Now()
		}
	}
	l.trials = slices.DeleteFunc(l.trials, func(t *leg) bool { return t == g })
}

// gone takes the end of a leg that the loop had not let go of.
func (l *loop) gone(g *leg, err error) {
	l.lose(g, err)
	if _, ok := errors.AsType[*tokenError](err); ok {
		l.fault(err)
	}
}

// win makes g the main leg: it answered first. The others are let go of; none of their bytes count any more.
func (l *loop) win(g *leg) {
	for _, t := range slices.Clone(l.trials) {
		if t != g {
			l.drop(t)
		}
	}
	l.retryAt, l.elsewhere = time.Time{}, false
	now := time.Now()
	if g == l.main {
		l.publish(g.node)
		return
	}
	l.trials = nil
	old, took := l.main, now.Sub(l.contact)
	l.main = g
	if old != nil {
		if old.goaway {
			took = 0
		} else {
			l.c.book.failed(old.addr)
		}
		old.cancel()
	}
	l.contact = now
	from := l.place
	l.c.book.answered(g.node)
	l.c.carrier.keep(g.ch)
	l.publish(g.node)
	if from != (Node{}) && from.QUIC != g.addr {
		l.c.cfg.Log.Info("moved", "session", l.s.ID(), "from", from.ID, "to", g.node.ID, "took", took)
		if l.c.cfg.OnMove != nil {
			l.c.cfg.OnMove(Move{Session: l.s.ID(), From: from, To: g.node, Took: took})
		}
	}
}

func (l *loop) publish(n Node) {
	l.place = n
	l.s.mu.Lock()
	l.s.node = n
	l.s.mu.Unlock()
}

// learn takes region and zone of the node that g leads to, when the turn runs on that very node.
func (l *loop) learn(g *leg, w *wire.Where) {
	p := w.Place()
	if p.Node != "" && p.Node == g.node.ID {
		g.node.Region, g.node.Zone = p.Region, p.Zone
		l.c.book.answered(g.node)
	}
}
