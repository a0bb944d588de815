package processor

import (
	"io"
	"math"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Parts makes the counters and the detector of one process, where requests are counted by
// several processes and judged by one: a Processor is the same without the distance.
type Parts struct {
	o     Options
	know  *Knowledge // of the counters
	count *metrics
}

// NewParts checks the options. Errors are one clear line each.
func NewParts(o Options) (*Parts, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	count, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Parts{o: o, know: NewKnowledge(), count: count}, nil
}

// Counter makes one for one of so many partitions.
func (p *Parts) Counter(partitions int) *Counter {
	o := p.o
	o.MaxClients = max(o.MaxClients/partitions, 1024)
	c := newCounter(o, p.know, p.count)
	c.shared, c.sampled = true, partitionClients
	return c
}

// Detector makes one that has learned nothing, with a Knowledge of its own.
func (p *Parts) Detector() *Detector {
	know := NewKnowledge()
	know.noting = true
	return newDetector(p.o, newExtractor(p.o), know, p.count)
}

// Knowledge is what the counters know; it follows a detector's by Apply.
func (p *Parts) Knowledge() *Knowledge { return p.know }

// Learned makes a detector that knows what a Processor saved, and forgets when that was: a
// baseline. What cannot be used is refused with one clear line that wraps ErrState.
func (p *Parts) Learned(in io.Reader) (*Detector, error) {
	o := p.o
	o.Registerer = nil
	whole, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := whole.Load(in); err != nil {
		return nil, err
	}
	whole.Rewind()
	d := whole.detector
	d.count, d.know.noting = p.count, true
	return d, nil
}

// LearnedCounter makes a counter for a partition, that knows the clients which a Processor
// saved, and forgets when that was.
func (p *Parts) LearnedCounter(in io.Reader, partition int) (*Counter, error) {
	r, err := unseal(in)
	if err != nil {
		return nil, err
	}
	if r.Uint(math.MaxUint64) != fingerprint(seedOf(p.o.Secret)) {
		return nil, ErrState
	}
	c := p.Counter(schemas.Partitions)
	_, _ = r.Int(), r.Int() // the clock
	c.clients.ReadSome(r, func(client netip.Addr) bool { return schemas.PartitionOf(client) == partition })
	if r.Err() != nil {
		return nil, r.Err()
	}
	c.clients.Rewind()
	return c, nil
}

// Early counts a request that was too far ahead of all others to be believed, by how many
// ms: whoever puts the requests in order finds that out, not the counters.
func (p *Parts) Early(ahead int64) { p.count.ahead(ahead) }

// Skewed says what is wrong with the clock of a source, nothing where it is right.
func (p *Parts) Skewed(s window.Skew) {
	set := func(g *prometheus.GaugeVec, v float64) {
		if v == 0 {
			g.DeleteLabelValues(s.Edge, s.Source)
			return
		}
		g.WithLabelValues(s.Edge, s.Source).Set(v)
	}
	set(p.count.skew, s.Ahead.Seconds())
	set(p.count.doubted, s.Doubted)
}
