package gateway

import (
	"context"
	"net"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// ServeForward serves a session of this region for a client of another gateway; it is the handler of the
// mesh service "session" and returns when the stream ends. The mesh has authenticated the peer, and the
// peer the subject. A session of another region is refused: it is never passed on twice, nor opened here.
func (g *Gateway) ServeForward(ctx context.Context, peer skein.NodeID, conn net.Conn) {
	f := newFramed(conn)
	end := context.AfterFunc(ctx, f.stop)
	defer end()
	if err := g.admitForward(ctx, f, peer); err != nil {
		g.m.fault(err)
		f.write([][]byte{frame(faultFrame(skein.TurnID{}, err))})
	}
}

func (g *Gateway) admitForward(ctx context.Context, f *framed, peer skein.NodeID) error {
	var fwd wire.Forward
	if err := f.readIn(&fwd, wire.MaxClientFrame, openWithin); err != nil {
		g.m.refused()
		return unreadable(err)
	}
	who := skein.Subject(fwd.GetSubject())
	switch {
	case fwd.GetVersion() != wire.Version:
		return skein.Fault(skein.CodeVersion, "%s speaks version %d, not %d", g.cfg.Node, wire.Version, fwd.GetVersion())
	case who == "" || len(who) > skein.MaxSubject:
		return skein.Fault(skein.CodeMalformed, "forward: want a subject of 1 to %d bytes", skein.MaxSubject)
	case skein.NodeID(fwd.GetGateway()) != peer:
		return skein.Fault(skein.CodeMalformed, "forward: %s says that it is %.80q", peer, fwd.GetGateway())
	}
	open, err := g.readOpen(f)
	if err != nil {
		return err
	}
	id, err := g.resolve(open.GetSession())
	if err != nil {
		return err
	}
	if region, _ := id.Split(); region != g.cfg.Region {
		return skein.Fault(skein.CodeHomeUnreachable, "%s is not in the home region of %s", g.cfg.Node, id)
	}
	g.m.forwarded()
	l := &line{g: g, who: identity{subject: who}, form: frameForm{gateway: peer}, every: forwardSign, via: true}
	return g.openLine(ctx, f, open, l)
}
