package nginx

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	intended, loaded, refused, leaseUntil prometheus.Gauge
	reloads, failures, overflow           prometheus.Counter
	seconds                               prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "weir", Subsystem: "nginx", Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "weir", Subsystem: "nginx", Name: name, Help: help})
	}
	m := &metrics{
		intended:   gauge("decisions_intended", "Decisions that are to be in force."),
		loaded:     gauge("decisions_loaded", "Decisions in the configuration that nginx was last told to read."),
		refused:    gauge("decisions_refused", "Decisions that nginx cannot carry exactly and that are therefore not enforced."),
		leaseUntil: gauge("lease_until_seconds", "Unix time at which nginx lets go of its decisions unless the lease is renewed; 0 where it has none."),
		reloads:    counter("reloads_total", "Reloads of nginx."),
		failures:   counter("failures_total", "Attempts to bring nginx to what is intended that failed."),
		overflow:   counter("decisions_overflow_total", "Decisions that were dropped because the most that are kept were there already."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "weir", Subsystem: "nginx", Name: "load_seconds",
			Help:    "Time from the first file written until nginx was told to reload, in seconds.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}),
	}
	if r != nil {
		r.MustRegister(m.intended, m.loaded, m.refused, m.leaseUntil, m.reloads, m.failures, m.overflow, m.seconds)
	}
	return m
}
