package node

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/telemetry"
)

func label(name, value string) telemetry.Label { return telemetry.Label{Name: name, Value: value} }

// exporter hands the registry's snapshot to Prometheus.
type exporter struct {
	registry *telemetry.Registry
	scrape   func() // brings the registry up to date
}

// Describe sends nothing: the collector is unchecked, since meters may be made at any time.
func (e exporter) Describe(chan<- *prometheus.Desc) {}

// Collect satisfies prometheus.Collector.
func (e exporter) Collect(out chan<- prometheus.Metric) {
	e.scrape()
	for _, s := range e.registry.Snapshot() {
		if m := metric(s); m != nil {
			out <- m
		}
	}
}

func metric(s telemetry.Sample) prometheus.Metric {
	var names, values []string
	for _, l := range s.Labels {
		names, values = append(names, l.Name), append(values, l.Value)
	}
	desc := prometheus.NewDesc(s.Name, s.Help, names, nil)
	switch s.Kind {
	case telemetry.KindCounter:
		return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, s.Value, values...)
	case telemetry.KindGauge:
		return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, s.Value, values...)
	case telemetry.KindHistogram:
		buckets := make(map[float64]uint64, len(s.Distribution.Bounds))
		var below uint64
		for i, b := range s.Distribution.Bounds {
			below += s.Distribution.Counts[i]
			buckets[b] = below
		}
		return prometheus.MustNewConstHistogram(desc, s.Distribution.Count, s.Distribution.Sum, buckets, values...)
	}
	return nil
}

// metrics serves the registry, with what Go and the process say of themselves.
func (n *Node) metrics() http.Handler {
	reg := prometheus.NewRegistry()
	s := &scraper{n: n, regions: map[skein.Region]bool{}}
	reg.MustRegister(exporter{n.meters, s.scrape}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}
