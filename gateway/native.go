package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// maxStrangers is how many streams of a connection may show no valid token before the connection is closed,
// unless one of its streams did.
const maxStrangers = 8

// client is one native connection.
type client struct {
	g    *Gateway
	conn *quic.Conn

	streams   gate
	known     atomic.Bool  // a stream has shown a valid token
	strangers atomic.Int32 // streams that have not
}

// serveConn serves the streams of one native connection, and closes it when ctx ends.
func (g *Gateway) serveConn(ctx context.Context, conn *quic.Conn) {
	c := &client{g: g, conn: conn}
	var wg sync.WaitGroup
	defer conn.CloseWithError(0, "")
	defer wg.Wait()
	idle := time.AfterFunc(firstStream, func() {
		if !c.known.Load() {
			conn.CloseWithError(quic.ApplicationErrorCode(skein.CodeUnauthenticated), "no stream showed a valid token in time")
		}
	})
	defer idle.Stop()
	for {
		st, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		if !c.streams.enterUpTo(g.cfg.Limits.Sessions) {
			c.turnAway(st)
			continue
		}
		wg.Go(func() { c.serve(ctx, st) })
	}
}

// turnAway tells a stream too many so. A frame this small is buffered, so that the write does not wait.
func (c *client) turnAway(st *quic.Stream) {
	err := skein.Fault(skein.CodeOverloaded, "a connection has at most %d sessions", c.g.cfg.Limits.Sessions)
	c.g.m.fault(err)
	st.SetWriteDeadline(time.Now().Add(lastWords))
	wire.WriteFrame(st, faultFrame(skein.TurnID{}, err))
	st.Close()
	st.CancelRead(quic.StreamErrorCode(skein.CodeOverloaded))
}

// serve opens and serves the session of one stream.
func (c *client) serve(ctx context.Context, st *quic.Stream) {
	defer st.CancelRead(0) // with Close alone the stream would count against the connection's limit for ever
	defer st.Close()
	defer c.streams.leave() // before Close: who sees the end of one stream may open the next
	f := newFramed(st)
	end := context.AfterFunc(ctx, f.stop)
	defer end()
	if err := c.g.admitStream(ctx, f, c); err != nil {
		c.g.m.fault(err)
		f.write([][]byte{frame(faultFrame(skein.TurnID{}, err))})
	}
}

// stranger counts a stream without a valid token, and closes a connection that has only such ones.
func (c *client) stranger() {
	if c.strangers.Add(1) >= maxStrangers && !c.known.Load() {
		c.conn.CloseWithError(quic.ApplicationErrorCode(skein.CodeUnauthenticated), "no stream showed a valid token")
	}
}

// admitStream reads Open, authenticates, opens the session and serves it. An error is what the client is to
// be told; nil when it was served.
func (g *Gateway) admitStream(ctx context.Context, f *framed, c *client) error {
	open, err := g.readOpen(f)
	if err != nil {
		c.stranger()
		return err
	}
	who, err := g.verify.verify(open.GetToken())
	if err != nil {
		g.m.authFailure()
		c.stranger()
		return err
	}
	c.known.Store(true)
	l := &line{g: g, who: who, form: frameForm{gateway: g.cfg.Node}, every: lifeSign}
	return g.openLine(ctx, f, open, l)
}

// readOpen reads the first frame of a stream, within openWithin.
func (g *Gateway) readOpen(f *framed) (*wire.Open, error) {
	var first wire.ClientFrame
	if err := f.readIn(&first, wire.MaxClientFrame, openWithin); err != nil {
		g.m.refused()
		return nil, unreadable(err)
	}
	open := first.GetOpen()
	switch {
	case open == nil:
		g.m.refused()
		return nil, skein.Fault(skein.CodeMalformed, "the first frame of a stream is Open")
	case open.GetVersion() != wire.Version:
		g.m.refused()
		return nil, skein.Fault(skein.CodeVersion, "this node speaks version %d, not %d", wire.Version, open.GetVersion())
	}
	return open, nil
}

// unreadable gives the fault of a stream that ended or broke where a frame was due.
func unreadable(err error) error {
	if skein.CodeOf(err) != skein.CodeInternal {
		return err
	}
	return skein.Fault(skein.CodeMalformed, "the stream ended before a whole frame")
}

// openLine opens the session that open asks for and serves the line l, whose who, form and every are set.
func (g *Gateway) openLine(ctx context.Context, f *framed, open *wire.Open, l *line) error {
	o, err := g.opening(open, l.who.subject)
	if err != nil {
		g.m.refused()
		return err
	}
	if !l.via {
		if err := g.opens.allow(l.who.subject, time.Now()); err != nil {
			return err
		}
	}
	client := skein.ClientID(open.GetClient())
	l.o, l.sess = o, g.home(o.Session, client)
	st, created, err := g.openSession(ctx, l.sess, o)
	if err != nil {
		return err
	}
	l.o.Create, l.o.Seen = false, 0
	l.write, l.stop = f.write, f.stop
	l.run(ctx, opened(l, st, client, created), func() (request, error) { return f.next(l.o) })
	return nil
}

// opening checks the fields of Open.
func (g *Gateway) opening(open *wire.Open, who skein.Subject) (session.Opening, error) {
	id, err := g.resolve(open.GetSession())
	if err != nil {
		return session.Opening{}, err
	}
	if a := open.GetAssistant(); a != "" && !skein.ValidName(a) {
		return session.Opening{}, skein.Fault(skein.CodeMalformed, "assistant %.80q is no name", a)
	}
	if c := open.GetClient(); c != "" && !skein.ValidName(c) {
		return session.Opening{}, skein.Fault(skein.CodeMalformed, "client instance %.80q is no name", c)
	}
	return session.Opening{
		Session: id, Subject: who, Assistant: open.GetAssistant(), Create: open.GetCreate(), Seen: skein.Seq(open.GetSeenSeq()),
		Fresh: open.GetClient() != "" && open.GetSeenSeq() == 0,
	}, nil
}

func opened(l *line, st *session.State, client skein.ClientID, created bool) []byte {
	o := &wire.Opened{
		Session: string(l.o.Session), Seq: uint64(st.Seq), Epoch: uint64(st.Epoch), Assistant: st.Assistant,
		Created: created, HighWater: highWater(st, client), Closed: st.Phase == session.PhaseClosed,
	}
	if ff, ok := l.form.(frameForm); ok {
		o.Gateway = string(ff.gateway)
	}
	if t, ok := st.OpenTurn(); ok {
		o.OpenTurn = wire.Ref(t.ID)
	}
	return frame(&wire.ServerFrame{Body: &wire.ServerFrame_Opened{Opened: o}})
}
