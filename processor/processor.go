package processor

import (
	"net/netip"
	"time"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Processor is the whole of processing for the requests of one estate: a Counter of all
// requests and a Detector in one, without anything between them. Not for concurrent use.
type Processor struct {
	counter  *Counter
	detector *Detector
	beside   *overlap // nil: one second after the other
}

// New makes a Processor. Errors are about the options, one clear line each.
func New(o Options) (*Processor, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	count, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	know := NewKnowledge()
	counter := newCounter(o, know, count)
	return &Processor{counter: counter, detector: newDetector(o, counter.extract, know, count)}, nil
}

// Consume takes the rows of a batch in order. Before each row event time moves on
// to the row's, unless its source's clock is to be doubted (see window.Timeline); the seconds that this closes (those that ended the lateness before
// the greatest time seen) are judged, and the events that follow are given to emit,
// each with the event time at which it could be known.
//
// judge, if not nil, says what an edge does with the row, and is asked after the
// events before the row were emitted; without it the logged action counts. The
// request that judge sees is valid during the call; of one that it lets through as a probe
// it sets the Decision, and of every other none.
func (p *Processor) Consume(b *schemas.Batch, judge func(row int, r *schemas.Request) schemas.Action, emit func(schemas.Event)) {
	p.ConsumeShifted(b, nil, judge, emit)
}

// ConsumeShifted is Consume of rows whose clocks somebody corrects: shifts are, of each row, how
// many ms are added to its time, except for judge, who decides by the edge's own. Empty is none.
func (p *Processor) ConsumeShifted(b *schemas.Batch, shifts []int64, judge func(row int, r *schemas.Request) schemas.Action, emit func(schemas.Event)) {
	c := p.counter
	c.begin(b)
	if begin := c.clock.follow(b, c.latest); begin > 0 {
		p.Advance(begin, emit)
	}
	var r schemas.Request
	for row := 0; c.rows.Next(&r); row++ {
		c.warm(row)
		at := r.Time
		if len(shifts) > 0 {
			at += shifts[row]
		}
		moment, believed := c.moment(at)
		if believed {
			p.Advance(moment, emit)
		}
		s := c.siteOfRow(&r, row)
		var action schemas.Action
		switch {
		case judge != nil:
			action = judge(row, &r)
		case r.Fields.Has(schemas.FieldAction):
			action = actionOf(r.Action)
		default:
			action, r.Decision = c.infer(s, &r, row)
		}
		r.Time = moment // the judge saw the edge's own
		s.observe(&r, row, action)
	}
	c.count.requests.Add(float64(c.rows.Len()) * max(b.Weight, 1))
}

// Advance moves event time to now, in unix ms, without a request. It never moves
// it back.
func (p *Processor) Advance(now int64, emit func(schemas.Event)) {
	c, d := p.counter, p.detector
	for until := c.reach(now); c.closed < until; {
		if c.open == 0 {
			if p.Finish(emit); d.idle() {
				c.skip(until)
				d.skip(until)
				return
			}
		}
		second, panes := c.take()
		p.Finish(emit)
		p.judge(second, panes, emit)
	}
}

// Regular reports whether a client is a regular of any site with a user agent: one that
// came on an earlier day, while nothing was wrong.
func (p *Processor) Regular(client netip.Addr, agent []byte) bool {
	return p.counter.Regular(client, agent)
}

// Detail reads a window of a site, see Detector.Detail.
func (p *Processor) Detail(site string, length window.Length, out *window.Detail) bool {
	p.wait()
	return p.detector.Detail(site, length, out)
}

// Clients is how many clients are remembered.
func (p *Processor) Clients() int { return p.counter.clients.Len() }

// SiteStatus is a site as a report shows it.
type SiteStatus struct {
	Name     string
	Requests uint64
	Signals  []schemas.Signal // of the last 10 s
	Learned  time.Duration    // how much normal traffic the baseline rests on
	Clients  int              // normal clients sampled
	Incident string           // open, or ""
}

// Sites tells of all sites, in the order of their first request. Requests of seconds
// that are still open count.
func (p *Processor) Sites() []SiteStatus {
	p.wait()
	var out []SiteStatus
	at := make(map[string]int)
	for _, s := range p.detector.sites {
		at[s.name] = len(out)
		out = append(out, s.status())
	}
	for _, s := range p.counter.sites {
		i, ok := at[s.name]
		if !ok {
			i, out = len(out), append(out, SiteStatus{Name: s.name})
		}
		for _, pane := range s.panes {
			out[i].Requests += pane.Counts[window.Requests]
		}
	}
	return out
}
