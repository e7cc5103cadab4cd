package store

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	upTo := func(n int) []time.Duration {
		out := make([]time.Duration, n)
		for i := range out {
			out[i] = time.Duration(i + 1)
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{"one value, median", upTo(1), 50, 1},
		{"one value, p99", upTo(1), 99, 1},
		{"even count takes the lower middle", upTo(4), 50, 2},
		{"odd count takes the middle", upTo(5), 50, 3},
		{"p99 of 99 is the largest", upTo(99), 99, 99},
		{"p99 of 100 leaves one out", upTo(100), 99, 99},
		{"p99 of 101 leaves one out", upTo(101), 99, 100},
		{"p99 of 1000", upTo(1000), 99, 990},
		{"p100 is the largest", upTo(10), 100, 10},
		{"equal values", []time.Duration{7, 7, 7}, 99, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := percentile(tt.sorted, tt.p); got != tt.want {
				t.Errorf("percentile %v of %d values: got %v, want %v", tt.p, len(tt.sorted), got, tt.want)
			}
		})
	}
}

// TestPercentileCovers holds percentile to its definition.
func TestPercentileCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		values := make([]time.Duration, 1+r.IntN(300))
		for i := range values {
			values[i] = time.Duration(r.IntN(50))
		}
		slices.Sort(values)
		for _, p := range []float64{1, 50, 90, 99, 100} {
			got, below, upTo := percentile(values, p), 0, 0
			for _, v := range values {
				if v < got {
					below++
				}
				if v <= got {
					upTo++
				}
			}
			if n := float64(len(values)); float64(upTo) < p/100*n || float64(below) >= p/100*n {
				t.Fatalf("percentile %v of %v: got %v, with %d below and %d up to it", p, values, got, below, upTo)
			}
		}
	}
}

func TestSampleCountsTheWindow(t *testing.T) {
	base := time.Unix(1000, 0)
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	w := window{at(100), at(200)}
	for _, tt := range []struct {
		name            string
		start, end      int
		completed, took int
	}{
		{"warm-up", 10, 90, 0, 0},
		{"ends at the first moment", 90, 100, 1, 0},
		{"ends within", 90, 110, 1, 0},
		{"within", 110, 120, 1, 1},
		{"begins at the first moment", 100, 150, 1, 1},
		{"ends at the end", 150, 200, 0, 1},
		{"ends late", 190, 900, 0, 1},
		{"longer than the window", 50, 900, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s sample
			s.add(w, at(tt.start), at(tt.end))
			if s.written != 1 || s.completed != tt.completed || len(s.took) != tt.took {
				t.Errorf("got written %d, completed %d, latencies %d, want 1, %d, %d", s.written, s.completed, len(s.took), tt.completed, tt.took)
			}
		})
	}
}

func TestResult(t *testing.T) {
	s := merge([]sample{
		{written: 5, completed: 3, took: []time.Duration{4 * time.Millisecond, time.Millisecond}},
		{written: 2, completed: 1, took: []time.Duration{2500 * time.Microsecond}},
	})
	if s.written != 7 {
		t.Errorf("written: got %d, want 7", s.written)
	}
	got, err := s.result(2 * time.Second)
	if want := (Result{PerSecond: 2, P50: 2.5, P99: 4}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := (sample{written: 1}).result(time.Second); err == nil {
		t.Error("a run without a record within the measured time gave a figure")
	}
}
