package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/telemetry"
	"github.com/skein-mesh/skein/wire"
)

// SocketConfig is what Listen needs. All but Service and Log must be set.
type SocketConfig struct {
	Packet   net.PacketConn      // UDP; the socket owns and closes it
	Stream   net.Listener        // TCP; the socket owns and closes it
	Identity *Identity           // what nodes see
	Service  []tls.Certificate   // what clients see; empty: the identity's certificate
	Secret   Secret              // ticket and token keys, shared so that 0-RTT works at another node
	ResetKey [32]byte            // stateless reset (RFC 9000, section 10.3); keep it over restarts, it differs by node
	Log      *slog.Logger        // nil: discard
	Meters   *telemetry.Registry // nil: nothing is counted
}

// Socket is one UDP socket and one TCP listener that several protocols share by ALPN (RFC 7301): clients' QUIC
// protocols, the mesh, HTTPS, and the tether. Connections under the mesh's protocols have shown a node's
// certificate before they are handed on.
type Socket struct {
	config    SocketConfig
	log       *slog.Logger
	transport *quic.Transport
	listener  *quic.EarlyListener
	service   *tls.Config // of QUIC clients
	web       *tls.Config // of TCP clients
	started   chan struct{}

	quics   map[string]*QUICListener // complete before Run
	https   *connQueue
	tethers *connQueue

	badTether, badQUIC, badHTTPS *telemetry.Counter

	pending pending
	lives   atomic.Pointer[func(netip.Addr) bool] // whether a member is there; nil until there is a mesh

	mu    sync.Mutex          // guards the fields below
	conns map[*quic.Conn]bool // accepted and open; true: a node's
}

const (
	handshakeTimeout = 5 * time.Second
	helloTimeout     = 1500 * time.Millisecond // for a first packet over TCP that was lost once to come again
	// clientIdle is how long a silent client's connection is kept; clients send keepalives every 5 s.
	clientIdle = 15 * time.Second
	// Receive windows: a client's connection never grows beyond the first, since its frames are small; nodes may
	// fill the second.
	clientWindow = 512 << 10
	nodeWindow   = 32 << 20
	// maxStreams is the number of streams that a peer may have open; nodes forward their clients' sessions on it.
	maxStreams = 4096
)

// Listen puts QUIC and TLS on the two sockets. Nothing is accepted before Run.
func Listen(c SocketConfig) (*Socket, error) {
	if c.Packet == nil || c.Stream == nil || c.Identity == nil {
		return nil, errors.New("listen: packet connection, listener and identity are needed")
	}
	if err := c.Secret.Validate(); err != nil {
		return nil, err
	}
	if len(c.Service) == 0 {
		c.Service = []tls.Certificate{c.Identity.cert}
	}
	token := quic.TokenGeneratorKey(c.Secret.tokenKey())
	reset := quic.StatelessResetKey(c.ResetKey)
	s := &Socket{
		config: c, log: logger(c.Log), started: make(chan struct{}),
		transport: &quic.Transport{Conn: c.Packet, StatelessResetKey: &reset, TokenGeneratorKey: &token},
		service:   &tls.Config{MinVersion: tls.VersionTLS13, Certificates: c.Service},
		web:       &tls.Config{MinVersion: tls.VersionTLS12, Certificates: c.Service, NextProtos: []string{"h2", "http/1.1"}},
		quics:     map[string]*QUICListener{},
		https:     newConnQueue(c.Stream.Addr()),
		tethers:   newConnQueue(c.Stream.Addr()),
		conns:     map[*quic.Conn]bool{},
		badTether: refusedHandshakes(c.Meters, "tether"), badQUIC: refusedHandshakes(c.Meters, "quic"),
		badHTTPS: refusedHandshakes(c.Meters, "https"),
	}
	s.rotate(time.Now())
	s.QUIC(wire.ALPNMesh)
	return s, nil
}

