package gateway

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
)

// SetDraining says whether this node takes no new turns. Then clients are told where else they may go, new
// connections are refused and new turns answered with CodeDraining; turns that run go on.
func (g *Gateway) SetDraining(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining == on {
		return
	}
	g.draining = on
	g.turns.set(on)
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *Gateway) isDraining() bool {
	on, _ := g.drainState()
	return on
}

// drainState tells whether the node drains, and gives a channel that closes when that changes.
func (g *Gateway) drainState() (bool, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining, g.changed
}

// Drain ends the work of this gateway for good: it tells all clients to go elsewhere, takes no new turns,
// waits for those that run, then closes every session and connection. It returns the cause of ctx when turns
// were still running; they go on without their followers. Run still runs afterwards, and refuses everybody.
func (g *Gateway) Drain(ctx context.Context) error {
	var err error
	g.once.Do(func() { err = g.drain(ctx) })
	return err
}

func (g *Gateway) drain(ctx context.Context) error {
	g.SetDraining(true)
	stop, cancel := context.WithCancel(ctx)
	var http sync.WaitGroup
	http.Go(func() { g.h1.Shutdown(stop) })
	http.Go(func() { g.h3.Shutdown(stop) })

	err := g.turns.wait(ctx)
	g.finishLines()
	// What was written last may still be on its way: CloseWithError would drop it. The clients close first
	// when they have it all; those that do not are given lastWords.
	short, done := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer done()
	if waited := g.lines.wait(short); waited != nil {
		g.log.Warn("clients did not take their last frames", "err", waited)
	}
	g.handlers.wait(short)
	g.conns.wait(short)
	g.mu.Lock()
	open := slices.Collect(maps.Keys(g.open))
	g.mu.Unlock()
	for _, c := range open {
		c.CloseWithError(0, "draining")
	}
	cancel()
	http.Wait()
	return err
}

// begin takes a turn in, unless the node drains; then end must follow.
func (g *Gateway) begin() error {
	if g.turns.enter() {
		return nil
	}
	return skein.Fault(skein.CodeDraining, "%s takes no new turns", g.cfg.Node)
}

func (g *Gateway) end() { g.turns.leave() }

// peers lists where a client of the home region may go from here; this node is not among them.
func (g *Gateway) peers(home skein.Region) []Peer {
	if g.cfg.Peers == nil {
		return nil
	}
	all := slices.DeleteFunc(slices.Clone(g.cfg.Peers(home)), func(p Peer) bool { return p.Node == g.cfg.Node })
	return all[:min(len(all), maxPeers)]
}

// maxPeers is how many peers a client is told of.
const maxPeers = 16

// peersChanged gives a channel that closes when peers may answer otherwise; nil: never.
func (g *Gateway) peersChanged() <-chan struct{} {
	if g.cfg.PeersChanged == nil {
		return nil
	}
	return g.cfg.PeersChanged()
}

var _ Acceptor = (*quic.Listener)(nil)
