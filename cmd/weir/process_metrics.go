package main

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// processMetrics are those of counting and detecting.
type processMetrics struct {
	owned       *prometheus.GaugeVec
	lag         *prometheus.GaugeVec
	takeovers   prometheus.Counter
	published   prometheus.Counter
	merged      prometheus.Counter
	replaced    prometheus.Counter
	late        prometheus.Counter
	malformed   prometheus.Counter
	fenced      prometheus.Counter
	leader      prometheus.Gauge
	detectorLag prometheus.Gauge
	delay       *prometheus.GaugeVec
}

func newProcessMetrics(r prometheus.Registerer) (*processMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	vector := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"partition"})
	}
	m := &processMetrics{
		owned:       vector("weir_partition_owned", "1 where this process counts the partition."),
		lag:         vector("weir_partition_lag_seconds", "How far behind the clock the partition's event time was when it last moved."),
		takeovers:   counter("weir_partition_takeovers_total", "Partitions that this process has begun to count."),
		published:   counter("weir_panes_published_total", "Panes that this process has published."),
		merged:      counter("weir_panes_merged_total", "Panes that the detector in this process has taken."),
		replaced:    counter("weir_panes_replaced_total", "Panes among them that came again: each counts once."),
		late:        counter("weir_panes_late_requests_total", "Requests in panes whose second had been judged without them."),
		malformed:   counter("weir_panes_malformed_total", "Messages of panes that could not be read."),
		fenced:      counter("weir_fenced_total", "Messages refused because their sender had lost its lease, and leases that this process lost so."),
		leader:      gauge("weir_detector_leader", "1 where this process is the detector."),
		detectorLag: gauge("weir_detector_lag_seconds", "From the end of the second that was judged last until it was."),
		delay: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_source_delay_seconds", Help: "From the newest request of a source's last batch, by the source's clock, until the batch was in the stream, by the stream's: negative where the source's clock is ahead."},
			[]string{"edge", "source"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.owned, m.lag, m.takeovers, m.published, m.merged, m.replaced, m.late, m.malformed, m.fenced, m.leader, m.detectorLag, m.delay} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("processor: register metrics: %w", err)
		}
	}
	return m, nil
}
