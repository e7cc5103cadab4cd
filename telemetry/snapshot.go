package telemetry

import (
	"maps"
	"slices"
)

// Sample is one meter at one moment.
type Sample struct {
	Name         string
	Help         string
	Labels       []Label // by name; not to be changed
	Kind         Kind
	Value        float64      // of a counter or a gauge
	Distribution Distribution // of a histogram
}

// Snapshot reads all meters, by name and then by labels. It does not stop who records meanwhile, so the values are
// of slightly different moments.
func (r *Registry) Snapshot() []Sample {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	meters := make([]meter, 0, len(r.meters)) // copies: a GaugeFunc may replace read meanwhile
	for _, key := range slices.Sorted(maps.Keys(r.meters)) {
		meters = append(meters, *r.meters[key])
	}
	r.mu.Unlock()
	// Functions of the rooms are called without the lock: they may make meters.
	samples := make([]Sample, len(meters))
	for i := range meters {
		samples[i] = meters[i].sample()
	}
	return samples
}

func (m *meter) sample() Sample {
	s := Sample{Name: m.name, Help: m.help, Labels: m.labels, Kind: m.kind}
	switch {
	case m.kind == KindCounter:
		s.Value = float64(m.counter.Value())
	case m.kind == KindHistogram:
		s.Distribution = m.histogram.Distribution()
	case m.read != nil:
		s.Value = m.read()
	default:
		s.Value = m.gauge.Value()
	}
	return s
}
