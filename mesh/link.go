package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

const (
	meshIdle      = 3 * time.Second
	meshKeepAlive = time.Second
	dialTimeout   = 2 * time.Second
	redialPause   = 100 * time.Millisecond // a failed dial is not repeated sooner
	retireAfter   = 2 * time.Second
	kindLink      = 'C'

	codeRetired quic.ApplicationErrorCode = 3 // the pair has another connection
	codeDead    quic.ApplicationErrorCode = 4 // the closer holds this run of the peer for dead
)

// link is one QUIC connection with another node. Streams go both ways on it, whoever dialed.
type link struct {
	peer   skein.Runner
	region skein.Region // of the peer, by its certificate
	conn   *quic.Conn
	dialed bool

	mu      sync.Mutex // guards the fields below
	streams int
}

func (l *link) alive() bool { return l.conn.Context().Err() == nil }

func (l *link) count(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams += n
}

func (l *link) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams == 0
}

// links holds the QUIC connections, one a pair; while both sides dial at once there may be two for a moment. Those of
// kindApart are beside them, one for each large stream.
type links struct {
	mesh *Mesh

	mu      sync.Mutex // guards the fields below
	current map[skein.NodeID]*link
	all     map[*link]bool
	dialing map[skein.NodeID]*attempt
}

// attempt is a dial that runs, or one that failed a moment ago.
type attempt struct {
	incarnation skein.Incarnation
	done        chan struct{}
	err         error     // valid once done is closed
	until       time.Time // of a failed one: no dial before
}

func newLinks(m *Mesh) *links {
	return &links{mesh: m, current: map[skein.NodeID]*link{}, all: map[*link]bool{}, dialing: map[skein.NodeID]*attempt{}}
}

// get gives the connection to member, dialing when there is none.
func (s *links) get(ctx context.Context, member Member) (*link, error) {
	for range 3 { // a fresh connection may be lost before it is used, but not for ever
		s.mu.Lock()
		if l := s.current[member.Node]; l != nil && l.alive() && l.peer.Incarnation >= member.Incarnation {
			s.mu.Unlock()
			return l, nil
		}
		a := s.dialing[member.Node]
		if a == nil || a.incarnation != member.Incarnation || !a.until.IsZero() && time.Now().After(a.until) {
			a = &attempt{incarnation: member.Incarnation, done: make(chan struct{})}
			s.dialing[member.Node] = a
			if !s.mesh.tasks.spawn(func(ctx context.Context) { s.dial(ctx, member, a) }) {
				delete(s.dialing, member.Node)
				s.mu.Unlock()
				return nil, fmt.Errorf("dial %s: %w", member.Node, net.ErrClosed)
			}
		}
		s.mu.Unlock()
		select {
		case <-a.done:
			if a.err != nil {
				return nil, a.err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("dial %s: %w", member.Node, context.Cause(ctx))
		}
	}
	return nil, fmt.Errorf("dial %s: connections end at once: %w", member.Node, net.ErrClosed)
}

// dial runs one attempt; it is the only one to its node.
func (s *links) dial(ctx context.Context, member Member, a *attempt) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	l, err := s.connect(ctx, member, kindLink)
	if err == nil {
		s.adopt(l)
		if !s.mesh.tasks.spawn(func(ctx context.Context) { s.serve(ctx, l) }) {
			l.conn.CloseWithError(codeClosing, "closing")
		}
	}
	s.mu.Lock()
	if err != nil {
		a.err, a.until = err, time.Now().Add(redialPause)
	} else if s.dialing[member.Node] == a {
		delete(s.dialing, member.Node)
	}
	close(a.done)
	s.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		s.mesh.lost(member.Runner(), "QUIC dial timed out")
	}
}

