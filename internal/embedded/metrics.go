package embedded

import "github.com/prometheus/client_golang/prometheus"

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
	if r != nil {
		r.MustRegister(m.up, m.restarts)
	}
	return m
}

func (m *metrics) ready(is bool) {
	if is {
		m.up.Set(1)
	} else {
		m.up.Set(0)
	}
}

func (m *metrics) restarted() { m.restarts.Inc() }
