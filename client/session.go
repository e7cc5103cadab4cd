package client

import (
	"context"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// Options say how a session is opened.
type Options struct {
	Assistant string // empty: the mesh's default
	Resume    bool   // only attach to a session that exists: skein.ErrUnknownSession otherwise
	// FailFast ends a turn that a node has no room for with that node's skein.ErrOverloaded, whose RetryAfter says when
	// to send it again. Otherwise the session waits so long by itself, within Config.Patience.
	FailFast bool
}

// Session is one conversation. It is safe for concurrent use, but runs one turn at a time.
type Session struct {
	c      *Client
	name   string // as it was asked for
	opt    Options
	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when the loop has ended

	calls  chan func(*loop) // what the loop is asked to do
	events chan event       // what legs tell the loop
	asking chan struct{}    // holds one token: one question at a time

	mu   sync.Mutex // guards the fields below
	id   skein.SessionID
	node Node
}

// Open opens the session, or attaches to it when it exists. Without a region ("k3v9" instead of "eu~k3v9") it
// is opened in the region of the node that the client is connected to; ID gives the full id.
func (c *Client) Open(ctx context.Context, session string, opt Options) (*Session, error) {
	if err := checkSession(session); err != nil {
		return nil, err
	}
	s := &Session{
		c: c, name: session, opt: opt, ended: make(chan struct{}),
		calls: make(chan func(*loop)), events: make(chan event), asking: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	opened := make(chan error, 1)
	l := newLoop(s, opened)
	if !c.spawn(func() { l.run() }) {
		s.cancel(ErrClosed)
		return nil, ErrClosed
	}
	var err error
	select {
	case err = <-opened:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.ended:
		err = ErrClosed
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("open session %s: %w", session, err)
	}
	return s, nil
}

func checkSession(name string) error {
	id := skein.SessionID(name)
	if region, _ := id.Split(); region == "" && skein.ValidName(name) {
		return nil
	}
	return id.Validate()
}

// ID gives the full id of the session.
func (s *Session) ID() skein.SessionID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// Node gives the node that answered last.
func (s *Session) Node() Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// Close ends the session's stream and goroutines; a turn that runs ends here with ErrClosed and goes on
// in the mesh.
func (s *Session) Close() error {
	s.cancel(ErrClosed)
	<-s.ended
	return nil
}

// Send sends a message under the next turn id. ctx bounds the whole turn, not just this call. While another
// turn of this session runs, from here or from another client instance that the node knows of, the error of the
// turn is skein.ErrTurnOpen: here at once, there after the patience.
func (s *Session) Send(ctx context.Context, text string) (*Turn, error) {
	return s.send(ctx, skein.TurnID{}, text)
}

// SendID sends a message under a given id, for example again after a restart of the client: a known turn is not run
// a second time. Send goes on above its counter when the client instance is this one.
func (s *Session) SendID(ctx context.Context, id skein.TurnID, text string) (*Turn, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	return s.send(ctx, id, text)
}

func (s *Session) send(ctx context.Context, id skein.TurnID, text string) (*Turn, error) {
	if !utf8.ValidString(text) {
		return nil, skein.Fault(skein.CodeMalformed, "the message is not UTF-8")
	}
	if len(text) > wire.MaxClientFrame-1024 {
		return nil, skein.Fault(skein.CodeTooLarge, "a message of %d bytes does not fit into a frame", len(text))
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	type started struct {
		turn *Turn
		err  error
	}
	res := make(chan started, 1)
	err := s.do(ctx, func(l *loop) {
		t, err := l.start(ctx, id, text)
		res <- started{t, err}
	})
	if err != nil {
		return nil, err
	}
	r := <-res
	return r.turn, r.err
}

// do runs f on the session's loop.
func (s *Session) do(ctx context.Context, f func(*loop)) error {
	select {
	case s.calls <- f:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ended:
		return ErrClosed
	}
}
