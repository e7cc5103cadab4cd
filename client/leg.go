package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// leg is one stream of a session to one node. The session's loop owns the fields; run writes and a
// second goroutine reads.
type leg struct {
	addr   netip.AddrPort // never changed; the goroutines read it
	node   Node
	cancel context.CancelFunc
	out    chan []byte // room for a turn, its repeat and a history behind the opening frames
	opened bool        // the node has answered the open
	goaway bool        // the node wants us to leave
	last   time.Time   // newest frame, or the start
	ch     channel     // set by the event of the first frame

	sent  []byte // owned by run: what is sent again if early data is rejected
	heard atomic.Bool
}

// event is what a leg tells its session's loop: frames that came together, or with err its end.
type event struct {
	leg    *leg
	ch     channel
	frames []*wire.ServerFrame
	err    error
}

// maxTogether is how many frames are told at once.
const maxTogether = 16

// carrier opens channels to nodes: the pool, or a script in tests.
type carrier interface {
	open(ctx context.Context, addr netip.AddrPort) (channel, error)
	keep(channel)
}

// run carries frames until ctx ends or the stream does.
func (g *leg) run(ctx context.Context, s *Session, open *wire.Open, first []byte) {
	err := g.carry(ctx, s, open, first)
	g.tell(ctx, s, event{err: err})
}

func (g *leg) carry(ctx context.Context, s *Session, open *wire.Open, first []byte) error {
	token, err := s.c.cfg.Token(ctx)
	if err != nil {
		return &tokenError{err}
	}
	open.Token = token
	buf, err := wire.AppendFrame(nil, &wire.ClientFrame{Body: &wire.ClientFrame_Open{Open: open}})
	if err != nil {
		return err
	}
	if len(buf) > wire.MaxClientFrame {
		return skein.Fault(skein.CodeTooLarge, "token of %d bytes", len(token))
	}
	ch, err := s.c.carrier.open(ctx, g.addr)
	if err != nil {
		return err
	}
	g.sent = append(buf, first...)
	err = g.talk(ctx, s, ch)
	if errors.Is(err, quic.Err0RTTRejected) {
		// The node does not know our ticket, and what went as early data did not arrive. The connection
		// lives; the old stream holds it until the new one does.
		next, again := s.c.carrier.open(ctx, g.addr)
		ch.Close()
		if again != nil {
			return again
		}
		ch, err = next, g.talk(ctx, s, next)
	}
	ch.Close()
	return err
}

// talk sends what was sent before and then what comes, and reads, until ctx or the stream ends.
func (g *leg) talk(ctx context.Context, s *Session, ch channel) error {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, ch.stop)
	defer stop()
	ended := make(chan struct{})
	s.c.wg.Go(func() {
		defer close(ended)
		cancel(g.read(ctx, s, ch))
	})
	_, err := ch.Write(g.sent)
	for err == nil {
		select {
		case b := <-g.out:
			if g.sent = append(g.sent, b...); g.heard.Load() {
				g.sent = nil // an answer came: early data was not rejected
			}
			_, err = ch.Write(b)
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	cancel(err)
	<-ended
	// A write that was cut off by the end of the read side says less than why that ended.
	return context.Cause(ctx)
}

func (g *leg) read(ctx context.Context, s *Session, ch channel) error {
	r := bufio.NewReader(ch)
	for {
		f, err := readServer(r)
		if err != nil {
			return fmt.Errorf("stream from %s: %w", g.addr, err)
		}
		frames := []*wire.ServerFrame{f}
		for len(frames) < maxTogether && wire.Whole(r) {
			if f, err = readServer(r); err != nil {
				break
			}
			frames = append(frames, f)
		}
		g.heard.Store(true)
		g.tell(ctx, s, event{ch: ch, frames: frames})
		if err != nil {
			return fmt.Errorf("stream from %s: %w", g.addr, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// readServer reads one frame of a node.
func readServer(r *bufio.Reader) (*wire.ServerFrame, error) {
	body, err := wire.ReadBody(r, wire.MaxServerFrame)
	if err != nil {
		return nil, err
	}
	f := &wire.ServerFrame{}
	if err := f.UnmarshalVT(body); err != nil {
		return nil, skein.Fault(skein.CodeMalformed, "frame is not protobuf")
	}
	return f, nil
}

// tell hands ev to the loop, unless the loop has let go of the leg.
func (g *leg) tell(ctx context.Context, s *Session, ev event) {
	ev.leg = g
	select {
	case s.events <- ev:
	case <-ctx.Done():
	}
}

// send queues frames; false says that the node has not taken the ones before.
func (g *leg) send(frames []byte) bool {
	select {
	case g.out <- frames:
		return true
	default:
		return false
	}
}

// tokenError is a failure of Config.Token: no node is to blame and no other can help.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return fmt.Sprintf("get a token: %v", e.err) }
func (e *tokenError) Unwrap() error { return e.err }
