package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
)

// maxService is the length of a service's name in bytes.
const maxService = 32

// Error codes of refused streams.
const (
	codeUnknownService quic.StreamErrorCode = 2
	codeOtherRegion    quic.StreamErrorCode = 3 // the service is for nodes of its own region
)

// Handle has h serve the streams that other nodes, of any region, open for service; call it before Run. The
// context ends with the connection, the stream is closed when h returns.
func (m *Mesh) Handle(service string, h func(ctx context.Context, peer skein.NodeID, conn net.Conn)) {
	m.handle(service, handler{serve: h})
}

// HandleRegion is Handle for a service that only nodes of this region may use, by their certificates. Streams of
// others are refused and counted.
func (m *Mesh) HandleRegion(service string, h func(ctx context.Context, peer skein.NodeID, conn net.Conn)) {
	m.handle(service, handler{serve: h, regional: true})
}

func (m *Mesh) handle(service string, h handler) {
	if service == "" || len(service) > maxService {
		panic("mesh: a service's name has 1 to 32 bytes")
	}
	m.handlers[service] = h
}

// Dial opens a stream for service on the connection with node. It fails at once when node is unknown
// (skein.ErrUnknownNode), dead or left; an error of the far side, such as an unknown service, appears at the
// first Read.
func (m *Mesh) Dial(ctx context.Context, node skein.NodeID, service string) (net.Conn, error) {
	if service == "" || len(service) > maxService {
		return nil, skein.Fault(skein.CodeMalformed, "service %.40q", service)
	}
	if node == m.config.Self.Node {
		return m.dialSelf(service)
	}
	for again := true; ; again = false {
		member, ok := m.Member(node)
		if !ok {
			return nil, skein.Fault(skein.CodeUnknownNode, "dial %s: no member of that name", node)
		}
		if member.gone() {
			return nil, fmt.Errorf("dial %s: the node is %s: %w", node, member.Status, net.ErrClosed)
		}
		l, err := m.links.get(ctx, member)
		if err != nil {
			return nil, err
		}
		conn, err := m.openStream(ctx, l, service)
		if err == nil {
			return conn, nil
		}
		if !again || ctx.Err() != nil || l.alive() {
			return nil, fmt.Errorf("open %s at %s: %w", service, node, err)
		}
	}
}

// openStream opens a stream and names the service, which also makes the stream visible to the peer.
func (m *Mesh) openStream(ctx context.Context, l *link, service string) (net.Conn, error) {
	str, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	conn := m.wrap(l, str)
	conn.SetWriteDeadline(time.Now().Add(dialTimeout))
	if _, err := conn.Write(append([]byte{byte(len(service))}, service...)); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetWriteDeadline(time.Time{})
	return conn, nil
}

func (m *Mesh) wrap(l *link, str *quic.Stream) *stream {
	l.count(1)
	return &stream{quic: str, local: nodeAddr(m.config.Self.Node), remote: nodeAddr(l.peer.Node), release: func() { l.count(-1) }}
}

// dialSelf joins a pipe to the handler.
func (m *Mesh) dialSelf(service string) (net.Conn, error) {
	h, ok := m.handlers[service]
	if !ok {
		return nil, skein.Fault(skein.CodeMalformed, "service %s is not served", service)
	}
	near, far := net.Pipe()
	started := m.tasks.spawn(func(ctx context.Context) {
		defer context.AfterFunc(ctx, func() { far.Close() })()
		defer far.Close()
		h.serve(ctx, m.config.Self.Node, far)
	})
	if !started {
		return nil, fmt.Errorf("open %s: %w", service, net.ErrClosed)
	}
	return near, nil
}

// serve takes the streams of a connection until it ends, which is evidence against the peer.
func (s *links) serve(ctx context.Context, l *link) {
	for {
		str, err := l.conn.AcceptStream(ctx)
		if err != nil {
			break
		}
		conn := s.mesh.wrap(l, str)
		if !s.mesh.tasks.spawn(func(ctx context.Context) { s.mesh.serveStream(ctx, l, conn) }) {
			conn.Close()
			break
		}
	}
	if ctx.Err() != nil {
		l.conn.CloseWithError(codeClosing, "closing")
	}
	<-l.conn.Context().Done()
	s.drop(l)
	cause := context.Cause(l.conn.Context())
	if app, ok := errors.AsType[*quic.ApplicationError](cause); ok && (!app.Remote || app.ErrorCode == codeRetired) {
		return
	}
	if ctx.Err() == nil && !s.mesh.leaving.Load() {
		s.mesh.lost(l.peer, "QUIC connection lost: "+cause.Error())
	}
}

func (m *Mesh) serveStream(ctx context.Context, l *link, conn *stream) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.conn.Context(), cancel)()
	conn.SetReadDeadline(time.Now().Add(handshakeTimeout))
	service, err := readService(conn)
	if err != nil {
		if ctx.Err() == nil {
			m.counts.badService.Inc()
		}
		m.log.Debug("stream without a service", "peer", l.peer.Node, "err", err)
		return
	}
	conn.SetReadDeadline(time.Time{})
	h, ok := m.handlers[service]
	if !ok {
		m.counts.badService.Inc()
		m.log.Warn("stream for a service that is not served", "peer", l.peer.Node, "service", service)
		conn.quic.CancelWrite(codeUnknownService)
		return
	}
	if h.regional && l.region != m.config.Self.Region {
		m.counts.badService.Inc()
		m.log.Warn("stream of another region for a service of this one", "peer", l.peer.Node, "region", l.region, "service", service)
		conn.quic.CancelWrite(codeOtherRegion)
		return
	}
	h.serve(ctx, l.peer.Node, conn)
}

func readService(r io.Reader) (string, error) {
	var buf [1 + maxService]byte
	if _, err := io.ReadFull(r, buf[:1]); err != nil {
		return "", err
	}
	n := int(buf[0])
	if n == 0 || n > maxService {
		return "", skein.Fault(skein.CodeMalformed, "service name of %d bytes", n)
	}
	if _, err := io.ReadFull(r, buf[1:1+n]); err != nil {
		return "", err
	}
	return string(buf[1 : 1+n]), nil
}

func (s *links) drop(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, l)
	if s.current[l.peer.Node] == l {
		delete(s.current, l.peer.Node)
	}
}

// reap closes the connections with runs that are dead, left or replaced, so that whoever waits on one fails at
// once.
func (s *links) reap(ctx context.Context) {
	for {
		changed := s.mesh.Changed()
		for _, l := range s.open() {
			member, ok := s.mesh.Member(l.peer.Node)
			if ok && (member.Incarnation > l.peer.Incarnation || member.Incarnation == l.peer.Incarnation && member.gone()) {
				s.mesh.log.Debug("closing the connection with a node that is gone", "about", l.peer.String())
				l.conn.CloseWithError(codeDead, "gone")
			}
		}
		s.forgetAttempts()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// forgetAttempts drops failed dials that bind nobody any more.
func (s *links) forgetAttempts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for id, a := range s.dialing {
		if !a.until.IsZero() && now.After(a.until) {
			delete(s.dialing, id)
		}
	}
}

func (s *links) open() []*link {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*link, 0, len(s.all))
	for l := range s.all {
		out = append(out, l)
	}
	return out
}

func (s *links) closeAll() {
	for _, l := range s.open() {
		l.conn.CloseWithError(codeClosing, "closing")
	}
}