// connect dials the addresses in turn and waits for the greeting: a dial succeeds before the far side has seen
// this one's certificate.
func (s *links) connect(ctx context.Context, member Member, kind byte) (*link, error) {
	conf := s.mesh.config.Identity.client(wire.ALPNMesh, member.Node)
	var faults []error
	for _, addr := range member.QUIC {
		conn, err := s.mesh.config.Socket.dial(ctx, addr, conf)
		if err != nil {
			if t, ok := errors.AsType[*quic.TransportError](err); ok && t.ErrorCode.IsCryptoError() {
				s.mesh.counts.foreignDial.Inc()
			}
			faults = append(faults, fmt.Errorf("dial %s at %s: %w", member.Node, addr, err))
			continue
		}
		inc, err := s.hello(ctx, conn, kind)
		if err != nil {
			conn.CloseWithError(codeRefused, "greeting")
			faults = append(faults, fmt.Errorf("greet %s at %s: %w", member.Node, addr, err))
			continue
		}
		place, err := peerPlace(conn.ConnectionState().TLS)
		if err != nil { // the dial's own check has seen it
			conn.CloseWithError(codeRefused, "not a node")
			return nil, err
		}
		return &link{peer: skein.Runner{Node: place.Node, Incarnation: inc}, region: place.Region, conn: conn, dialed: true}, nil
	}
	return nil, errors.Join(faults...)
}

// hello exchanges greetings on the first stream of a dialed connection.
func (s *links) hello(ctx context.Context, conn *quic.Conn, kind byte) (skein.Incarnation, error) {
	str, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return 0, err
	}
	defer str.CancelRead(codeStreamClosed)
	defer str.Close()
	deadline, _ := ctx.Deadline()
	str.SetDeadline(deadline)
	if _, err := str.Write(greeting(kind, s.mesh.config.Self.Incarnation)); err != nil {
		return 0, err
	}
	_, inc, err := readGreeting(str)
	return inc, err
}

// welcome answers the greeting of an accepted connection.
func (s *links) welcome(ctx context.Context, conn *quic.Conn) (*link, error) {
	place, err := peerPlace(conn.ConnectionState().TLS)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	str, err := conn.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	defer str.CancelRead(codeStreamClosed)
	defer str.Close()
	str.SetDeadline(time.Now().Add(handshakeTimeout))
	kind, inc, err := readGreeting(str)
	if err != nil {
		return nil, err
	}
	l := &link{peer: skein.Runner{Node: place.Node, Incarnation: inc}, region: place.Region, conn: conn}
	if kind == kindApart {
		s.add(l)
	} else {
		s.adopt(l) // before the answer: the peer may be asked back at once
	}
	_, err = str.Write(greeting(kindLink, s.mesh.config.Self.Incarnation))
	return l, err
}

// accept serves the connections that others dial.
func (s *links) accept(ctx context.Context) {
	for {
		conn, err := s.mesh.config.Socket.quics[wire.ALPNMesh].Accept(ctx)
		if err != nil {
			return
		}
		started := s.mesh.tasks.spawn(func(ctx context.Context) {
			l, err := s.welcome(ctx, conn)
			if err != nil {
				if l != nil {
					s.drop(l)
				}
				if ctx.Err() == nil {
					s.mesh.counts.badGreeting.Inc()
				}
				s.mesh.log.Debug("greeting of a node", "peer", conn.RemoteAddr(), "err", err)
				conn.CloseWithError(codeRefused, "greeting")
				return
			}
			s.serve(ctx, l)
		})
		if !started {
			conn.CloseWithError(codeClosing, "closing")
		}
	}
}

// adopt makes l the pair's connection, unless the other one is preferred: that of the newer run, then the one
// that the node with the lesser name dialed, then the newer. Both sides decide alike.
func (s *links) adopt(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[l] = true
	old := s.current[l.peer.Node]
	if old == nil || !old.alive() || old.peer.Incarnation < l.peer.Incarnation {
		s.current[l.peer.Node] = l
		return
	}
	loser := l
	if old.dialed == l.dialed || l.dialed == (s.mesh.config.Self.Node < l.peer.Node) {
		s.current[l.peer.Node], loser = l, old
	}
	if loser.dialed {
		s.mesh.tasks.spawn(func(ctx context.Context) { s.retire(ctx, loser) })
	}
}

// retire closes a connection that is one too many, once nothing runs on it.
func (s *links) retire(ctx context.Context, l *link) {
	for wait(ctx, retireAfter) && l.alive() {
		if l.idle() {
			l.conn.CloseWithError(codeRetired, "the pair has another connection")
			return
		}
	}
}
