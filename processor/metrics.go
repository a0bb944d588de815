package processor

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests  prometheus.Counter
	future    prometheus.Counter
	late      prometheus.Observer // seconds
	early     prometheus.Observer // seconds
	skew      *prometheus.GaugeVec
	doubted   *prometheus.GaugeVec
	sites     prometheus.Gauge
	incidents *prometheus.CounterVec
	decisions *prometheus.CounterVec
	spared    prometheus.Counter
	leftOut   *prometheus.CounterVec
	strange   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_processor_requests_total", Help: "Requests processed, those that a collector left out included."}),
		future: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_processor_future_requests_total", Help: "Requests far ahead of all before them, taken as of now: an edge's clock may be wrong."}),
		skew: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_processor_clock_skew_seconds", Help: "By how much a source's clock is ahead of the others (negative: behind), where that is corrected."}, []string{"edge", "source"}),
		doubted: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_processor_clock_doubted_share", Help: "Share of a source's requests whose times fit nothing and cannot be corrected: its clock stands still, or jumps."}, []string{"edge", "source"}),
		sites: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_processor_sites", Help: "Sites kept."}),
		incidents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_processor_incidents_total", Help: "Incidents opened, by kind."}, []string{"kind"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_processor_decisions_total", Help: "Decisions added, renewed and removed, by action."}, []string{"event", "action"}),
	}
	m.spared = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "weir_processor_proxies_spared_total", Help: "Times that a proxy sent so much that it would have been decided against, were it a client."})
	m.leftOut = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_processor_measures_left_out_total", Help: "Measures that were found and not decided, because a cap was reached; each counts again every ten seconds that it is found."}, []string{"cap"})
	m.strange = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "weir_processor_strange_requests", Help: "Requests a second for hosts of which nothing is known, while that of some site is: nothing is decided there."})
	off := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "weir_processor_off_time_seconds", Help: "By how much requests came after their second had closed (late), or lay ahead of all before them (early).",
		Buckets: []float64{1, 2, 5, 10, 30, 60, 300, 3600, 86400},
	}, []string{"side"})
	m.late, m.early = off.WithLabelValues("late"), off.WithLabelValues("early")
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.future, off, m.skew, m.doubted, m.sites, m.incidents, m.decisions, m.spared, m.leftOut, m.strange} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("processor: register metrics: %w", err)
		}
	}
	return m, nil
}

// ahead counts a request of the future, by how many ms.
func (m *metrics) ahead(ms int64) {
	m.future.Inc()
	m.early.Observe(float64(ms) / 1000)
}
