package client

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

func TestRace(t *testing.T) {
	tests := []struct {
		name string
		cut  int // the first nodes are cut off
		most time.Duration
	}{
		{"the first answers", 0, 100 * time.Millisecond},
		{"the second after one step", 1, raceStep + 100*time.Millisecond},
		{"the third after two", 2, 2*raceStep + 100*time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{latency: roundTrip / 2, nodes: map[string]simnet.PacketReceiver{}, cut: map[string]bool{}}
				m := newMesh(t, n, "a", "b", "c")
				for _, node := range m.nodes[:tt.cut] {
					n.setCut(node.QUIC, true)
				}
				start := time.Now()
				c, err := Dial(t.Context(), m.config(make(chan Move, 9)))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if took := time.Since(start); took > tt.most {
					t.Errorf("took %s, want at most %s", took, tt.most)
				}
				want := m.nodes[tt.cut].QUIC
				if got, ok := c.pool.current(); !ok || got.Port() != want.Port() || got.Addr() != want.Addr().Unmap() {
					t.Errorf("connected to %s, want %s", got, want)
				}
			})
		})
	}
}

func TestDialRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{latency: roundTrip / 2, nodes: map[string]simnet.PacketReceiver{}, cut: map[string]bool{}}
		m := newMesh(t, n, "a", "b")
		cfg := m.config(make(chan Move, 9))
		_, cfg.Roots = certificate(t)
		start := time.Now()
		if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("foreign CA: %v, want a word on certificates", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("a foreign CA took %s to tell", took)
		}
		for _, node := range m.nodes {
			n.setCut(node.QUIC, true)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := Dial(ctx, cfg); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody there: %v, want ErrUnreachable and the deadline", err)
		}
	})
}

func TestConfig(t *testing.T) {
	_, err := Dial(t.Context(), Config{Instance: "a b", Patience: -1, Nodes: []Node{{QUIC: netip.MustParseAddrPort("0.0.0.0:1")}}})
	for _, want := range []string{"Service", "Instance", "Nodes[0]", "Patience"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name %s", err, want)
		}
	}
}
