package processor

import (
	"time"

	"github.com/weir-project/weir/schemas"
)

// overlap is a Processor's second half while it works beside the first: the Detector judges a
// second while the Counter counts what follows.
//
// What the Detector learns in a second, the Counter knows when the next is handed over; what
// it emits is emitted then. So everything depends on the requests and their order, and on
// nothing else: neither on how many cores there are nor on which half is faster.
type overlap struct {
	done  chan struct{} // closed when the second is judged; nil where none is
	panes []*Pane       // of that second
	told  []func(emit func(schemas.Event))
}

// Overlap lets the processor judge a second beside counting the next. Events are then emitted, and
// signals and known paths told, with the next second that is closed, up to a second of event
// time later than otherwise, or by Finish. To be called before the first request.
func (p *Processor) Overlap() {
	c, d := p.counter, p.detector
	if p.beside != nil || len(c.sites) > 0 {
		return
	}
	p.beside = new(overlap)
	c.extract = d.extract.Fork()
	c.know = d.know.branch()
	if signals := d.o.Signals; signals != nil {
		d.o.Signals = func(end time.Time, site string, list []schemas.Signal) {
			p.later(func(func(schemas.Event)) { signals(end, site, list) })
		}
	}
	if known := d.o.Known; known != nil {
		d.o.Known = func(at time.Time, list *schemas.SiteList) {
			p.later(func(func(schemas.Event)) { known(at, list) })
		}
	}
}

func (p *Processor) later(tell func(emit func(schemas.Event))) {
	p.beside.told = append(p.beside.told, tell)
}

// judge has a second judged, beside the caller where that is wanted. None is being judged.
func (p *Processor) judge(second int64, panes []*Pane, emit func(schemas.Event)) {
	c, d := p.counter, p.detector
	if p.beside == nil {
		d.close(second, panes, emit)
		c.release(panes)
		return
	}
	d.extract.Follow(c.extract)
	done := make(chan struct{})
	p.beside.done, p.beside.panes = done, panes
	go func() {
		defer close(done)
		d.close(second, panes, func(e schemas.Event) {
			p.later(func(emit func(schemas.Event)) { emit(e) })
		})
	}()
}

// wait waits until nothing is being judged.
func (p *Processor) wait() {
	if p.beside != nil && p.beside.done != nil {
		<-p.beside.done
	}
}

// Finish waits until nothing is being judged, and emits what came of it. A processor that does not
// overlap has nothing to finish.
func (p *Processor) Finish(emit func(schemas.Event)) {
	b := p.beside
	if b == nil || b.done == nil {
		return
	}
	<-b.done
	b.done = nil
	p.counter.release(b.panes)
	p.detector.know.tellBranch()
	told := b.told
	b.told = nil
	for _, tell := range told {
		tell(emit)
	}
}
