package processor

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests  prometheus.Counter
	future    prometheus.Counter
	sites     prometheus.Gauge
	incidents *prometheus.CounterVec
	decisions *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_processor_requests_total", Help: "Requests processed."}),
		future: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_processor_future_requests_total", Help: "Requests over half a minute ahead of all before them, taken as of now: an edge's clock may be wrong."}),
		sites: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_processor_sites", Help: "Sites kept."}),
		incidents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_processor_incidents_total", Help: "Incidents opened, by kind."}, []string{"kind"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_processor_decisions_total", Help: "Decisions added, renewed and removed, by action."}, []string{"event", "action"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.future, m.sites, m.incidents, m.decisions} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("processor: register metrics: %w", err)
		}
	}
	return m, nil
}
