package spool

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	bytes   prometheus.Gauge
	refused prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, source string) (*metrics, error) {
	labels := prometheus.Labels{"source": source}
	m := &metrics{
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_collector_spool_bytes", Help: "Pushed lines on disk, in bytes: those that wait, and those of segments that are not done with.", ConstLabels: labels,
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_collector_spool_refused_total", Help: "Appends that were refused, because the spool or its disk is full.", ConstLabels: labels,
		}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.bytes, m.refused} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
