package vitals

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

type metrics struct {
	nginx       *prometheus.GaugeVec
	answered    prometheus.Gauge
	listen      *prometheus.GaugeVec
	overflows   prometheus.Counter
	drops       prometheus.Counter
	conntrack   prometheus.Gauge
	conntrackOf prometheus.Gauge
	pressure    *prometheus.GaugeVec
	load        prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vector := func(name, help, label string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		nginx:       vector("weir_vitals_nginx_connections", "Connections of nginx, by what it does with them.", "state"),
		answered:    gauge("weir_vitals_nginx_up", "1 where nginx answered stub_status in time."),
		listen:      vector("weir_vitals_listen_waiting", "Connections that wait to be accepted, of the fullest sockets.", "address"),
		overflows:   counter("weir_vitals_listen_overflows_total", "Connections that the kernel refused because a queue was full."),
		drops:       counter("weir_vitals_listen_drops_total", "Connections that the kernel dropped before they were accepted."),
		conntrack:   gauge("weir_vitals_conntrack_entries", "Connections that the firewall tracks."),
		conntrackOf: gauge("weir_vitals_conntrack_limit", "Connections that it can track."),
		pressure:    vector("weir_vitals_pressure_share", "Share of the last ten seconds in which something waited for it.", "resource"),
		load:        gauge("weir_vitals_load1", "Load of the last minute."),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.nginx, m.answered, m.listen, m.overflows, m.drops, m.conntrack, m.conntrackOf, m.pressure, m.load} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// shownListen is how many listening sockets have a metric.
const shownListen = 8

func (m *metrics) set(v *schemas.Vitals) {
	if n := v.Nginx; n != nil {
		m.answered.Set(0)
		if n.Answered {
			m.answered.Set(1)
			for state, x := range map[string]int64{"active": n.Active, "reading": n.Reading, "writing": n.Writing, "waiting": n.Waiting} {
				m.nginx.WithLabelValues(state).Set(float64(x))
			}
		}
	}
	m.listen.Reset()
	for _, q := range v.Listen[:min(len(v.Listen), shownListen)] {
		m.listen.WithLabelValues(q.Address).Set(float64(q.Waiting))
	}
	m.overflows.Add(float64(v.ListenOverflows))
	m.drops.Add(float64(v.ListenDrops))
	m.conntrack.Set(float64(v.Conntrack))
	m.conntrackOf.Set(float64(v.ConntrackMax))
	for resource, x := range map[string]float64{"cpu": v.CPUPressure, "memory": v.MemoryPressure, "io": v.IOPressure} {
		m.pressure.WithLabelValues(resource).Set(x)
	}
	m.load.Set(v.Load)
}
