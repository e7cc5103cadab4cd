package mesh

import (
	"github.com/skein-mesh/skein/telemetry"
)

// counts are what the mesh counts. Without a registry they count nothing.
type counts struct {
	messages                         *telemetry.Counter
	badMessage, badState, badMeta    *telemetry.Counter
	badGreeting, badService, badPing *telemetry.Counter
	foreignDial                      *telemetry.Counter
}

func newCounts(r *telemetry.Registry) *counts {
	bad := func(what string) *telemetry.Counter {
		return r.Counter("skein_mesh_malformed_total", "What other nodes sent and this one could not read or serve, by kind.", telemetry.Label{Name: "kind", Value: what})
	}
	return &counts{
		messages:   r.Counter("skein_mesh_gossip_messages_total", "Digests and notices that came by gossip."),
		badMessage: bad("message"), badState: bad("state"), badMeta: bad("meta"),
		badGreeting: bad("greeting"), badService: bad("service"), badPing: bad("ping"),
		foreignDial: refusedHandshakes(r, "dialed"),
	}
}

// gauges shows what the mesh holds now.
func (m *Mesh) gauges(r *telemetry.Registry) {
	r.GaugeFunc("skein_mesh_tethers", "Tethers that are up, both ways.", func() float64 { return float64(len(m.openTethers())) })
	r.GaugeFunc("skein_mesh_connections", "QUIC connections with other nodes.", func() float64 { return float64(len(m.links.open())) })
	r.GaugeFunc("skein_mesh_unproved", "Nodes that gossip names and that have shown no certificate of this mesh.", func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		n := 0
		for id, rec := range m.view.records {
			if _, ok := m.view.claimed(id, rec); ok {
				n++
			}
		}
		return float64(n)
	})
	r.GaugeFunc("skein_draining", "1 while this node takes no new turns.", func() float64 { return truth(m.Self().Draining) })
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// refusedHandshakes counts what a mesh dialed, and what a socket accepted.
func refusedHandshakes(r *telemetry.Registry, connection string) *telemetry.Counter {
	return r.Counter("skein_mesh_refused_handshakes_total",
		"Handshakes that failed by connection: dialed, tether and quic with nodes, for want of a certificate of this mesh; https with clients.",
		telemetry.Label{Name: "connection", Value: connection})
}
