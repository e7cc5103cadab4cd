package node

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/geo"
)

func TestRace(t *testing.T) {
	refused := errors.New("refused")
	for _, tt := range []struct {
		name  string
		nodes []skein.NodeID
		took  time.Duration
		won   skein.NodeID
	}{
		{"nobody", nil, 0, ""},
		{"the first answers", []skein.NodeID{"quick", "hangs"}, 20 * time.Millisecond, "quick"},
		{"a refusal is followed at once", []skein.NodeID{"refuses", "quick"}, 20 * time.Millisecond, "quick"},
		{"silence costs one step", []skein.NodeID{"hangs", "quick"}, dialStep + 20*time.Millisecond, "quick"},
		{"a slow one may still win", []skein.NodeID{"slow", "hangs"}, dialStep + 100*time.Millisecond, "slow"},
		{"all refuse", []skein.NodeID{"refuses", "refuses"}, 0, ""},
		{"all hang", []skein.NodeID{"hangs", "hangs", "hangs"}, 2 * time.Second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				var won skein.NodeID
				began := time.Now()
				conn, err := race(ctx, tt.nodes, func(ctx context.Context, node skein.NodeID) (net.Conn, error) {
					wait := map[skein.NodeID]time.Duration{"quick": 20 * time.Millisecond, "slow": dialStep + 100*time.Millisecond, "hangs": time.Hour}[node]
					select {
					case <-time.After(wait):
					case <-ctx.Done():
						return nil, ctx.Err()
					}
					if node == "refuses" {
						return nil, refused
					}
					won = node
					near, _ := net.Pipe()
					return near, nil
				})
				if took := time.Since(began); took != tt.took || won != tt.won || (err == nil) != (tt.won != "") {
					t.Errorf("%q after %s with %v; want %q after %s", won, took, err, tt.won, tt.took)
				}
				if conn != nil {
					conn.Close()
				}
			})
		})
	}
}

func TestSerial(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		name string
		last uint64
		now  time.Time
		same bool
		want uint64
	}{
		{"the first", 0, now, false, 1000},
		{"the first, of nobody", 0, now, true, 1000},
		{"a change", 900, now, false, 1000},
		{"two in one second", 1000, now, false, 1001},
		{"load only", 900, now, true, 900},
		{"a clock set back", 2000, now, false, 2001},
		{"a clock before all time", 0, time.Unix(-5, 0), false, 1},
	} {
		if got := serial(tt.last, tt.now, tt.same); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
	a := []geo.Node{{Node: "a", Healthy: true}, {Node: "b", Healthy: true}}
	busy := []geo.Node{{Node: "a", Healthy: true, Load: 1}, {Node: "b", Healthy: true}}
	dead := []geo.Node{{Node: "a", Healthy: true}, {Node: "b"}}
	if !sameButLoad(a, busy) || sameButLoad(a, dead) || sameButLoad(a, a[:1]) {
		t.Error("a load changes the zone, or a death does not")
	}
}
