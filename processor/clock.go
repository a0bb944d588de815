package processor

import (
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// clock is event time as a Counter takes it from its requests: a line for each source, so
// that a wrong clock is corrected and named, and hurts nobody else.
type clock struct {
	window.Timeline
	line *window.Line // of the batch that is counted
}

// follow begins a batch. It returns where event time begins if that is not known yet, 0
// otherwise.
func (c *clock) follow(b *schemas.Batch, latest int64) (begin int64) {
	c.line = c.Line(b.Edge, b.Source)
	if latest > 0 || len(b.Time) == 0 {
		return 0
	}
	var first [8]int64
	times, at := first[:0], int64(0)
	for _, d := range b.Time[:min(len(b.Time), len(first))] {
		at += d
		times = append(times, at)
	}
	return window.Begin(times)
}

// moment is when a request counts, and whether event time may move there.
func (c *Counter) moment(at int64) (moment int64, believed bool) {
	was := c.clock.line.Skewed()
	moment, believed = c.clock.Moment(c.clock.line, at, c.latest, 0)
	if !believed && at > c.latest {
		c.count.ahead(at - c.latest)
	}
	if now := c.clock.line.Skewed(); now != was {
		edge, source := c.clock.line.Name()
		c.count.skew.WithLabelValues(edge, source).Set(now.Seconds())
	}
	return moment, believed
}

// Skews are the sources whose clocks are known to be wrong, worst first. Their requests
// count at the corrected time.
func (p *Processor) Skews() []window.Skew { return p.counter.clock.Skews() }
