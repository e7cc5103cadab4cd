package seglog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// BenchmarkAppend appends entries of 1 KiB with real syncs, to both stores in one run.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		for _, name := range []string{"segments", "bbolt"} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				s, err := stores[name](filepath.Join(b.TempDir(), "log"))
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				data := bytes.Repeat([]byte{7}, 1<<10)
				next, took := uint64(1), make([]time.Duration, 0, 1<<12)
				b.SetBytes(int64(n) << 10)
				for b.Loop() {
					logs := make([]*raft.Log, n)
					for i := range logs {
						logs[i] = &raft.Log{Index: next, Data: data}
						next++
					}
					at := time.Now()
					if err := s.StoreLogs(logs); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(at))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
				b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-us")
			})
		}
	}
}

// BenchmarkVote stores a term, as an election does three times.
func BenchmarkVote(b *testing.B) {
	for _, name := range []string{"segments", "bbolt"} {
		b.Run(name, func(b *testing.B) {
			s, err := stores[name](filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for n := uint64(0); b.Loop(); n++ {
				if err := s.SetUint64([]byte("CurrentTerm"), n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReopen opens a log of 1,000,000 entries and reads one in each tenth of it.
func BenchmarkReopen(b *testing.B) {
	const entries = 1_000_000
	for _, name := range []string{"segments", "bbolt"} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "log")
			s, err := stores[name](path)
			if err != nil {
				b.Fatal(err)
			}
			data := bytes.Repeat([]byte{7}, 256)
			for i := uint64(1); i <= entries; i += 5000 {
				var logs []*raft.Log
				for k := i; k < i+5000; k++ {
					logs = append(logs, &raft.Log{Index: k, Data: data})
				}
				if err := s.StoreLogs(logs); err != nil {
					b.Fatal(err)
				}
			}
			s.Close()
			var opened time.Duration
			for b.Loop() {
				at := time.Now()
				s, err := stores[name](path)
				if err != nil {
					b.Fatal(err)
				}
				opened += time.Since(at)
				for i := uint64(1); i <= entries; i += entries / 10 {
					if err := s.GetLog(i, &raft.Log{}); err != nil {
						b.Fatal(err)
					}
				}
				s.Close()
			}
			b.ReportMetric(float64(opened.Milliseconds())/float64(b.N), "open-ms")
			os.RemoveAll(path)
		})
	}
}
