package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

const (
	redials     = 3                       // after the first dial, and afresh whenever the reply has grown
	redialPause = 50 * time.Millisecond   // before the first redial; four times as long before each next
	dialWithin  = 2 * time.Second         // for a stream to the home region
	silence     = 1500 * time.Millisecond // of the home while a turn runs, several of its signs of life
	homeWithin  = 2500 * time.Millisecond // without any word of the home, over all streams; a client waits for a node 3 s
)

// remote is the sessions of another region, reached through one of its nodes: each call is a mesh stream of
// its own, since a stream costs one round trip together with its first request.
type remote struct {
	g      *Gateway
	home   skein.Region
	client skein.ClientID // whose high-water mark Open asks for; may be empty
}

var _ Sessions = (*remote)(nil)

// errBroken wraps what makes a stream to the home useless, but not the request.
var errBroken = errors.New("stream to the home region broke")

// exchange is one request to the home region.
type exchange struct {
	o       session.Opening
	request func() *wire.ClientFrame // what follows Open; nil: nothing
	wait    time.Duration            // longest silence of the home
	// take gets every frame, and reports whether it was the last.
	take  func(*wire.ServerFrame) (done bool, err error)
	grown bool      // set by take when the reply grew: the home is alive, so count redials afresh
	heard time.Time // when the home last said anything, or the exchange began
}

// Open opens the session at its home.
func (r *remote) Open(ctx context.Context, o session.Opening) (*session.State, bool, error) {
	var st *session.State
	created := false
	x := &exchange{o: o, wait: openTimeout}
	x.take = func(f *wire.ServerFrame) (bool, error) {
		w := f.GetOpened()
		if w == nil {
			return false, nil
		}
		st, created = r.state(o, w), w.GetCreated()
		return true, nil
	}
	err := r.do(ctx, x)
	return st, created, err
}

// state gives as much of the session as Opened tells.
func (r *remote) state(o session.Opening, w *wire.Opened) *session.State {
	st := &session.State{
		ID: o.Session, Subject: o.Subject, Assistant: w.GetAssistant(), Home: r.home,
		Epoch: skein.Epoch(w.GetEpoch()), Seq: skein.Seq(w.GetSeq()),
	}
	if w.GetHighWater() > 0 {
		st.Marks = []session.Mark{{Client: r.client, Counter: w.GetHighWater()}}
	}
	if w.GetClosed() {
		st.Phase = session.PhaseClosed
	}
	if w.GetOpenTurn() != nil {
		st.Turns = []*session.Turn{{ID: w.GetOpenTurn().TurnID(), Status: session.Running}}
	}
	return st
}

// Turn runs the turn at its home. When the stream breaks it goes on at another node of the home region, behind
// what has been emitted.
func (r *remote) Turn(ctx context.Context, m session.Message, emit func(session.Update) error) error {
	f := following{m: m, reached: m.Offset, emit: emit}
	x := &exchange{o: session.Opening{Session: m.Session, Subject: m.Subject}, wait: silence}
	x.request = func() *wire.ClientFrame {
		return &wire.ClientFrame{Body: &wire.ClientFrame_Turn{Turn: &wire.Turn{
			Id: wire.Ref(m.Turn), Text: m.Text, Offset: uint64(f.reached),
		}}}
	}
	x.take = func(w *wire.ServerFrame) (bool, error) {
		before := f.reached
		done, err := f.take(w)
		x.grown = x.grown || f.reached > before
		return done, err
	}
	return r.do(ctx, x)
}

// History reads one page at the session's home.
func (r *remote) History(ctx context.Context, o session.Opening, after skein.Seq, limit int) ([]session.Event, error) {
	p, err := r.page(ctx, o, after, limit)
	return p.events, err
}

func (r *remote) page(ctx context.Context, o session.Opening, after skein.Seq, limit int) (page, error) {
	var p page
	x := &exchange{o: session.Opening{Session: o.Session, Subject: o.Subject}, wait: openTimeout}
	x.request = func() *wire.ClientFrame {
		return &wire.ClientFrame{Body: &wire.ClientFrame_History{History: &wire.HistoryRequest{
			After: uint64(after), Limit: uint32(limit),
		}}}
	}
	x.take = func(f *wire.ServerFrame) (bool, error) {
		h := f.GetHistory()
		if h == nil {
			return false, nil
		}
		p = page{next: skein.Seq(h.GetNext())}
		for _, e := range h.GetEvents() {
			p.events = append(p.events, eventOf(e))
		}
		return true, nil
	}
	err := r.do(ctx, x)
	return p, err
}

