package replication

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/skein-mesh/skein"
)

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func contains(s, part string) bool { return strings.Contains(s, part) }

// BenchmarkPropose commits turns on three replicas of one process, each with its own files, for one client and for many.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 128} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) { benchmarkPropose(b, clients) })
	}
}

func benchmarkPropose(b *testing.B, clients int) {
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
	if _, err := groups[0].Propose(ctx, openCmd(0)); err != nil {
		b.Fatal(err)
	}
	left := atomic.Int64{}
	left.Store(int64(b.N))
	var work sync.WaitGroup
	b.ResetTimer()
	for id := 1; id <= clients; id++ {
		work.Go(func() {
			if _, err := groups[0].Propose(ctx, openCmd(id)); err != nil {
				b.Error(err)
				return
			}
			for turn, seq := 1, skein.Seq(1); left.Add(-1) >= 0; turn++ {
				r, err := groups[0].Propose(ctx, sayCmd(id, turn, seq))
				if err != nil || r[0].Err != nil {
					b.Errorf("turn %d: %v %v", turn, err, r)
					return
				}
				seq = r[0].State.Seq
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "turns/s")
	cancel()
	for range voters {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}
