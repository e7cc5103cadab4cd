package geodns

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/miekg/dns"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/geo"
)

// Config says what to serve and where.
type Config struct {
	Zone    string           // the service zone, as in "assistant.skein.test"; a final dot is allowed
	Packets []net.PacketConn // UDP sockets, one goroutine each; Run closes them
	Stream  net.Listener     // TCP; nil: UDP only; Run closes it
	Self    skein.Place      // this node: its region is an unlocated client's, its id answers NSID (RFC 5001)

	TTL      time.Duration // of answers; whole seconds, at most an hour; 0: 20 s
	RiskTTL  time.Duration // while a node is suspect or draining, or none is well; 0: 5 s
	MaxConns int           // TCP connections at once, a quarter of them from one address; 0: 256

	Log *slog.Logger // nil: discard
}

// Snapshot is the membership at one moment. It must not be changed after Update.
type Snapshot struct {
	Nodes   []geo.Node // with the dead ones that are still remembered
	Locator *geo.Locator
	Epoch   uint64 // rises with every change; its low 32 bits are the SOA serial
}

const (
	maxZone  = 120 // bytes of the zone's name, so that NODE.nodes.ZONE fits 255
	maxTTL   = time.Hour
	maxConns = 256
)

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	if _, ok := dns.IsDomainName(c.Zone); !ok || dns.Fqdn(c.Zone) == "." || len(c.Zone) > maxZone {
		faults = append(faults, fmt.Errorf("zone %.80q: not a domain name of at most %d bytes", c.Zone, maxZone))
	}
	if len(c.Packets) == 0 {
		faults = append(faults, errors.New("no packet socket"))
	}
	for _, ttl := range []time.Duration{c.TTL, c.RiskTTL} {
		if ttl < 0 || ttl > maxTTL || ttl%time.Second != 0 {
			faults = append(faults, fmt.Errorf("ttl %s: not whole seconds up to %s", ttl, maxTTL))
		}
	}
	if c.MaxConns < 0 {
		faults = append(faults, fmt.Errorf("connections %d: below zero", c.MaxConns))
	}
	if !skein.ValidName(string(c.Self.Node)) || !skein.ValidName(string(c.Self.Region)) {
		faults = append(faults, fmt.Errorf("self %.80q in %.80q: not names", string(c.Self.Node), string(c.Self.Region)))
	}
	return errors.Join(faults...)
}

func (c Config) withDefaults() Config {
	c.Zone = dns.CanonicalName(c.Zone)
	if c.TTL == 0 {
		c.TTL = 20 * time.Second
	}
	if c.RiskTTL == 0 {
		c.RiskTTL = 5 * time.Second
	}
	if c.MaxConns == 0 {
		c.MaxConns = maxConns
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
