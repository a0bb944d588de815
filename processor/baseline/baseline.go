// Package baseline knows what is normal on one site: for each signal a robust
// level and spread, from histograms over 10-second windows on a scale on which the
// signal's spread is even (logarithm for counts, arcsine for shares). What follows the day
// is known by hour of day, and by how much each hour of the week differs from that.
package baseline

import (
	"math"
	"time"

	"github.com/weir-project/weir/processor/state"
)

const (
	hours = 24
	week  = 7 * hours
	// shrink is how many windows of an hour of day weigh as much as all others: one
	// hour's worth.
	shrink = 360
	// recentWeight is of one window in the recent level: a memory of half an hour.
	recentWeight = 1.0 / 180
	// maxDrift bounds how far the recent level may lift the normal one, on the
	// logarithmic scale: twice as much. Whoever ramps up slowly gains no more.
	maxDrift = 0.69
	// shrinkWeek is the same for an hour of the week.
	shrinkWeek = 240
	// weekMemory is how many windows an hour of the week remembers: of the last four weeks.
	// One that differs by more than maxOdd, a factor of four, counts as if it did by so much.
	weekMemory = 4 * 360
	maxOdd     = 1.4
	// rests is how far what is left may lie from its level on either side, early is how many
	// windows a level must rest on before what is left says anything, and enoughRests how many
	// make a spread.
	rests       = 4.0
	early       = 30
	enoughRests = 180
	perDay      = hours * 360
)

// Scale says how a signal is learned.
type Scale struct {
	Max   float64 // greatest value on the even scale
	Daily bool    // follows the hour of day, and of the week
	Novel bool    // high while little is known, and learned anew as more is
}

// Site is the baseline of one site. Not for concurrent use.
type Site struct {
	scales  []Scale
	all     []histogram
	daily   [hours][]histogram // of the daily signals, in their order; nil until the hour has been seen
	weekly  [week][]weekHour   // likewise
	rest    []histogram        // of the daily signals, by how much windows were above or below their level
	recent  []float64
	windows int

	// What Normal answers, kept for as long as little is learned.
	cached     []normal
	cachedHour int
	cachedAt   int // windows
}

type normal struct{ level, spread float64 }

// weekHour is how much an hour of the week lies above the same hour of all days.
type weekHour struct {
	above float32
	n     uint16 // windows, up to weekMemory
}

// HourOf is the hour of the week, from Sunday's first on, in UTC.
func HourOf(t time.Time) int { return int(t.UTC().Weekday())*hours + t.UTC().Hour() }

// refresh is after how many windows, of a young baseline and at most, Normal looks
// at the histograms again.
func (s *Site) refresh() int { return min(60, 1+s.windows/20) }

// New makes an empty baseline for signals of these scales.
func New(scales []Scale) *Site {
	s := &Site{scales: scales, all: make([]histogram, len(scales)), recent: make([]float64, len(scales))}
	s.rest = make([]histogram, s.days())
	return s
}

func (s *Site) width(i int) float64 { return s.scales[i].Max / bins }

// Learn takes one window's values, on the even scale, at an hour of the week (see HourOf).
func (s *Site) Learn(hour int, values []float64) {
	if s.daily[hour%hours] == nil {
		s.daily[hour%hours] = make([]histogram, s.days())
	}
	if s.weekly[hour] == nil {
		s.weekly[hour] = make([]weekHour, s.days())
	}
	day := 0
	for i, v := range values {
		if s.scales[i].Daily {
			s.learnDay(i, day, hour, v)
			day++
		}
		s.all[i].add(v, s.width(i))
		if s.windows == 0 {
			s.recent[i] = v
		}
		s.recent[i] += max(recentWeight, 1/float64(s.windows+1)) * min(max(v-s.recent[i], -maxDrift), maxDrift) // one burst is not a trend
	}
	s.windows++
	if s.windows == perDay || s.windows == 2*perDay { // what was above levels that were not known yet
		for i := range s.rest {
			s.rest[i].fade()
		}
	}
	if s.windows == 60 || s.windows == 180 || s.windows == 720 { // 10 min, 30 min, 2 h
		for i := range s.scales {
			if s.scales[i].Novel {
				s.all[i].fade()
			}
		}
		s.cached = nil
	}
}

// learnDay takes a window's value of signal i, which is the nth that follows the day.
func (s *Site) learnDay(i, n, hour int, v float64) {
	if s.windows >= early {
		level, _ := s.Normal(i, hour)
		s.rest[n].add(min(max(v-level+rests, 0), 2*rests), 2*rests/bins)
	}
	w := &s.weekly[hour][n]
	w.n = min(w.n+1, weekMemory)
	odd := min(max(v-s.dayLevel(i, n, hour), -maxOdd), maxOdd)
	w.above += float32(odd-float64(w.above)) / float32(w.n)
	s.daily[hour%hours][n].add(v, s.width(i))
}

