package telemetry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Kind is what a meter measures.
type Kind uint8

// The kinds of meters.
const (
	KindCounter Kind = iota + 1
	KindGauge
	KindHistogram
)

// maxMeters bounds a registry; a meter beyond it works but is in no snapshot. It is far above what fixed labels
// can reach, so reaching it means that some label is not fixed.
const maxMeters = 8192

// Registry holds meters. Its zero value is ready, nil records nothing.
type Registry struct {
	mu     sync.Mutex // guards the fields below
	meters map[string]*meter
	kinds  map[string]Kind // by name: exporters want one kind for all labels of a name
}

// New makes an empty registry.
func New() *Registry { return new(Registry) }

type meter struct {
	name, help string
	labels     []Label
	kind       Kind
	counter    *Counter
	gauge      *Gauge
	read       func() float64
	histogram  *Histogram
}

// Counter gives the counter of that name and those labels; the first call makes it. The same holds for the other
// meters. A name that is taken by another kind gives a meter that works and is in no snapshot.
func (r *Registry) Counter(name, help string, labels ...Label) *Counter {
	m := r.meter(KindCounter, name, help, labels)
	if m == nil {
		return nil
	}
	return m.counter
}

// Gauge gives the gauge of that name and those labels.
func (r *Registry) Gauge(name, help string, labels ...Label) *Gauge {
	m := r.meter(KindGauge, name, help, labels)
	if m == nil {
		return nil
	}
	return m.gauge
}

// GaugeFunc makes a gauge whose value is asked for at each snapshot. read must be quick and safe to call from any
// goroutine; a later call with the same name and labels replaces it.
func (r *Registry) GaugeFunc(name, help string, read func() float64, labels ...Label) {
	if m := r.meter(KindGauge, name, help, labels); m != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		m.read = read
	}
}

// Histogram gives the histogram of that name and those labels. The bounds count only when it is made; see Seconds.
func (r *Registry) Histogram(name, help string, bounds []float64, labels ...Label) *Histogram {
	if r == nil {
		return nil
	}
	m := r.meter(KindHistogram, name, help, labels)
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.histogram == nil {
		m.histogram = newHistogram(bounds)
	}
	return m.histogram
}

func (r *Registry) meter(kind Kind, name, help string, labels []Label) *meter {
	if r == nil {
		return nil
	}
	labels = slices.Clone(labels)
	slices.SortFunc(labels, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	key := keyOf(name, labels)
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.meters[key]; m != nil && m.kind == kind {
		return m
	}
	m := &meter{name: name, help: help, labels: labels, kind: kind, counter: new(Counter), gauge: new(Gauge)}
	if taken := r.kinds[name]; len(r.meters) >= maxMeters || taken != 0 && taken != kind {
		return m
	}
	if r.meters == nil {
		r.meters, r.kinds = map[string]*meter{}, map[string]Kind{}
	}
	r.meters[key], r.kinds[name] = m, kind
	return m
}

func keyOf(name string, labels []Label) string {
	var b strings.Builder
	b.WriteString(name)
	for _, l := range labels {
		fmt.Fprintf(&b, "\x00%s\x00%s", l.Name, l.Value)
	}
	return b.String()
}
