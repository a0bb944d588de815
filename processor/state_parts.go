package processor

import (
	"fmt"
	"io"
	"math"

	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Save writes all that a Counter has worked out, its open panes among it: one that loads
// it and counts what came since comes to the same panes.
func (c *Counter) Save(w io.Writer) error {
	return saving(w, func(s *state.Writer) error {
		s.Uint(fingerprint(c.seed))
		c.write(s)
		s.Uint(uint64(len(c.sites)))
		for _, site := range c.sites {
			s.Text(site.name)
			s.Uint(uint64(site.level))
			s.Uint(uint64(len(site.panes)))
			for _, p := range site.panes {
				if err := p.write(s); err != nil {
					return fmt.Errorf("save the counter's state: %w", err)
				}
			}
		}
		for _, site := range c.sites { // last, so that state without it can be read
			for _, p := range site.panes {
				p.People.write(s)
			}
		}
		return nil
	})
}

// Load replaces everything by what Save wrote with the same secret and MaxClients. What
// cannot be used is refused with one clear line that wraps ErrState; the counter is then
// to be thrown away.
func (c *Counter) Load(in io.Reader) error {
	r, err := unseal(in)
	if err != nil {
		return err
	}
	if r.Uint(math.MaxUint64) != fingerprint(c.seed) {
		r.Fail("it was saved with another secret")
	}
	c.read(r)
	for range r.Count(c.o.MaxSites + len(c.o.Named)) {
		s := c.siteNamed(r.Text(schemas.MaxSite))
		s.level = uint(r.Uint(40))
		for range r.Count(window.Open) {
			second := r.Int()
			if second <= c.closed || second > c.closed+window.Open {
				r.Fail("the open pane of second %d after %d", second, c.closed)
			}
			if r.Err() != nil {
				break
			}
			s.pane(second).read(r)
		}
	}
	if r.Err() == nil && r.More() {
		for _, s := range c.sites {
			for _, p := range s.panes {
				p.People.read(r)
			}
		}
	}
	r.End()
	if r.Err() != nil {
		return fmt.Errorf("load the counter's state: %w: %w", ErrState, r.Err())
	}
	return nil
}

func (p *Pane) write(w *state.Writer) error {
	w.Int(p.Second)
	if err := w.Form(p.Pane.AppendBinary); err != nil {
		return err
	}
	p.Sample.Write(w)
	w.Uint(uint64(len(p.Served)))
	for _, hash := range p.Served {
		w.Uint(hash)
	}
	p.Found.write(w)
	return nil
}

// read fills a pane whose second was read.
func (p *Pane) read(r *state.Reader) {
	sketches := r.Raw(r.Count(schemas.MaxPanesDecoded))
	if r.Err() != nil {
		return
	}
	if err := p.Pane.UnmarshalBinary(sketches); err != nil {
		r.Fail("%v", err)
		return
	}
	p.Sample.Read(r)
	p.Sample.SetPeriod(p.Second / periodSeconds)
	for range r.Count(paneServed) {
		p.Served = append(p.Served, r.Uint(math.MaxUint64))
	}
	p.Found.read(r)
}

// Save writes what a Detector has learned and what is open. What is in quarantine and in the
// short windows is in the panes of the last FillSeconds: Fill takes them. What is in the long
// ones SaveSteps writes.
func (d *Detector) Save(w io.Writer) error {
	return saving(w, func(s *state.Writer) error {
		s.Uint(fingerprint(seedOf(d.o.Secret)))
		if err := d.write(s); err != nil {
			return err
		}
		for _, site := range d.sites {
			site.writeRecent(s)
		}
		for _, site := range d.sites { // last, so that state without it can be read
			s.Uint(uint64(site.phase))
		}
		return nil
	})
}

// Load replaces everything by what Save wrote with the same secret, and is followed by
// Fill and Filled. What cannot be used is refused with one clear line that wraps
// ErrState; the detector is then to be thrown away.
func (d *Detector) Load(in io.Reader) error {
	r, err := unseal(in)
	if err != nil {
		return err
	}
	if r.Uint(math.MaxUint64) != fingerprint(seedOf(d.o.Secret)) {
		r.Fail("it was saved with another secret")
	}
	d.read(r)
	for _, site := range d.sites {
		site.readRecent(r)
		site.know.news.decided = true
	}
	if r.Err() == nil && r.More() {
		for _, site := range d.sites {
			site.phase = int64(r.Uint(stepSeconds - 1))
		}
	}
	r.End()
	if r.Err() != nil {
		return fmt.Errorf("load the detector's state: %w: %w", ErrState, r.Err())
	}
	return nil
}

// FillSeconds is how many closed seconds the windows and the quarantine reach back.
const FillSeconds = (quarantine+1)*stepSeconds + stepSeconds

// Fill takes the panes of a second that had been closed when the state was saved: each of
// the last FillSeconds, in order.
func (d *Detector) Fill(second int64, panes []*Pane) {
	for _, p := range panes {
		if s, ok := d.index[p.Site]; ok {
			requests, last := s.requests, s.last
			s.take(p)
			s.requests, s.last = requests, last
		}
	}
	d.Release(panes)
	for _, s := range d.sites {
		s.fill(second)
	}
}

// fill ends a second without looking at it.
func (s *site) fill(second int64) {
	s.windows.Close(second)
	if second%stepSeconds != s.phase {
		return
	}
	s.windows.Step()
	s.filled(second).tainted = true // until Filled knows better
	s.empty()
}

// Filled ends filling: what was filled is learned from in time as it would have been.
func (d *Detector) Filled() {
	d.skip(d.closed)
	for _, s := range d.sites {
		for _, was := range s.recent {
			for i := range s.buckets {
				if b := &s.buckets[i]; b.filled && b.second == was.second {
					b.tainted, b.even, b.evidence = was.tainted, was.even, was.evidence
				}
			}
		}
		s.buckets[s.bucket].tainted = s.current
		s.recent, s.current = nil, false
	}
}

// recentStep is what is saved of a step in quarantine.
type recentStep struct {
	second   int64
	tainted  bool
	evidence float64
	even     [detect.NumSignals]float64 // what is learned of it
}

func (s *site) writeRecent(w *state.Writer) {
	for _, v := range s.alert {
		w.Float(v)
	}
	w.Bool(s.buckets[s.bucket].tainted)
	n := 0
	for i := range s.buckets {
		if s.buckets[i].filled {
			n++
		}
	}
	w.Uint(uint64(n))
	for i := range s.buckets {
		if b := &s.buckets[i]; b.filled {
			w.Int(b.second)
			w.Bool(b.tainted)
			w.Float(b.evidence)
			for _, v := range b.even {
				w.Float(v)
			}
		}
	}
}

func (s *site) readRecent(r *state.Reader) {
	for i := range s.alert {
		s.alert[i] = r.Float()
	}
	s.current = r.Bool()
	for range r.Count(quarantine + 1) {
		var step recentStep
		step.second, step.tainted, step.evidence = r.Int(), r.Bool(), r.Float()
		for i := range step.even {
			step.even[i] = r.Float()
		}
		s.recent = append(s.recent, step)
	}
}
