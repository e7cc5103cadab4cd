package gateway

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/telemetry"
)

// Sessions runs sessions. The context of a call is only that of its caller: a turn goes on when it ends.
// Errors that a client may see are *skein.Error.
type Sessions interface {
	// Open finds or makes a session; created reports that this call made it.
	Open(ctx context.Context, o session.Opening) (st *session.State, created bool, err error)
	// Turn runs the turn, or follows it when it is known, and calls emit, from one goroutine, for all that
	// happens behind m.Offset. It returns nil after an UpdateCompleted, and the error of emit as it is.
	Turn(ctx context.Context, m session.Message, emit func(session.Update) error) error
	// History gives up to limit kept events behind sequence number after, oldest first.
	History(ctx context.Context, o session.Opening, after skein.Seq, limit int) ([]session.Event, error)
	// Close ends the conversation; expect is the sequence number that it must be at, 0: any.
	Close(ctx context.Context, o session.Opening, expect skein.Seq) (*session.State, error)
}

// Acceptor gives QUIC connections whose ALPN has been negotiated.
type Acceptor interface {
	Accept(ctx context.Context) (*quic.Conn, error)
}

// Peer is a node that a client may go to.
type Peer struct {
	Node   skein.NodeID
	Region skein.Region
	Zone   skein.Zone
	QUIC   []netip.AddrPort
}

// Config is what a Gateway needs. Optional fields say what their zero value means.
type Config struct {
	Node    skein.NodeID
	Region  skein.Region
	Zone    skein.Zone
	Service string // audience of the tokens, and the TLS server name of the mesh

	Sessions Sessions // of this region
	// Said finds what was said in a subject's sessions of this region. nil: it is not told.
	Said func(ctx context.Context, q session.Query) (session.Findings, error)
	// Abroad dials a mesh stream of the service "session" to a good node of another region, another one
	// after a failure. nil: sessions of other regions are unreachable.
	Abroad func(ctx context.Context, home skein.Region) (net.Conn, error)
	// Peers lists where clients of sessions of the home region may go, best first. nil: none.
	Peers func(home skein.Region) []Peer
	// PeersChanged gives a channel that closes when Peers would answer otherwise. nil: never.
	PeersChanged func() <-chan struct{}

	Keys    []ed25519.PublicKey // each verifies tokens; 1 to 4
	Default string              // assistant of sessions that name none; empty: Sessions chooses
	Origins []string            // hosts of web pages, other than this one's, that may open a WebSocket
	AltSvc  uint16              // UDP port of HTTP/3 that HTTP/2 answers advertise; 0: none
	Limits  Limits

	Native Acceptor     // ALPN skein/1; nil: none
	H3     Acceptor     // ALPN h3; nil: none
	HTTPS  net.Listener // finished *tls.Conn with ALPN h2 or http/1.1; nil: none

	Log    *slog.Logger        // nil: discard
	Meters *telemetry.Registry // nil: not counted
}

// Limits bound what clients may ask. Opens of sessions, each native stream and each WebSocket, new or resumed, are
// counted apart from turns and have the same rate and burst; a turn over HTTP that opens its session is one turn.
type Limits struct {
	TurnsPerSecond float64 // of one subject, and opens; 0: unlimited
	Burst          int     // turns at once, and opens; 0: twice TurnsPerSecond, at least 1
	Sessions       int     // streams of one native connection; 0: 256
	Connections    int     // QUIC connections, TCP connections and WebSockets, of each so many; 0: 16384
}

func (l Limits) withDefaults() Limits {
	if l.Burst == 0 {
		l.Burst = max(1, int(2*l.TurnsPerSecond))
	}
	if l.Sessions == 0 {
		l.Sessions = 256
	}
	if l.Connections == 0 {
		l.Connections = 16384
	}
	return l
}

// Validate gives all faults of the configuration at once, nil when there is none.
func (c *Config) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(!skein.ValidName(string(c.Node)), "node %.80q is no name", c.Node)
	fault(!skein.ValidName(string(c.Region)), "region %.80q is no name", c.Region)
	fault(!skein.ValidName(string(c.Zone)), "zone %.80q is no name", c.Zone)
	fault(c.Service == "", "service is empty")
	fault(c.Sessions == nil, "sessions are missing")
	fault(len(c.Keys) < 1 || len(c.Keys) > 4, "want 1 to 4 token keys, have %d", len(c.Keys))
	for i, k := range c.Keys {
		fault(len(k) != ed25519.PublicKeySize, "token key %d has %d bytes, want %d", i+1, len(k), ed25519.PublicKeySize)
	}
	l := c.Limits
	fault(l.TurnsPerSecond < 0 || l.Burst < 0 || l.Sessions < 0 || l.Connections < 0, "limits are negative")
	return errors.Join(errs...)
}
