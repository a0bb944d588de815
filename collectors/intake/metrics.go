package intake

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Reason says why something that was pushed did not become a line. The set is small
// and fixed, so that it can be a metric's label.
type Reason uint8

// The reasons. Up to Unframed they are of one message, which is refused and the next
// one taken; Unframed and those after it end a connection or a body.
const (
	Taken    Reason = iota // not refused
	Empty                  // no line in it
	TooLong                // more than the listener's bound on a message
	Broken                 // a newline within the message: no line of a log
	Priority               // no <PRI> at its beginning (RFC 5424, section 6.2.1)
	Header                 // a header that is neither RFC 3164 nor RFC 5424
	Object                 // JSON that holds no line
	Unframed               // where a message ends cannot be said
	Limit                  // a connection more than the listener's bound
	Idle                   // a connection that stopped within a message
	Token                  // no token, or a wrong one
	Encoding               // a body that cannot be unpacked, or unpacks to too much
	numReasons
)

var reasonNames = [numReasons]string{
	"taken", "empty", "too_long", "broken", "priority", "header", "object", "unframed", "limit", "idle", "token", "encoding",
}

// String is the reason's name, as in metrics.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Loss says why lines that could have been taken were dropped. Only what has no way to
// push back drops: UDP, and unix datagrams.
type Loss uint8

// The losses.
const (
	Full   Loss = iota // the spool, and the memory before it, were full
	Rate               // over the listener's rate
	Kernel             // in the kernel's queue: sent faster than they could be read
	numLosses
)

var lossNames = [numLosses]string{"full", "rate", "kernel"}

// String is the loss's name, as in metrics.
func (l Loss) String() string {
	if l < numLosses {
		return lossNames[l]
	}
	return "unknown"
}

// Metrics are one listener's.
type Metrics struct {
	Received    prometheus.Counter // lines taken for good
	Bytes       prometheus.Counter // of these lines
	Connections prometheus.Gauge   // open now
	Waiting     prometheus.Counter // times that a sender was made to wait or to come again
	refused     [numReasons]prometheus.Counter
	dropped     [numLosses]prometheus.Counter
	all         []prometheus.Collector
}

// NewMetrics makes a listener's metrics, with its source's name as their label, and
// registers them where registerer is not nil.
func NewMetrics(registerer prometheus.Registerer, source string) (*Metrics, error) {
	labels := prometheus.Labels{"source": source}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, []string{label})
	}
	refused := vector("weir_listener_refused_total", "Messages, bodies and connections that were refused, by reason.", "reason")
	dropped := vector("weir_listener_dropped_total", "Lines that were dropped because nothing can push back there, by reason.", "reason")
	m := &Metrics{
		Received: counter("weir_listener_lines_total", "Lines that were pushed and are safe."),
		Bytes:    counter("weir_listener_bytes_total", "Bytes of these lines."),
		Connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_listener_connections", Help: "Connections that are open.", ConstLabels: labels,
		}),
		Waiting: counter("weir_listener_waits_total", "Times that a sender had to wait, or was told to come again, because the spool was full."),
	}
	for r := Taken + 1; r < numReasons; r++ {
		m.refused[r] = refused.WithLabelValues(r.String())
	}
	for l := range numLosses {
		m.dropped[l] = dropped.WithLabelValues(l.String())
	}
	m.all = []prometheus.Collector{m.Received, m.Bytes, m.Connections, m.Waiting, refused, dropped}
	if registerer == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := registerer.Register(c); err != nil {
			for _, before := range m.all[:i] {
				registerer.Unregister(before)
			}
			return nil, fmt.Errorf("listener %s: metrics: %w", source, err)
		}
	}
	return m, nil
}

// Refuse counts one that was refused.
func (m *Metrics) Refuse(r Reason) { m.refused[r].Inc() }

// Drop counts lines that were dropped.
func (m *Metrics) Drop(l Loss, lines int) { m.dropped[l].Add(float64(lines)) }

// Took counts lines that are safe.
func (m *Metrics) Took(lines, bytes int) {
	m.Received.Add(float64(lines))
	m.Bytes.Add(float64(bytes))
}
