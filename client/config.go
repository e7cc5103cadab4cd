package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein"
)

// Limits and pauses of the client.
const (
	defaultPort     = 8443
	defaultPatience = 30 * time.Second

	raceStep    = 125 * time.Millisecond // between addresses when connecting (RFC 8305, section 5: 100 ms to 2 s)
	raceWidth   = 6                      // addresses that are tried at once
	dialTimeout = 5 * time.Second        // one handshake
	idleTimeout = 12 * time.Second       // a silent connection is dead between turns
	keepAlive   = 5 * time.Second
	maxHedges   = 2  // nodes that are asked besides the one that stalls
	maxNodes    = 64 // nodes that are remembered
	maxReply    = 256 << 10

	// A home region that is away stays away for longer than anybody waits: after so many nodes' word that they
	// do not reach it, and so long without progress, a request ends.
	awayAnswers = 3
	awayFor     = 4 * time.Second

	minStall   = 150 * time.Millisecond
	openStall  = time.Second     // nothing but an open or a history is waited for: no signs of life come
	trialStall = 3 * time.Second // silence after which a node that was asked besides is given up

	stayAtMost   = 2 * time.Second // a node that is full for longer is left for another
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = time.Second
	idleBackoff  = 30 * time.Second // the longest pause between attempts to reopen an idle session
)

// Errors of the client itself. What a node refuses is a *skein.Error.
var (
	// ErrClosed is given by whatever is used after Close.
	ErrClosed = errors.New("client is closed")
	// ErrUnreachable says that no known node answered within the patience.
	ErrUnreachable = errors.New("no node can be reached")
	// ErrRetracted says that a node contradicted text that had been handed out: the mesh broke its promise
	// that what was shown is never taken back.
	ErrRetracted = errors.New("a node retracted text that was already shown")
)

// Config says where the mesh is. Service is required, and one of Nodes and DNS is usual; the zero value of every
// other field is its default.
type Config struct {
	// Service is the name that clients look up; it is also the TLS server name of every node.
	Service string
	// DNS are name servers that are asked for Service, in order, until one answers. Without DNS and
	// without Nodes the resolver of the host is asked.
	DNS []netip.AddrPort
	// Port is where nodes take QUIC when their DNS record does not say; 0: 8443.
	Port uint16
	// Nodes are known beforehand, best first.
	Nodes []Node
	// Roots verify the nodes' certificates; nil: the host's.
	Roots *x509.CertPool
	// Token gives the bearer token; it is called at every (re)connection of a session. nil: no token.
	Token func(ctx context.Context) (string, error)
	// Instance names this client; turn ids are made of it, so no two living clients may share it. Empty: a random one.
	Instance skein.ClientID
	// Patience is how long to go on trying without any progress; 0: 30 s.
	Patience time.Duration
	// OnMove hears of each session that changed its node. It is called on the session's own goroutine: it must
	// return soon and not call Close.
	OnMove func(Move)
	// NoEarlyData waits for the end of each handshake before anything is sent: one round trip more at each move. Early
	// data (RFC 9001, section 4.1) can be replayed by somebody on the path; only frames that may be repeated travel in it.
	NoEarlyData bool
	// DialPacket opens the UDP socket that all connections share, and one for each DNS look-up; nil: the host's.
	DialPacket func() (net.PacketConn, error)
	// Log may be nil.
	Log *slog.Logger
}

// Node is an address of the mesh. Only QUIC is required; ID, Region and Zone are learned when they are empty.
type Node struct {
	ID     skein.NodeID
	Region skein.Region
	Zone   skein.Zone
	QUIC   netip.AddrPort
}

// Move says that a session changed its node.
type Move struct {
	Session  skein.SessionID
	From, To Node
	Took     time.Duration // without contact; 0 when the old node had asked for the move
}

func (c *Config) withDefaults() error {
	var errs []error
	if c.Service == "" {
		errs = append(errs, errors.New("client: Service is empty: it is the TLS server name of the nodes"))
	}
	if c.Instance == "" {
		c.Instance = skein.ClientID(skein.RandomName())
	}
	if !skein.ValidName(string(c.Instance)) {
		errs = append(errs, fmt.Errorf("client: Instance %.80q: want 1 to %d letters, digits, '.', '_' or '-'", c.Instance, skein.MaxName))
	}
	for i, n := range c.Nodes {
		if !usable(n.QUIC) {
			errs = append(errs, fmt.Errorf("client: Nodes[%d]: %s is not an address that can be dialled", i, n.QUIC))
		}
	}
	if c.Patience < 0 {
		errs = append(errs, fmt.Errorf("client: Patience %s is negative", c.Patience))
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.Port == 0 {
		c.Port = defaultPort
	}
	if c.Token == nil {
		c.Token = func(context.Context) (string, error) { return "", nil }
	}
	if c.DialPacket == nil {
		c.DialPacket = func() (net.PacketConn, error) { return net.ListenUDP("udp", nil) }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}

func usable(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast()
}
