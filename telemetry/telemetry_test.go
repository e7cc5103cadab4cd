package telemetry

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestNilRecordsNowhere(t *testing.T) {
	var r *Registry
	r.Counter("a_total", "").Inc()
	r.Gauge("b", "").Add(1)
	r.Gauge("b", "").Set(1)
	r.GaugeFunc("c", "", func() float64 { return 1 })
	h := r.Histogram("d_seconds", "", Seconds())
	h.Observe(1)
	h.Since(time.Now())
	if r.Counter("a_total", "").Value() != 0 || r.Gauge("b", "").Value() != 0 || h.Distribution().Count != 0 || r.Snapshot() != nil {
		t.Error("a nil registry holds something")
	}
}

func TestSnapshot(t *testing.T) {
	r := New()
	east, west := Label{"region", "east"}, Label{"region", "west"}
	kind := Label{"kind", "x"}
	r.Counter("turns_total", "Turns.", west).Add(2)
	r.Counter("turns_total", "Turns.", east, kind).Inc()
	r.Counter("turns_total", "Turns.", kind, east).Inc() // the same: the order of labels does not matter
	r.Gauge("open", "Open.").Set(4)
	r.Gauge("open", "Open.").Add(-1.5)
	r.GaugeFunc("asked", "Asked.", func() float64 { return 1 })
	r.GaugeFunc("asked", "Asked.", func() float64 { r.Gauge("made_meanwhile", ""); return 7 })
	h := r.Histogram("took_seconds", "Took.", []float64{2, 1, 2, math.NaN(), math.Inf(1)})
	for _, v := range []float64{0.5, 1, 1.5, 9, math.NaN()} {
		h.Observe(v)
	}
	if r.Gauge("turns_total", "", west).Set(100); r.Counter("turns_total", "", west).Value() != 2 {
		t.Error("a gauge of a counter's name changed the counter")
	}
	r.Histogram("turns_total", "", nil, kind).Observe(1) // a kind that the name does not have, under other labels
	got := r.Snapshot()
	want := []Sample{
		{Name: "asked", Help: "Asked.", Kind: KindGauge, Value: 7},
		{Name: "open", Help: "Open.", Kind: KindGauge, Value: 2.5},
		{Name: "took_seconds", Help: "Took.", Kind: KindHistogram,
			Distribution: Distribution{Bounds: []float64{1, 2}, Counts: []uint64{2, 1, 1}, Count: 4, Sum: 12}},
		{Name: "turns_total", Help: "Turns.", Labels: []Label{kind, east}, Kind: KindCounter, Value: 2},
		{Name: "turns_total", Help: "Turns.", Labels: []Label{west}, Kind: KindCounter, Value: 2},
	}
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("snapshot:\ngot  %s\nwant %s", g, w)
	}
}

func TestRegistryIsBounded(t *testing.T) {
	var r Registry
	for i := range maxMeters + 10 {
		r.Counter("a_total", "", Label{"client", fmt.Sprint(i)}).Inc()
	}
	if got := len(r.Snapshot()); got != maxMeters {
		t.Errorf("%d meters, want %d", got, maxMeters)
	}
}

func TestManyRecord(t *testing.T) {
	var r Registry
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				r.Counter("a_total", "").Inc()
				r.Gauge("b", "").Add(0.5)
				r.Histogram("c_seconds", "", Seconds()).Observe(0.25)
				if len(r.Snapshot()) > 3 {
					t.Error("a meter was made twice")
				}
			}
		})
	}
	wg.Wait()
	d := r.Histogram("c_seconds", "", nil).Distribution()
	if c, g := r.Counter("a_total", "").Value(), r.Gauge("b", "").Value(); c != 8000 || g != 4000 || d.Count != 8000 || d.Sum != 2000 {
		t.Errorf("counter %d, gauge %v, histogram %d of %v; want 8000, 4000, 8000 of 2000", c, g, d.Count, d.Sum)
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	var r Registry
	c, g, h := r.Counter("a_total", ""), r.Gauge("b", ""), r.Histogram("c_seconds", "", Seconds())
	if n := testing.AllocsPerRun(100, func() { c.Inc(); g.Add(1); h.Observe(0.1) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestQuantile(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name   string
		bounds []float64
		counts []uint64
		q      float64
		want   float64
	}{
		{"the middle of a bucket", []float64{10, 20}, []uint64{10, 10, 0}, 0.25, 5},
		{"a border", []float64{10, 20}, []uint64{10, 10, 0}, 0.5, 10},
		{"the second bucket", []float64{10, 20}, []uint64{10, 10, 0}, 0.75, 15},
		{"everything", []float64{10, 20}, []uint64{10, 10, 0}, 1, 20},
		{"the least", []float64{10, 20}, []uint64{0, 10, 0}, 0, 10},
		{"above the highest bound", []float64{10, 20}, []uint64{1, 0, 9}, 0.9, 20},
		{"a negative first bound", []float64{-10, 0}, []uint64{4, 4, 0}, 0.25, -10},
		{"no values", []float64{10}, []uint64{0, 0}, 0.5, nan},
		{"no bounds", nil, []uint64{3}, 0.5, nan},
		{"out of range", []float64{10}, []uint64{3, 0}, 1.5, nan},
		{"not a number", []float64{10}, []uint64{3, 0}, nan, nan},
	} {
		d := Distribution{Bounds: c.bounds, Counts: c.counts}
		for _, n := range c.counts {
			d.Count += n
		}
		if got := d.Quantile(c.q); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestQuantileAgainstSortedValues(t *testing.T) {
	h := newHistogram(Seconds())
	var all []float64
	for i := range 1000 {
		v := math.Mod(float64(i*i)*0.00137, 3)
		all = append(all, v)
		h.Observe(v)
	}
	slices.Sort(all)
	d := h.Distribution()
	for _, q := range []float64{0.1, 0.5, 0.9, 0.99} {
		exact, got := all[int(q*1000)-1], d.Quantile(q)
		at, _ := slices.BinarySearch(d.Bounds, exact)
		low := 0.0
		if at > 0 {
			low = d.Bounds[at-1]
		}
		if width := d.Bounds[at] - low; math.Abs(got-exact) > width {
			t.Errorf("quantile %v: got %v, exactly %v, more than the bucket's %v away", q, got, exact, width)
		}
	}
}
