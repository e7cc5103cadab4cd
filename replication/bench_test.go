package replication

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/skein-mesh/skein"
)

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func contains(s, part string) bool { return strings.Contains(s, part) }

// BenchmarkPropose commits turns on three replicas of one process, each with its own files.
func BenchmarkPropose(b *testing.B) {
	f := newFabric()
	voters := []skein.NodeID{"a1", "b1", "c1"}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, len(voters))
	var groups []*Group
	for _, v := range voters {
		l := f.up(v, zoneOf(v))
		g, err := Open(Config{Node: v, Zone: zoneOf(v), Dir: b.TempDir(), Layer: l, Voters: voters, Peers: peers{f, v}})
		if err != nil {
			b.Fatal(err)
		}
		f.mu.Lock()
		l.port.serve = g.Serve
		f.mu.Unlock()
		groups = append(groups, g)
		go func() { done <- g.Run(ctx) }()
	}
	var n atomic.Int64
	if _, err := groups[0].Propose(ctx, openCmd(0)); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		id := int(n.Add(1))
		if _, err := groups[0].Propose(ctx, openCmd(id)); err != nil {
			b.Error(err)
			return
		}
		for turn, seq := 1, skein.Seq(1); pb.Next(); turn++ {
			r, err := groups[0].Propose(ctx, sayCmd(id, turn, seq))
			if err != nil || r[0].Err != nil {
				b.Errorf("turn %d: %v %v", turn, err, r)
				return
			}
			seq = r[0].State.Seq
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "turns/s")
	cancel()
	for range voters {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}
