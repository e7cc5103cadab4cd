package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein/wire"
)

// channel is one stream to a node. Write and Close are for one goroutine; stop may be called beside them.
type channel interface {
	io.ReadWriteCloser
	stop()              // ends a blocked Read and Write
	rtt() time.Duration // smoothed round trip; 0: not known yet
}

// pool holds the QUIC connections: at most one to an address, shared by all sessions, over one UDP socket.
// A connection lives as long as a stream or the pin holds it.
type pool struct {
	tls    *tls.Config
	quic   *quic.Config
	socket func() (net.PacketConn, error)
	ctx    context.Context // ends dials
	wg     sync.WaitGroup

	patient bool // no early data

	mu     sync.Mutex // guards the fields below
	tr     *quic.Transport
	links  map[netip.AddrPort]*link
	pinned *link
}

// link is a connection; conn and err are set once ready is closed.
type link struct {
	addr   netip.AddrPort
	cancel context.CancelFunc
	ready  chan struct{}
	conn   *quic.Conn
	err    error
	refs   int // guarded by pool.mu
}

func newPool(ctx context.Context, cfg *Config) *pool {
	return &pool{
		tls: &tls.Config{
			RootCAs: cfg.Roots, ServerName: cfg.Service, NextProtos: []string{wire.ALPNClient}, MinVersion: tls.VersionTLS13,
			ClientSessionCache: tls.NewLRUClientSessionCache(8), // all nodes share one name, so one entry is in use
		},
		quic: &quic.Config{
			HandshakeIdleTimeout: dialTimeout, MaxIdleTimeout: idleTimeout, KeepAlivePeriod: keepAlive,
			MaxIncomingStreams: -1, MaxIncomingUniStreams: -1,
			TokenStore: quic.NewLRUTokenStore(8, 4),
		},
		socket: cfg.DialPacket, ctx: ctx, patient: cfg.NoEarlyData, links: map[netip.AddrPort]*link{},
	}
}

// acquire gives the connection to addr, dialled if need be; early data may be sent on it before the
// handshake is done when a ticket is at hand. The caller releases it.
func (p *pool) acquire(ctx context.Context, addr netip.AddrPort) (*link, error) {
	p.mu.Lock()
	l := p.links[addr]
	if l == nil || l.dead() {
		dialCtx, cancel := context.WithTimeout(p.ctx, dialTimeout)
		l = &link{addr: addr, cancel: cancel, ready: make(chan struct{})}
		p.links[addr] = l
		p.wg.Go(func() { p.dial(dialCtx, l) })
	}
	l.refs++
	p.mu.Unlock()
	select {
	case <-l.ready:
		if l.err == nil {
			return l, nil
		}
		p.release(l)
		return nil, l.err
	case <-ctx.Done():
		p.release(l)
		return nil, fmt.Errorf("connect to %s: %w", addr, context.Cause(ctx))
	}
}

func (p *pool) dial(ctx context.Context, l *link) {
	defer l.cancel()
	conn, err := p.handshake(ctx, l.addr)
	if err != nil {
		err = fmt.Errorf("connect to %s: %w", l.addr, err)
	}
	p.mu.Lock()
	l.conn, l.err = conn, err
	close(l.ready)
	orphan := l.refs == 0 && conn != nil
	p.mu.Unlock()
	if orphan {
		conn.CloseWithError(0, "")
	}
}

func (p *pool) handshake(ctx context.Context, addr netip.AddrPort) (*quic.Conn, error) {
	var conn *quic.Conn
	for range 2 { // a socket that broke is replaced once
		tr, err := p.transport()
		if err != nil {
			return nil, err
		}
		dial := tr.DialEarly
		if p.patient {
			dial = tr.Dial
		}
		conn, err = dial(ctx, net.UDPAddrFromAddrPort(addr), p.tls, p.quic)
		if err == nil || !errors.Is(err, quic.ErrTransportClosed) || p.ctx.Err() != nil {
			return conn, err
		}
		p.discard(tr)
	}
	return nil, quic.ErrTransportClosed
}

