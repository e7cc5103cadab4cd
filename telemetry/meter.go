package telemetry

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// Label is a name and a value of a meter. Values must come from a small fixed set, never from a client.
type Label struct {
	Name  string
	Value string
}

// Counter only rises.
type Counter struct {
	n atomic.Uint64
	_ [56]byte // a cache line of its own, so that meters made together do not slow each other down
}

// Inc adds one.
func (c *Counter) Inc() { c.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) {
	if c != nil {
		c.n.Add(n)
	}
}

// Value is the count since the meter was made.
func (c *Counter) Value() uint64 {
	if c == nil {
		return 0
	}
	return c.n.Load()
}

// Gauge goes up and down.
type Gauge struct {
	bits atomic.Uint64
	_    [56]byte
}

// Set sets the value.
func (g *Gauge) Set(v float64) {
	if g != nil {
		g.bits.Store(math.Float64bits(v))
	}
}

// Add adds d, which may be negative.
func (g *Gauge) Add(d float64) {
	if g == nil {
		return
	}
	for {
		old := g.bits.Load()
		if g.bits.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+d)) {
			return
		}
	}
}

// Value is the value that was set last.
func (g *Gauge) Value() float64 {
	if g == nil {
		return 0
	}
	return math.Float64frombits(g.bits.Load())
}

// Histogram counts values by the bucket that they fall into.
type Histogram struct {
	bounds []float64 // ascending upper bounds, inclusive
	counts []atomic.Uint64
	sum    Gauge
}

// Seconds are bounds for durations from half a millisecond to a minute.
func Seconds() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
}

func newHistogram(bounds []float64) *Histogram {
	bounds = slices.Clone(bounds)
	slices.Sort(bounds)
	bounds = slices.Compact(slices.DeleteFunc(bounds, func(b float64) bool { return math.IsNaN(b) || math.IsInf(b, 0) }))
	return &Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts v. NaN is dropped, since it would spoil the sum for good.
func (h *Histogram) Observe(v float64) {
	if h == nil || math.IsNaN(v) {
		return
	}
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i].Add(1)
	h.sum.Add(v)
}

// Since counts the seconds since start.
func (h *Histogram) Since(start time.Time) {
	if h != nil {
		h.Observe(time.Since(start).Seconds())
	}
}

// Distribution is what the histogram holds now. Values that are observed meanwhile may be in the counts and not
// yet in the sum.
func (h *Histogram) Distribution() Distribution {
	if h == nil {
		return Distribution{}
	}
	d := Distribution{Bounds: h.bounds, Counts: make([]uint64, len(h.counts)), Sum: h.sum.Value()}
	for i := range h.counts {
		d.Counts[i] = h.counts[i].Load()
		d.Count += d.Counts[i]
	}
	return d
}
