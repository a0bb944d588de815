package window

import "github.com/weir-project/weir/processor/sketch"

const (
	// Short is the length of the short window in panes, and the step of the others.
	Short = 10
	// Open is how many seconds may be open at once: lateness can be at most one less.
	Open = 22
	ring = 16 // more than Short
)

// Site is the windows of one site. Seconds are unix seconds and close in their order;
// every Short of them the caller ends a step. The zero value has nothing, and shares
// nothing with other sites. Not for concurrent use.
type Site struct {
	estate *Estate
	panes  [ring]*Pane // of the short window, and the one that closes next; nil is empty
	packed [ring]kept  // of the short window, what is not among panes, see quiet
	closed int64       // the last second closed; 0 before the first
	short  Counts
	step   int64                 // the second that the last step ended in
	merged int64                 // the last second that is in since
	since  *Pane                 // the seconds closed since, up to merged; nil where none is merged yet
	called [NumKeys]sketch.Names // what their keys are called
	past   past
	names  names

	read   Reading // of the short window, where readAt is the last second closed
	readAt int64
	mix    Mix // of the last step
}

// NewSite is a site of the estate.
func NewSite(e *Estate) *Site {
	e.sites++
	return &Site{estate: e}
}

// Drop gives back what the site takes of its estate. It is not to be used any more.
func (s *Site) Drop() {
	if s.estate == nil {
		return
	}
	s.clear(s.closed)
	for ; s.past.first < s.past.next; s.past.first++ {
		s.past.drop(s.estate, s.past.step(s.past.first))
	}
	s.past.forget(s.estate)
	s.estate.sites--
}

// init makes what the zero value lacks.
func (s *Site) init() {
	if s.estate == nil {
		s.estate = NewEstate(DefaultBudget)
		s.estate.sites++
	}
}

func slot(second int64) int { return int(uint64(second) % ring) }

// Take adds a pane of the second that closes next, and returns another for the caller to
// use: p is the site's from now on.
func (s *Site) Take(second int64, p *Pane) *Pane {
	s.init()
	if s.closed == 0 {
		s.closed = second - 1
	}
	second = min(max(second, s.closed+1), s.closed+ring-Short)
	at := &s.panes[slot(second)]
	if *at == nil {
		*at = p
		return s.estate.Pane()
	}
	(*at).Merge(p)
	return p
}

// Close closes a second, and those before it that were not.
func (s *Site) Close(second int64) {
	s.init()
	if s.closed == 0 || second-s.closed > ring {
		s.clear(second)
		return
	}
	for s.closed < second {
		s.closed++
		if p := s.panes[slot(s.closed)]; p != nil {
			s.short.Add(&p.Counts)
			for k := range s.called {
				s.called[k].Take(&p.Tallies[k])
			}
			s.estate.strip(p)
			switch n := p.Counts[Requests]; {
			case n >= heavy:
				s.merge(s.closed)
			case n < quiet && s.estate.crowded():
				s.pack(s.closed)
			}
		}
		s.leave(s.closed - Short)
	}
}

// quiet is below how many requests a second of the short window waits in its binary form, where
// there are many sites: a tenth of the memory, for some microseconds.
const quiet = 64

// pack turns a second that has closed into its bytes.
func (s *Site) pack(second int64) {
	at := slot(second)
	s.packed[at] = s.estate.pack(s.panes[at])
	s.estate.Release(s.panes[at])
	s.panes[at] = nil
}

// second is what there is of one that has closed, nil for nothing. It is valid until the next
// call.
func (s *Site) second(second int64) *Pane {
	at := slot(second)
	if p := s.panes[at]; p != nil || s.packed[at].size == 0 {
		return p
	}
	return s.estate.unpack(s.packed[at])
}

// leave takes a second out of the short window, into the step where that has not ended yet.
func (s *Site) leave(second int64) {
	at := slot(second)
	if p := s.panes[at]; p == nil && s.packed[at].size > 0 && second <= s.merged {
		counts := s.estate.countsOf(s.packed[at])
		s.short.Sub(&counts)
	} else if p := s.second(second); p != nil {
		if second > s.merged {
			s.mergeSecond(p)
			s.merged = second
		}
		s.short.Sub(&p.Counts)
	}
	s.drop(at)
}

// drop empties a place of the short window.
func (s *Site) drop(at int) {
	s.estate.shelf.drop(s.packed[at])
	s.packed[at] = kept{}
	if p := s.panes[at]; p != nil {
		s.estate.Release(p)
		s.panes[at] = nil
	}
}

// clear forgets the seconds after a gap longer than the short window.
func (s *Site) clear(second int64) {
	for at := range s.panes {
		s.drop(at)
	}
	s.short, s.closed = Counts{}, second
	s.forgetStep()
}

// forgetStep empties the step that is being filled.
func (s *Site) forgetStep() {
	if s.since != nil {
		s.estate.releaseStep(s.since)
		s.since = nil
	}
	for k := range s.called {
		s.called[k].Reset()
	}
}

// Step ends a step: what closed since the last becomes a part of the minute and the ten
// minutes. Where that is the short window, as it is when a step ends every ten seconds, it
// is merged once for both.
func (s *Site) Step() {
	s.init()
	whole := s.step == s.closed-Short || s.since == nil && s.step <= s.closed-Short
	s.merge(s.closed)
	since := s.since
	if since == nil {
		since = s.estate.nothing()
	}
	var paths float64
	if whole {
		s.read, s.readAt = readingOf(since), s.closed
		paths = s.read.Entropy
	} else {
		paths = since.Tallies[ByPath].Bits()
	}
	s.mix.of(since, paths)
	s.names.learn(since, &s.called)
	if s.past.end() < s.closed { // or it was restored, whole
		s.past.push(s.estate, s.closed, since)
	}
	s.forgetStep()
	s.step = s.closed
}

// heavy is how many requests of a second are too many to leave to the end of the step: a
// flood's second takes its own time.
const heavy = 1000

// merge adds the seconds up to one to those of the step.
func (s *Site) merge(until int64) {
	for second := max(s.merged+1, until-Short); second <= until; second++ { // the first is about to leave
		if p := s.second(second); p != nil {
			s.mergeSecond(p)
		}
	}
	s.merged = until
}

// mergeSecond adds a second to those of the step.
func (s *Site) mergeSecond(p *Pane) {
	if s.since == nil {
		s.since = s.estate.stepPane()
	}
	s.since.mergeCounts(p)
}

// Short is the counts of the last 10 closed seconds.
func (s *Site) Short() *Counts { return &s.short }

// Minute is the counts of the last 6 steps.
func (s *Site) Minute() *Counts { return &s.past.minute }

// Long is the counts of the last 60 steps, 10 minutes.
func (s *Site) Long() *Counts { return &s.past.long }
