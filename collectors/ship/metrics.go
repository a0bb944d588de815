package ship

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/accesslog"
)

// metrics are those of one Ship, in vectors that all Ships of a process share: a thousand
// logs have a series of each, and not a description as well. Reasons for which nothing was
// refused have none.
type metrics struct {
	lines   prometheus.Counter
	refused *prometheus.CounterVec
	batches prometheus.Counter
	bytes   prometheus.Counter
	retries prometheus.Counter
	skipped prometheus.Counter
	left    prometheus.Counter
	weight  prometheus.Gauge
	lag     prometheus.Gauge

	labels  prometheus.Labels
	vectors []vector
}

// vector is a CounterVec or a GaugeVec.
type vector interface {
	prometheus.Collector
	DeletePartialMatch(prometheus.Labels) int
}

// Unregister ends the metrics of a Ship that does not run and never will again.
func (s *Ship) Unregister() {
	for _, v := range s.metrics.vectors {
		v.DeletePartialMatch(s.metrics.labels)
	}
}

func newMetrics(registerer prometheus.Registerer, edge, source string) (*metrics, error) {
	m := &metrics{labels: prometheus.Labels{"edge": edge, "source": source}}
	var failed error
	counters := func(name, help string, more ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"edge", "source"}, more...))
		shared, err := share(registerer, v)
		failed = errors.Join(failed, err)
		m.vectors = append(m.vectors, shared)
		return shared
	}
	counter := func(name, help string) prometheus.Counter { return counters(name, help).With(m.labels) }
	gauge := func(name, help string) prometheus.Gauge {
		v, err := share(registerer, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"edge", "source"}))
		failed = errors.Join(failed, err)
		m.vectors = append(m.vectors, v)
		return v.With(m.labels)
	}
	m.lines = counter("weir_collector_lines_total", "Lines read.")
	m.refused = counters("weir_collector_lines_refused_total", "Lines that gave no request, by reason.", "reason")
	m.batches = counter("weir_collector_batches_total", "Batches published.")
	m.bytes = counter("weir_collector_batch_bytes_total", "Bytes of the published batches, compressed.")
	m.retries = counter("weir_collector_publish_retries_total", "Attempts to publish that failed and were repeated.")
	m.skipped = counter("weir_collector_files_skipped_total", "Rotated files that were not read to their end; each is logged.")
	m.left = counter("weir_collector_requests_left_out_total", "Requests that were not sent because the source was behind; those of the other clients stand for them.")
	m.weight = gauge("weir_collector_sample_weight", "How many requests each one that is sent stands for; 1 while all are sent.")
	m.lag = gauge("weir_collector_lag_seconds", "How old the newest line was when it was published.")
	m.weight.Set(1)
	return m, failed
}

// share registers a vector, or gives the one that is registered under its name.
func share[V prometheus.Collector](registerer prometheus.Registerer, v V) (V, error) {
	if registerer == nil {
		return v, nil
	}
	err := registerer.Register(v)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if there, is := already.ExistingCollector.(V); is {
			return there, nil
		}
	}
	return v, err
}

// count counts what a pack made.
func (s *Ship) count(k *packed) {
	s.metrics.lines.Add(float64(k.lines))
	s.metrics.left.Add(float64(k.left))
	for reason, n := range k.refused {
		if n > 0 {
			s.metrics.refused.WithLabelValues(s.o.Edge, s.o.Source, accesslog.Reason(reason).String()).Add(float64(n))
		}
	}
}
