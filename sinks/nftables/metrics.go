package nftables

import "github.com/prometheus/client_golang/prometheus"

// metrics are what this package counts.
type metrics struct {
	intended, loaded                             prometheus.Gauge
	overflow, failures, elements, packets, bytes prometheus.Counter
}

func newMetrics(to prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_nftables_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_nftables_" + name, Help: help})
	}
	m := &metrics{
		intended: gauge("decisions_intended", "Values that are to be in force."),
		loaded:   gauge("decisions_loaded", "Values that the kernel has."),
		overflow: counter("decisions_overflow_total", "Decisions that there was no room for."),
		failures: counter("failures_total", "Attempts that failed."),
		elements: counter("elements_total", "Elements added, moved or removed."),
		packets:  counter("dropped_packets_total", "Packets dropped."),
		bytes:    counter("dropped_bytes_total", "Bytes of them."),
	}
	if to != nil {
		to.MustRegister(m.intended, m.loaded, m.overflow, m.failures, m.elements, m.packets, m.bytes)
	}
	return m
}
