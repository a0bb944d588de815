package clickhouse

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rows, blocks, retries, repeated, malformed prometheus.Counter
	seconds                                    prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_clickhouse_" + name, Help: help})
	}
	m := &metrics{
		rows:      counter("rows_total", "Requests stored in ClickHouse."),
		blocks:    counter("blocks_total", "Blocks of requests stored in ClickHouse."),
		retries:   counter("retries_total", "Inserts that failed and were tried again."),
		repeated:  counter("repeated_batches_total", "Batches that had been stored before and were dropped."),
		malformed: counter("malformed_batches_total", "Messages that are no batch and were dropped."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "weir_clickhouse_insert_seconds",
			Help: "Time to store one block.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}),
	}
	if r == nil {
		return m
	}
	for _, c := range []*prometheus.Counter{&m.rows, &m.blocks, &m.retries, &m.repeated, &m.malformed} {
		*c = registered(r, *c)
	}
	m.seconds = registered(r, m.seconds)
	return m
}

// registered is the collector, or the one of the same name that an earlier Open of
// this process has registered: a server that was away is opened again.
func registered[C prometheus.Collector](r prometheus.Registerer, c C) C {
	var already prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &already) {
		if before, ok := already.ExistingCollector.(C); ok {
			return before
		}
	}
	return c
}