// dayLevel is the level of an hour on any day: that hour's median, shrunk to that of all
// hours while few of its windows are known.
func (s *Site) dayLevel(i, n, hour int) float64 {
	width := s.width(i)
	median := s.all[i].quantile(0.5, width)
	if s.daily[hour%hours] == nil {
		return median
	}
	d := &s.daily[hour%hours][n]
	weight := float64(d.n) / float64(d.n+shrink)
	return weight*d.quantile(0.5, width) + (1-weight)*median
}

// days is how many signals follow the hour of day, day is the histogram of one of them.
func (s *Site) days() (n int) {
	for i := range s.scales {
		if s.scales[i].Daily {
			n++
		}
	}
	return n
}

// nth is how many signals before one follow the day.
func (s *Site) nth(signal int) (n int) {
	for i := range signal {
		if s.scales[i].Daily {
			n++
		}
	}
	return n
}

// Learned is how many windows the answer about a signal rests on.
func (s *Site) Learned(i int) int { return int(s.all[i].n) }

// Windows is how many windows were learned.
func (s *Site) Windows() int { return s.windows }

// Normal is the level and the spread of a signal at an hour of the week, on the even
// scale. The level is that of the hour of the week, shrunk to that of the hour of day and
// to that of all hours while few of their windows are known, and lifted by at most a factor
// of two to what was normal in the last half hour. The spread, around that level, is what
// one standard deviation of a normal distribution would be, by MAD and by the upper
// quantiles, whichever says more: traffic has heavier tails than its middle shows.
func (s *Site) Normal(i, hour int) (level, spread float64) {
	if s.cached == nil || s.cachedHour != hour || s.windows-s.cachedAt >= s.refresh() {
		s.cached = s.cached[:0]
		for i := range s.scales {
			level, spread := s.compute(i, hour)
			s.cached = append(s.cached, normal{level, spread})
		}
		s.cachedHour, s.cachedAt = hour, s.windows
	}
	return s.cached[i].level, s.cached[i].spread
}

func (s *Site) compute(i, hour int) (level, spread float64) {
	h, width := &s.all[i], s.width(i)
	level = h.quantile(0.5, width)
	spread = h.spread(level, width)
	if !s.scales[i].Daily {
		return level, spread
	}
	n := s.nth(i)
	level = s.dayLevel(i, n, hour)
	if s.weekly[hour] != nil {
		w := &s.weekly[hour][n]
		level += float64(w.above) * float64(w.n) / float64(w.n+shrinkWeek)
	}
	if s.daily[hour%hours] != nil {
		level = max(level, min(s.recent[i], level+maxDrift))
	}
	if rest := &s.rest[n]; rest.n >= enoughRests {
		spread = rest.spread(rests, 2*rests/bins)
	}
	return level, spread
}

// Write appends the baseline. What Normal has kept is forgotten, so that this baseline and
// one that reads it back go on alike.
func (s *Site) Write(w *state.Writer) {
	s.cached = nil
	w.Uint(uint64(len(s.scales)))
	w.Uint(uint64(s.windows))
	for i := range s.scales {
		s.all[i].write(w)
		w.Float(s.recent[i])
	}
	for i := range s.rest {
		s.rest[i].write(w)
	}
	for _, d := range s.daily {
		w.Bool(d != nil)
		for i := range d {
			d[i].write(w)
		}
	}
	for _, hour := range s.weekly {
		w.Bool(hour != nil)
		for _, h := range hour {
			w.Float(float64(h.above))
			w.Uint(uint64(h.n))
		}
	}
}

// Read replaces the baseline by one that Write wrote for the same scales.
func (s *Site) Read(r *state.Reader) {
	if n := r.Uint(1 << 10); n != uint64(len(s.scales)) {
		r.Fail("a baseline of %d signals, this reads %d", n, len(s.scales))
		return
	}
	s.windows, s.cached = int(r.Uint(math.MaxInt32)), nil
	for i := range s.scales {
		s.all[i].read(r)
		s.recent[i] = r.Float()
	}
	for i := range s.rest {
		s.rest[i].read(r)
	}
	for hour := range s.daily {
		s.daily[hour] = nil
		if !r.Bool() {
			continue
		}
		s.daily[hour] = make([]histogram, s.days())
		for i := range s.daily[hour] {
			s.daily[hour][i].read(r)
		}
	}
	for hour := range s.weekly {
		s.weekly[hour] = nil
		if !r.Bool() {
			continue
		}
		s.weekly[hour] = make([]weekHour, s.days())
		for i := range s.weekly[hour] {
			h := &s.weekly[hour][i]
			h.above, h.n = float32(r.Float()), uint16(r.Uint(weekMemory))
			if !(h.above >= -maxOdd && h.above <= maxOdd) {
				r.Fail("an hour of the week that differs by %v", h.above)
			}
		}
	}
}
