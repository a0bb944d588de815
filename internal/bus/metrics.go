package bus

import (
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	registerer    prometheus.Registerer
	published     prometheus.Counter
	duplicates    prometheus.Counter
	publishErrors prometheus.Counter
	delivered     *prometheus.CounterVec
	redelivered   *prometheus.CounterVec
	lost          *prometheus.CounterVec
	restarts      *prometheus.CounterVec
	reconnects    prometheus.Counter
	all           []prometheus.Collector
}

// register makes the metrics, and publishes them where r is not nil.
func (m *metrics) register(r prometheus.Registerer) error {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "weir", Subsystem: "bus", Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	vector := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "weir", Subsystem: "bus", Name: name, Help: help}, []string{"stream", "reader"})
		m.all = append(m.all, c)
		return c
	}
	m.published = counter("published_total", "Messages that a stream has acknowledged.")
	m.duplicates = counter("duplicates_total", "Messages among them that the stream had already.")
	m.publishErrors = counter("publish_errors_total", "Messages that were not acknowledged.")
	m.reconnects = counter("reconnects_total", "Times that the connection came back.")
	m.delivered = vector("delivered_total", "Messages handed to a reader.")
	m.redelivered = vector("redelivered_total", "Messages among them that had been delivered before.")
	m.lost = vector("lost_total", "Sequences that the stream had discarded before the reader came to them.")
	m.restarts = vector("reader_restarts_total", "Times that a reader was set up anew after an error.")
	if r == nil {
		return nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			for _, before := range m.all[:i] {
				r.Unregister(before)
			}
			return err
		}
	}
	m.registerer = r
	return nil
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
	m.registerer = nil
}

func (m *metrics) count(ack *jetstream.PubAck) {
	m.published.Inc()
	if ack.Duplicate {
		m.duplicates.Inc()
	}
}
