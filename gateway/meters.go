package gateway

import (
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/telemetry"
)

// meters are what the gateway counts. Without a registry they count nothing.
type meters struct {
	turns   *telemetry.Counter
	seconds *telemetry.Histogram
	foreign *telemetry.Counter
	frames  *telemetry.Counter
	auth    *telemetry.Counter
	open    *telemetry.Gauge
	faults  map[skein.Code]*telemetry.Counter // fixed after newMeters
}

func newMeters(r *telemetry.Registry) *meters {
	m := &meters{
		turns:   r.Counter("skein_gateway_turns_total", "Turns that were followed to their whole reply."),
		seconds: r.Histogram("skein_gateway_turn_seconds", "From a turn's arrival to its whole reply.", telemetry.Seconds()),
		foreign: r.Counter("skein_gateway_forwarded_total", "Streams taken over from gateways of other regions."),
		frames:  r.Counter("skein_gateway_refused_frames_total", "Frames and requests that are malformed or over a limit."),
		auth:    r.Counter("skein_gateway_auth_failures_total", "Streams and requests without a valid token."),
		open:    r.Gauge("skein_gateway_connections", "Open native and HTTP/3 connections."),
		faults:  map[skein.Code]*telemetry.Counter{},
	}
	for c := skein.CodeInternal; c <= skein.CodeRefused; c++ {
		m.faults[c] = r.Counter("skein_gateway_errors_total", "Errors told to clients, by code.", telemetry.Label{Name: "code", Value: c.String()})
	}
	return m
}

func (m *meters) turn(d time.Duration) {
	m.turns.Inc()
	m.seconds.Observe(d.Seconds())
}

// fault counts an error that a client is told; one of a code of a later version counts as internal.
func (m *meters) fault(err error) {
	c, ok := m.faults[skein.CodeOf(err)]
	if !ok {
		c = m.faults[skein.CodeInternal]
	}
	c.Inc()
}

func (m *meters) forwarded()        { m.foreign.Inc() }
func (m *meters) refused()          { m.frames.Inc() }
func (m *meters) authFailure()      { m.auth.Inc() }
func (m *meters) connections(n int) { m.open.Set(float64(n)) }
