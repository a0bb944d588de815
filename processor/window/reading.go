package window

import (
	"math"

	"github.com/weir-project/weir/processor/sketch"
)

// Length is how long a window is.
type Length int

// The lengths.
const (
	TenSeconds Length = iota
	OneMinute
	TenMinutes
)

// Reading is what the sketches of a window say.
type Reading struct {
	Clients, Paths float64           // distinct
	Pages          float64           // distinct paths of what is no asset
	Marked         [NumMarks]float64 // distinct clients
	Entropy        float64           // bits, of the paths
}

// Mix is what the sketches of a step say beside a Reading.
type Mix struct {
	Entropies [NumKeys]float64 // bits
	Duration  Spread           // microseconds
	Size      Spread           // bytes
}

// of reads a pane; paths is the entropy of its paths, which a Reading has too.
func (x *Mix) of(p *Pane, paths float64) {
	for k := range p.Tallies {
		if Key(k) == ByPath {
			x.Entropies[k] = paths
			continue
		}
		x.Entropies[k] = p.Tallies[k].Bits()
	}
	x.Duration, x.Size = spread(&p.Duration), spread(&p.Size)
}

// Mix is that of the step that ended last: ten seconds.
func (s *Site) Mix() *Mix { return &s.mix }

// Detail is all that is known of a window.
type Detail struct {
	Reading
	Mix
	Seconds int    // that its sketches cover; less than its length while a site is new, or the estate's budget is used up
	Counts  Counts // of its whole length
	// Top are the keys with at least 1 % of the requests, the heaviest first, at most 32.
	// Their names are valid until the site's next step.
	Top [NumKeys][]sketch.Heavy
}

// Spread is quantiles; NaN where there is nothing to have them of.
type Spread struct{ P50, P95, P99 float64 }

// Top's bounds.
const (
	topShare = 0.01
	topMax   = 32
)

// Read is the short window's sketches. It costs nothing where a step ended with the same
// second; otherwise microseconds for an ordinary site and up to a millisecond for one with
// thousands of clients a second.
func (s *Site) Read() Reading {
	s.init()
	if s.readAt != s.closed || s.closed == 0 {
		m := &s.estate.merged
		m.Reset()
		from, to := s.inSince()
		if from <= to {
			m.mergeRead(s.since)
		}
		for second := s.closed - Short + 1; second <= s.closed; second++ {
			if second >= from && second <= to {
				continue
			}
			if p := s.second(second); p != nil {
				m.mergeRead(p)
			}
		}
		s.read, s.readAt = readingOf(m), s.closed
	}
	return s.read
}

// inSince are the first and the last of the seconds that since is the merge of, where all of
// it lies within the short window; otherwise the last is before the first.
func (s *Site) inSince() (from, to int64) {
	if s.step < s.closed-Short || s.since == nil {
		return 1, 0
	}
	return s.step + 1, s.merged
}

// mergeRead merges what a Reading is of.
func (p *Pane) mergeRead(other *Pane) {
	p.mergeDistinct(other)
	p.Tallies[ByPath].MergeCounts(&other.Tallies[ByPath])
}

func readingOf(p *Pane) Reading {
	r := Reading{Clients: p.Clients.Estimate(), Paths: p.Paths.Estimate(), Pages: p.Pages.Estimate(), Entropy: p.Tallies[ByPath].Bits()}
	for i := range p.Marked {
		r.Marked[i] = p.Marked[i].Estimate()
	}
	return r
}

// eachShort calls do with the panes of the short window, in their order.
func (s *Site) eachShort(do func(*Pane)) {
	for second := s.closed - Short + 1; second <= s.closed; second++ {
		if p := s.second(second); p != nil {
			do(p)
		}
	}
}

// Detail reads a window whole: of the ten seconds those that closed last, of the others
// the steps that ended last. It keeps d's memory.
func (s *Site) Detail(length Length, d *Detail) {
	s.init()
	m := &s.estate.merged
	switch length {
	case TenSeconds:
		m.Reset()
		s.eachShort(m.mergeCounts)
		d.Seconds, d.Counts = Short, s.short
	case OneMinute:
		m.Reset()
		d.Seconds, d.Counts = Short*s.past.mergeMinute(s.estate, m), s.past.minute
	default:
		m.Reset()
		d.Seconds, d.Counts = Short*s.past.mergeLong(s.estate, m), s.past.long
	}
	d.Clients, d.Paths, d.Pages = m.Clients.Estimate(), m.Paths.Estimate(), m.Pages.Estimate()
	for i := range m.Marked {
		d.Marked[i] = m.Marked[i].Estimate()
	}
	d.Entropy = m.Tallies[ByPath].Bits()
	d.Mix.of(m, d.Entropy)
	for k := range m.Tallies {
		d.Top[k] = m.Tallies[k].Top(d.Top[k][:0], topShare, topMax)
		for i := range d.Top[k] {
			d.Top[k][i].Name = s.names.of(k, d.Top[k][i].Key)
		}
	}
}

func spread(q *sketch.Quantiles) (s Spread) {
	var out [3]float64
	q.Read(out[:], []float64{0.5, 0.95, 0.99})
	return Spread{out[0], out[1], out[2]}
}

// Known reports whether there is anything to have a spread of.
func (s *Spread) Known() bool { return !math.IsNaN(s.P50) }
