package ship

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/accesslog"
)

type metrics struct {
	lines   prometheus.Counter
	refused [accesslog.NumReasons]prometheus.Counter
	batches prometheus.Counter
	bytes   prometheus.Counter
	retries prometheus.Counter
	skipped prometheus.Counter
	left    prometheus.Counter
	weight  prometheus.Gauge
	lag     prometheus.Gauge

	registerer prometheus.Registerer
	all        []prometheus.Collector // as registered
}

// Unregister ends the metrics of a Ship that does not run and never will again.
func (s *Ship) Unregister() {
	for _, c := range s.metrics.all {
		s.metrics.registerer.Unregister(c)
	}
}

func newMetrics(registerer prometheus.Registerer, edge, source string) (*metrics, error) {
	labels := prometheus.Labels{"edge": edge, "source": source}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_collector_lines_refused_total", Help: "Lines that gave no request, by reason.", ConstLabels: labels,
	}, []string{"reason"})
	m := &metrics{
		lines:   counter("weir_collector_lines_total", "Lines read."),
		batches: counter("weir_collector_batches_total", "Batches published."),
		bytes:   counter("weir_collector_batch_bytes_total", "Bytes of the published batches, compressed."),
		retries: counter("weir_collector_publish_retries_total", "Attempts to publish that failed and were repeated."),
		skipped: counter("weir_collector_files_skipped_total", "Rotated files that were not read to their end; each is logged."),
		left:    counter("weir_collector_requests_left_out_total", "Requests that were not sent because the source was behind; those of the other clients stand for them."),
		weight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_collector_sample_weight", Help: "How many requests each one that is sent stands for; 1 while all are sent.", ConstLabels: labels,
		}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_collector_lag_seconds", Help: "How old the newest line was when it was published.", ConstLabels: labels,
		}),
	}
	m.weight.Set(1)
	for reason := accesslog.None + 1; int(reason) < accesslog.NumReasons; reason++ {
		m.refused[reason] = refused.WithLabelValues(reason.String())
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.lines, refused, m.batches, m.bytes, m.retries, m.skipped, m.left, m.weight, m.lag} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
		m.registerer, m.all = registerer, append(m.all, c)
	}
	return m, nil
}

// count counts what a pack made.
func (s *Ship) count(k *packer) {
	s.metrics.lines.Add(float64(k.lines))
	s.metrics.left.Add(float64(k.left))
	for reason, n := range k.refused {
		if n > 0 {
			s.metrics.refused[reason].Add(float64(n))
		}
	}
}
