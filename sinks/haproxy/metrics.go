package haproxy

import "github.com/prometheus/client_golang/prometheus"

// metrics are what this package counts.
type metrics struct {
	loaded                             prometheus.Gauge
	overflow, failures, loads, matched prometheus.Counter
}

func newMetrics(to prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_haproxy_" + name, Help: help})
	}
	m := &metrics{
		loaded:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_haproxy_decisions_loaded", Help: "Decisions in the map."}),
		overflow: counter("decisions_overflow_total", "Decisions that there was no room for."),
		failures: counter("failures_total", "Attempts that failed."),
		loads:    counter("loads_total", "Versions of the map that were put in place."),
		matched:  counter("matched_total", "Requests that HAProxy has stopped."),
	}
	if to != nil {
		to.MustRegister(m.loaded, m.overflow, m.failures, m.loads, m.matched)
	}
	return m
}