// QUIC gives the listener of an ALPN protocol; call it before Run.
func (s *Socket) QUIC(alpn string) *QUICListener {
	if l := s.quics[alpn]; l != nil {
		return l
	}
	l := &QUICListener{conns: make(chan *quic.Conn, acceptQueue), done: make(chan struct{})}
	s.quics[alpn] = l
	if alpn != wire.ALPNMesh {
		s.service.NextProtos = append(s.service.NextProtos, alpn)
	}
	return l
}

// HTTPS gives the clients' TLS connections over TCP, handshake finished; their ALPN protocol is h2, http/1.1
// or none.
func (s *Socket) HTTPS() net.Listener { return s.https }

// Run serves until ctx ends, then closes every connection, both sockets and all listeners it gave out.
func (s *Socket) Run(ctx context.Context) error {
	defer s.config.Packet.Close()
	defer s.transport.Close()
	defer s.config.Stream.Close()
	listener, err := s.transport.ListenEarly(s.quicTLS(), s.quicConfig())
	if err != nil {
		return err
	}
	s.listener = listener
	close(s.started)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() { cancel(s.acceptQUIC(ctx, listener, &wg)) })
	wg.Go(func() { cancel(s.acceptStream(ctx, &wg)) })
	wg.Go(func() { s.rotateLoop(ctx) })
	<-ctx.Done()
	listener.Close()
	s.config.Stream.Close()
	for _, l := range s.quics {
		l.close()
	}
	s.https.Close()
	s.tethers.Close()
	wg.Wait()
	s.closeConns()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// quicTLS picks the configuration by what the client offers.
func (s *Socket) quicTLS() *tls.Config {
	node := s.config.Identity.server(wire.ALPNMesh)
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if only(hello, wire.ALPNMesh) {
				return node, nil
			}
			return s.service, nil
		},
	}
}

// streamTLS is quicTLS for TCP.
func (s *Socket) streamTLS() *tls.Config {
	node := s.config.Identity.server(wire.ALPNTether)
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			hello.Conn.SetReadDeadline(time.Time{}) // the hello has come
			s.pending.spoken(hello.Context())
			if only(hello, wire.ALPNTether) {
				return node, nil
			}
			return s.web, nil
		},
	}
}

func only(hello *tls.ClientHelloInfo, alpn string) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == alpn
}

func (s *Socket) quicConfig() *quic.Config {
	return &quic.Config{
		MaxIdleTimeout: clientIdle, HandshakeIdleTimeout: handshakeTimeout, Allow0RTT: true,
		MaxIncomingStreams: maxStreams, MaxIncomingUniStreams: 16,
		InitialStreamReceiveWindow: clientWindow / 2, MaxStreamReceiveWindow: nodeWindow / 2,
		InitialConnectionReceiveWindow: clientWindow, MaxConnectionReceiveWindow: nodeWindow,
		AllowConnectionWindowIncrease: func(conn *quic.Conn, _ uint64) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.conns[conn]
		},
	}
}

// rotate sets the ticket keys of the epoch that now is in.
func (s *Socket) rotate(now time.Time) {
	keys := s.config.Secret.ticketKeys(now)
	s.service.SetSessionTicketKeys(keys)
	s.web.SetSessionTicketKeys(keys)
}

func (s *Socket) rotateLoop(ctx context.Context) {
	tick := time.NewTicker(ticketEpoch / 12)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.rotate(now)
		}
	}
}

// dial opens a QUIC connection from the shared UDP socket.
func (s *Socket) dial(ctx context.Context, addr netip.AddrPort, conf *tls.Config) (*quic.Conn, error) {
	select {
	case <-s.started:
	case <-ctx.Done():
		return nil, skein.Fault(skein.CodeInternal, "dial %s: the socket does not run", addr)
	}
	return s.transport.Dial(ctx, net.UDPAddrFromAddrPort(addr), conf, &quic.Config{
		MaxIdleTimeout: meshIdle, KeepAlivePeriod: meshKeepAlive, HandshakeIdleTimeout: dialTimeout,
		MaxIncomingStreams: maxStreams, MaxIncomingUniStreams: -1,
		MaxStreamReceiveWindow: nodeWindow / 2, MaxConnectionReceiveWindow: nodeWindow,
	})
}