// Close ends the conversation at its home.
func (r *remote) Close(ctx context.Context, o session.Opening, expect skein.Seq) (*session.State, error) {
	var st *session.State
	x := &exchange{o: session.Opening{Session: o.Session, Subject: o.Subject}, wait: openTimeout}
	x.request = func() *wire.ClientFrame {
		return &wire.ClientFrame{Body: &wire.ClientFrame_Close{Close: &wire.Close{Expect: uint64(expect)}}}
	}
	x.take = func(f *wire.ServerFrame) (bool, error) {
		c := f.GetClosed()
		if c == nil {
			return false, nil
		}
		st = &session.State{ID: o.Session, Subject: o.Subject, Home: r.home, Seq: skein.Seq(c.GetSeq()), Phase: session.PhaseClosed}
		return true, nil
	}
	err := r.do(ctx, x)
	return st, err
}

// left is how long the home may still be silent before it counts as out of reach.
func (x *exchange) left() time.Duration { return homeWithin - time.Since(x.heard) }

// do carries out one exchange, on another stream when one breaks. A home that says nothing for homeWithin is out
// of reach, whatever its nodes look like from here.
func (r *remote) do(ctx context.Context, x *exchange) error {
	pause := redialPause
	x.heard = time.Now()
	for try := 0; ; try++ {
		err := r.once(ctx, x)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil || !errors.Is(err, errBroken) && !errors.Is(err, skein.ErrDraining):
			return err
		}
		if x.grown {
			try, pause, x.grown = 0, redialPause, false
		}
		r.g.log.Warn("session's home did not answer", "session", x.o.Session, "try", try+1, "err", err)
		if try >= redials || x.left() <= pause {
			return skein.Fault(skein.CodeHomeUnreachable, "region %s cannot be reached from %s", r.home, r.g.cfg.Node)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause *= 4
	}
}

// once carries out one exchange on one stream.
func (r *remote) once(ctx context.Context, x *exchange) error {
	conn, err := r.dial(ctx, min(dialWithin, x.left()))
	if err != nil {
		return err
	}
	defer conn.Close()
	end := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer end()
	conn.SetWriteDeadline(time.Now().Add(dialWithin))
	if err := r.send(conn, x); err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	in := bufio.NewReaderSize(conn, 4<<10)
	for ctx.Err() == nil {
		conn.SetReadDeadline(time.Now().Add(min(x.wait, x.left())))
		var f wire.ServerFrame
		if err := wire.ReadFrame(in, &f, wire.MaxServerFrame); err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		x.heard = time.Now()
		if e := f.GetError(); e != nil {
			return e.Fault()
		}
		if done, err := x.take(&f); done || err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (r *remote) dial(ctx context.Context, within time.Duration) (net.Conn, error) {
	if r.g.cfg.Abroad == nil {
		return nil, skein.Fault(skein.CodeHomeUnreachable, "region %s cannot be reached from %s", r.home, r.g.cfg.Node)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn, err := r.g.cfg.Abroad(ctx, r.home)
	if err != nil {
		return nil, fmt.Errorf("%w: dial region %s: %w", errBroken, r.home, err)
	}
	return conn, nil
}

// send writes Forward, Open and the request at once.
func (r *remote) send(conn net.Conn, x *exchange) error {
	buf, err := wire.AppendFrame(nil, &wire.Forward{
		Version: wire.Version, Subject: string(x.o.Subject), Gateway: string(r.g.cfg.Node),
	})
	if err != nil {
		return err
	}
	client := ""
	if x.o.Fresh {
		client = string(r.client) // its mark, from the log; the other requests need none
	}
	buf, err = wire.AppendFrame(buf, &wire.ClientFrame{Body: &wire.ClientFrame_Open{Open: &wire.Open{
		Version: wire.Version, Session: string(x.o.Session), Assistant: x.o.Assistant, Create: x.o.Create,
		SeenSeq: uint64(x.o.Seen), Client: client,
	}}})
	if err != nil {
		return err
	}
	if x.request != nil {
		if buf, err = wire.AppendFrame(buf, x.request()); err != nil {
			return err
		}
	}
	_, err = conn.Write(buf)
	return err
}
