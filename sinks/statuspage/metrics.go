package statuspage

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	writtenAt prometheus.Gauge
	failures  prometheus.Counter
	pushes    *prometheus.CounterVec
	shown     *prometheus.GaugeVec
	stale     *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		writtenAt: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_statuspage_written_timestamp_seconds", Help: "When the status page was last written into its folder."}),
		failures:  prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_statuspage_write_failures_total", Help: "How often the status page could not be written into its folder."}),
		pushes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_statuspage_pushes_total", Help: "Pushes to independent places, by place and result (done, failed)."}, []string{"place", "result"}),
		shown:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weir_statuspage_place_timestamp_seconds", Help: "When the page that an independent place shows was made."}, []string{"place"}),
		stale:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weir_statuspage_place_stale", Help: "1 where an independent place shows something old, 0 where it does not."}, []string{"place"}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.writtenAt), r.Register(m.failures), r.Register(m.pushes), r.Register(m.shown), r.Register(m.stale))
}

func (m *metrics) written(at time.Time, err error) {
	if err != nil {
		m.failures.Inc()
		return
	}
	m.writtenAt.Set(float64(at.Unix()))
}
