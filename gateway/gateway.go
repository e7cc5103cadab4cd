package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/sync/errgroup"

	"github.com/skein-mesh/skein"
)

const (
	firstStream = 60 * time.Second       // a connection that has shown no valid token for so long is closed
	openWithin  = 5 * time.Second        // for the first frame of a stream
	openTimeout = 10 * time.Second       // for Sessions to find or make a session
	frameWithin = 10 * time.Second       // for the rest of a frame that has begun
	writeWithin = 10 * time.Second       // for a client to take what is written
	followLimit = 15 * time.Minute       // for one turn to be followed
	lastWords   = time.Second            // for what is written to reach clients before a connection is closed
	lifeSign    = 50 * time.Millisecond  // the longest silence of a native stream while a turn runs
	forwardSign = 200 * time.Millisecond // the same between nodes
	maxPending  = 8                      // turns that wait on one stream
)

// Gateway lets clients in. Create it with New, then Run it.
type Gateway struct {
	cfg    Config
	verify verifier
	limit  *limiter // of turns
	opens  *limiter // of streams that open a session
	m      *meters
	log    *slog.Logger

	h1 *http.Server
	h3 *http3.Server

	turns    gate // turns that clients follow; shut while draining
	lines    gate // open native, forwarded and WebSocket sessions
	handlers gate // HTTP requests
	conns    gate // QUIC connections

	sockets gate         // WebSockets
	tcp     atomic.Int64 // TCP connections that are no WebSocket

	finish chan struct{} // closed when every line shall end
	once   sync.Once     // for Drain

	mu sync.Mutex
	// mu guards the fields below
	draining bool
	changed  chan struct{} // closed and replaced when draining changes
	open     map[*quic.Conn]struct{}
}

// New makes a Gateway; it opens nothing.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	limit, err := newLimiter("turns", cfg.Limits)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	opens, err := newLimiter("opens", cfg.Limits)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{
		cfg: cfg, verify: newVerifier(cfg.Keys, cfg.Service), limit: limit, opens: opens, m: newMeters(cfg.Meters), log: cfg.Log,
		finish: make(chan struct{}), changed: make(chan struct{}), open: map[*quic.Conn]struct{}{},
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	g.h1, g.h3 = g.servers()
	return g, nil
}

// Run serves clients until ctx ends, then closes what is still open and returns nil. An accept that cannot
// go on ends it with an error. Call Drain before the end of ctx to let turns finish.
func (g *Gateway) Run(ctx context.Context) error {
	eg, ctx := errgroup.WithContext(ctx)
	if g.cfg.Native != nil {
		eg.Go(func() error { return g.accept(ctx, g.cfg.Native, g.serveConn) })
	}
	if g.cfg.H3 != nil {
		eg.Go(func() error { return g.accept(ctx, g.cfg.H3, g.serveH3) })
	}
	if g.cfg.HTTPS != nil {
		eg.Go(func() error { return g.serveHTTPS(ctx) })
	}
	eg.Go(func() error {
		<-ctx.Done()
		return nil
	})
	err := eg.Wait()
	// WebSockets end by themselves: finish tells them, and their requests are counted as handlers.
	g.finishLines()
	if err := g.handlers.wait(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return err
}

// accept serves every connection of l in a goroutine of its own, and returns when all have ended.
func (g *Gateway) accept(ctx context.Context, l Acceptor, serve func(context.Context, *quic.Conn)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept client: %w", err)
		}
		if g.isDraining() {
			conn.CloseWithError(quic.ApplicationErrorCode(skein.CodeDraining), "draining")
			continue
		}
		if !g.conns.enterUpTo(g.cfg.Limits.Connections) {
			conn.CloseWithError(quic.ApplicationErrorCode(skein.CodeOverloaded), "too many connections")
			continue
		}
		g.keep(conn)
		wg.Go(func() {
			defer g.conns.leave()
			defer g.forget(conn)
			serve(ctx, conn)
		})
	}
}

func (g *Gateway) serveHTTPS(ctx context.Context) error {
	end := context.AfterFunc(ctx, func() { g.h1.Close() })
	defer end()
	g.h1.BaseContext = baseContext(ctx)
	err := g.h1.Serve(g.cfg.HTTPS)
	if errors.Is(err, http.ErrServerClosed) || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve https: %w", err)
}

// serveH3 waits for the end of the handshake first: a request in replayed early data would run again, since
// its turn may have no id of the client's.
func (g *Gateway) serveH3(ctx context.Context, conn *quic.Conn) {
	end := context.AfterFunc(ctx, func() { conn.CloseWithError(0, "") })
	defer end()
	defer conn.CloseWithError(0, "")
	select {
	case <-conn.HandshakeComplete():
	case <-conn.Context().Done():
		return
	}
	if err := g.h3.ServeQUICConn(conn); err != nil {
		g.log.Debug("http/3 connection ended", "remote", conn.RemoteAddr(), "err", err)
	}
}

func (g *Gateway) keep(c *quic.Conn) {
	g.mu.Lock()
	g.open[c] = struct{}{}
	n := len(g.open)
	g.mu.Unlock()
	g.m.connections(n)
}

func (g *Gateway) forget(c *quic.Conn) {
	g.mu.Lock()
	delete(g.open, c)
	n := len(g.open)
	g.mu.Unlock()
	g.m.connections(n)
}

func (g *Gateway) finishLines() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.finish:
	default:
		close(g.finish)
	}
}
