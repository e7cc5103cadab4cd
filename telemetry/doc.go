// Package telemetry counts what happens: counters, gauges and histograms whose labels are fixed when they are made.
//
// Recording is one or two atomic additions, allocates nothing and takes no lock, so a meter may stand on any path.
// Registry and meters work as nil: a room that was given no registry records nowhere, at no cost. The package
// knows no exporter: it promises a Snapshot, in a stable order, that whoever exports reads. It stores nothing on disk.
//
// Names follow Prometheus: base units (seconds, bytes), counters end with _total.
package telemetry
