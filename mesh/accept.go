package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein/wire"
)

// acceptQueue is how many finished handshakes wait for their owner; beyond it a connection is refused, and the
// client tries the next address at once.
const acceptQueue = 256

// Application error codes of QUIC connections and streams between nodes and for refused clients.
const (
	codeClosing quic.ApplicationErrorCode = 0
	codeBusy    quic.ApplicationErrorCode = 1
	codeRefused quic.ApplicationErrorCode = 2
)

// QUICListener gives the QUIC connections of one ALPN protocol.
type QUICListener struct {
	conns chan *quic.Conn
	done  chan struct{}
	once  sync.Once
}

// Accept waits for the next connection; after the socket's end it returns net.ErrClosed. A client's connection
// may still be in its handshake and carry early data.
func (l *QUICListener) Accept(ctx context.Context) (*quic.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *QUICListener) close() { l.once.Do(func() { close(l.done) }) }

// acceptQUIC empties the library's queue of 32 as fast as it can.
func (s *Socket) acceptQUIC(ctx context.Context, ln *quic.EarlyListener, wg *sync.WaitGroup) error {
	for {
		conn, err := ln.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("accept QUIC: %w", err)
		}
		alpn := conn.ConnectionState().TLS.NegotiatedProtocol
		s.track(conn, false)
		if alpn == wire.ALPNMesh {
			wg.Go(func() { s.admitNode(ctx, conn) })
			continue
		}
		s.hand(conn, s.quics[alpn])
	}
}

// admitNode waits for the end of the handshake, before which no certificate has been seen.
func (s *Socket) admitNode(ctx context.Context, conn *quic.Conn) {
	select {
	case <-conn.HandshakeComplete():
	case <-conn.Context().Done():
		s.badQUIC.Inc()
		return
	case <-ctx.Done():
		return
	}
	if _, err := peerPlace(conn.ConnectionState().TLS); err != nil {
		conn.CloseWithError(codeRefused, "not a node")
		return
	}
	s.track(conn, true)
	s.hand(conn, s.quics[wire.ALPNMesh])
}

func (s *Socket) hand(conn *quic.Conn, to *QUICListener) {
	if to == nil {
		conn.CloseWithError(codeRefused, "protocol not served")
		return
	}
	select {
	case to.conns <- conn:
	default:
		conn.CloseWithError(codeBusy, "busy")
	}
}

// track remembers an accepted connection until it ends.
func (s *Socket) track(conn *quic.Conn, node bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.conns[conn]; !known {
		context.AfterFunc(conn.Context(), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, conn)
		})
	}
	s.conns[conn] = node
}

// closeConns tells every peer, which the transport's own Close does not.
func (s *Socket) closeConns() {
	s.mu.Lock()
	open := make([]*quic.Conn, 0, len(s.conns))
	for conn := range s.conns {
		open = append(open, conn)
	}
	s.mu.Unlock()
	for _, conn := range open {
		conn.CloseWithError(codeClosing, "closing")
	}
}

// acceptStream takes TCP connections and hands them to a bounded number of handshakes.
func (s *Socket) acceptStream(ctx context.Context, wg *sync.WaitGroup) error {
	slots := make(chan struct{}, maxHandshakes)
	conf := s.streamTLS()
	pause := 5 * time.Millisecond
	for {
		conn, err := s.config.Stream.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept TCP: %w", err)
		case err != nil: // out of descriptors, or a connection that is gone already
			s.log.Warn("accept TCP", "err", err)
			if !wait(ctx, pause) {
				return ctx.Err()
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		if !s.pending.place(ctx, slots) {
			conn.Close()
			return ctx.Err()
		}
		within, me := s.enter(ctx, conn)
		wg.Go(func() {
			defer func() { <-slots }()
			defer s.pending.leave(me)
			s.handshake(within, tls.Server(conn, conf))
		})
	}
}

// enter makes a handshake pending: its ClientHello must come within helloTimeout, the rest within handshakeTimeout.
func (s *Socket) enter(ctx context.Context, conn net.Conn) (context.Context, *handshake) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	at, source := sourceOf(conn.RemoteAddr())
	h := &handshake{source: source, began: time.Now(), end: cancel}
	if lives := s.lives.Load(); lives != nil {
		h.member = (*lives)(at)
	}
	conn.SetReadDeadline(time.Now().Add(helloTimeout)) // streamTLS lifts it
	s.pending.enter(h)
	return context.WithValue(ctx, handshakeKey{}, h), h
}

// handshake finishes TLS and hands the connection on by its protocol.
func (s *Socket) handshake(ctx context.Context, conn *tls.Conn) {
	if err := conn.HandshakeContext(ctx); err != nil {
		s.log.Debug("TLS handshake", "peer", conn.RemoteAddr(), "err", err)
		if conn.ConnectionState().NegotiatedProtocol == wire.ALPNTether {
			s.badTether.Inc()
		} else {
			s.badHTTPS.Inc()
		}
		conn.Close()
		return
	}
	to := s.https
	if conn.ConnectionState().NegotiatedProtocol == wire.ALPNTether {
		to = s.tethers
	}
	if !to.put(ctx, conn) {
		conn.Close()
	}
}

// connQueue is a net.Listener of finished TLS connections.
type connQueue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newConnQueue(addr net.Addr) *connQueue {
	return &connQueue{addr: addr, conns: make(chan net.Conn, acceptQueue), done: make(chan struct{})}
}

func (q *connQueue) put(ctx context.Context, conn net.Conn) bool {
	select {
	case <-q.done:
		return false
	default:
	}
	select {
	case q.conns <- conn:
		return true
	case <-q.done:
	case <-ctx.Done():
	}
	return false
}

func (q *connQueue) Accept() (net.Conn, error) {
	select {
	case <-q.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and closes what still waits.
func (q *connQueue) Close() error {
	q.once.Do(func() { close(q.done) })
	for {
		select {
		case conn := <-q.conns:
			conn.Close()
		default:
			return nil
		}
	}
}

func (q *connQueue) Addr() net.Addr { return q.addr }

// wait pauses for d, and reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
