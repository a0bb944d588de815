package notify

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	sent, failures, dropped *prometheus.CounterVec
	pending                 *prometheus.GaugeVec
	heartbeats              prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"channel"})
	}
	m := &metrics{
		sent:       counter("weir_notify_sent_total", "Messages that a channel has taken."),
		failures:   counter("weir_notify_failures_total", "Attempts to send that failed."),
		dropped:    counter("weir_notify_dropped_total", "Messages that were given up."),
		pending:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weir_notify_pending", Help: "Messages that wait for a channel."}, []string{"channel"}),
		heartbeats: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_notify_heartbeats_total", Help: "Heartbeats that the dead-man's switch has taken."}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sent, m.failures, m.dropped, m.pending, m.heartbeats} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