func (p *pool) transport() (*quic.Transport, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if p.tr == nil {
		pc, err := p.socket()
		if err != nil {
			return nil, fmt.Errorf("open a UDP socket: %w", err)
		}
		p.tr = &quic.Transport{Conn: pc}
	}
	return p.tr, nil
}

func (p *pool) discard(tr *quic.Transport) {
	p.mu.Lock()
	mine := p.tr == tr
	if mine {
		p.tr = nil
	}
	p.mu.Unlock()
	if mine {
		tr.Close()
		tr.Conn.Close()
	}
}

func (p *pool) release(l *link) {
	p.mu.Lock()
	l.refs--
	last := l.refs == 0
	if last && p.links[l.addr] == l {
		delete(p.links, l.addr)
	}
	p.mu.Unlock()
	if !last {
		return
	}
	l.cancel()
	select {
	case <-l.ready:
		if l.conn != nil {
			l.conn.CloseWithError(0, "")
		}
	default: // dial closes what it finds orphaned
	}
}

// pin keeps l open without a stream and lets go of the connection that was pinned before.
func (p *pool) pin(l *link) {
	p.mu.Lock()
	old := p.pinned
	if old == l {
		p.mu.Unlock()
		return
	}
	p.pinned = l
	l.refs++
	p.mu.Unlock()
	if old != nil {
		p.release(old)
	}
}

// current gives the address of the pinned connection while it lives.
func (p *pool) current() (netip.AddrPort, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pinned == nil || p.pinned.dead() {
		return netip.AddrPort{}, false
	}
	return p.pinned.addr, true
}

// open opens a stream to addr.
func (p *pool) open(ctx context.Context, addr netip.AddrPort) (channel, error) {
	l, err := p.acquire(ctx, addr)
	if err != nil {
		return nil, err
	}
	st, err := l.conn.OpenStreamSync(ctx)
	if errors.Is(err, quic.Err0RTTRejected) {
		// The node does not know our ticket: go on after the full handshake, on the same connection.
		if _, err = l.conn.NextConnection(ctx); err == nil {
			st, err = l.conn.OpenStreamSync(ctx)
		}
	}
	if err != nil {
		p.release(l)
		return nil, fmt.Errorf("open a stream to %s: %w", addr, err)
	}
	return &stream{Stream: st, pool: p, link: l}, nil
}

// keep pins the connection of a channel that won.
func (p *pool) keep(c channel) {
	if s, ok := c.(*stream); ok {
		p.pin(s.link)
	}
}

// close ends every connection and waits for their goroutines; the context that dials run under has ended.
func (p *pool) close() {
	p.wg.Wait()
	p.mu.Lock()
	links, tr := p.links, p.tr
	p.links, p.tr, p.pinned = map[netip.AddrPort]*link{}, nil, nil
	p.mu.Unlock()
	for _, l := range links {
		if l.conn != nil {
			l.conn.CloseWithError(0, "")
		}
	}
	if tr != nil {
		tr.Close()
		tr.Conn.Close()
	}
}

func (l *link) dead() bool {
	select {
	case <-l.ready:
		return l.err != nil || l.conn.Context().Err() != nil
	default:
		return false
	}
}

// alive waits until the node has proved that it is there: with a ticket a dial returns before it has.
func (l *link) alive(ctx context.Context) error {
	select {
	case <-l.conn.HandshakeComplete():
		return nil
	case <-l.conn.Context().Done():
		return fmt.Errorf("connect to %s: %w", l.addr, context.Cause(l.conn.Context()))
	case <-ctx.Done():
		return fmt.Errorf("connect to %s: %w", l.addr, context.Cause(ctx))
	}
}

type stream struct {
	*quic.Stream
	pool *pool
	link *link
}

func (s *stream) rtt() time.Duration { return s.link.conn.ConnectionStats().SmoothedRTT }

func (s *stream) stop() {
	s.CancelRead(0)
	s.SetWriteDeadline(time.Now())
}

func (s *stream) Close() error {
	err := s.Stream.Close()
	s.CancelRead(0) // without it the stream counts against the node's limit for ever
	s.pool.release(s.link)
	return err
}
