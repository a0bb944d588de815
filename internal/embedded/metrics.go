package embedded

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	up       prometheus.Gauge
	restarts prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_store_up", Help: "1 while the embedded ClickHouse takes connections."}),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_store_restarts_total", Help: "How often the embedded ClickHouse ended and was started again."}),
	}
	m.up, m.restarts = registered(r, m.up), registered(r, m.restarts)
	return m
}

// registered is the collector, or the one of the same name that an earlier Store of
// this process has registered: a store that could not be opened is opened again.
func registered[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	var already prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &already) {
		if before, ok := already.ExistingCollector.(C); ok {
			return before
		}
	}
	return c
}

func (m *metrics) ready(is bool) {
	if is {
		m.up.Set(1)
	} else {
		m.up.Set(0)
	}
}

func (m *metrics) restarted() { m.restarts.Inc() }
