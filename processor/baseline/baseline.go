// Package baseline knows what is normal on one site: for each signal a robust
// level and spread, from histograms over 10-second windows on a scale on which the
// signal's spread is even (logarithm for counts, arcsine for shares).
package baseline

import (
	"math"

	"github.com/weir-project/weir/processor/state"
)

const (
	hours = 24
	// shrink is how many windows of an hour of day weigh as much as all others: one
	// hour's worth.
	shrink = 360
	// recentWeight is of one window in the recent level: a memory of half an hour.
	recentWeight = 1.0 / 180
	// maxDrift bounds how far the recent level may lift the normal one, on the
	// logarithmic scale: twice as much. Whoever ramps up slowly gains no more.
	maxDrift = 0.69
)

// Scale says how a signal is learned.
type Scale struct {
	Max   float64 // greatest value on the even scale
	Daily bool    // follows the hour of day
	Novel bool    // high while little is known, and learned anew as more is
}

// Site is the baseline of one site. Not for concurrent use.
type Site struct {
	scales  []Scale
	all     []histogram
	daily   [hours][]histogram // of the daily signals, in their order; nil until the hour has been seen
	recent  []float64
	windows int

	// What Normal answers, kept for as long as little is learned.
	cached     []normal
	cachedHour int
	cachedAt   int // windows
}

type normal struct{ level, spread float64 }

// refresh is after how many windows, of a young baseline and at most, Normal looks
// at the histograms again.
func (s *Site) refresh() int { return min(60, 1+s.windows/20) }

// New makes an empty baseline for signals of these scales.
func New(scales []Scale) *Site {
	return &Site{scales: scales, all: make([]histogram, len(scales)), recent: make([]float64, len(scales))}
}

func (s *Site) width(i int) float64 { return s.scales[i].Max / bins }

// Learn takes one window's values, on the even scale, at an hour of the UTC day.
func (s *Site) Learn(hour int, values []float64) {
	if s.daily[hour] == nil {
		s.daily[hour] = make([]histogram, s.days())
	}
	day := s.daily[hour]
	for i, v := range values {
		s.all[i].add(v, s.width(i))
		if s.scales[i].Daily {
			day[0].add(v, s.width(i))
			day = day[1:]
		}
		if s.windows == 0 {
			s.recent[i] = v
		}
		s.recent[i] += max(recentWeight, 1/float64(s.windows+1)) * min(max(v-s.recent[i], -maxDrift), maxDrift) // one burst is not a trend
	}
	s.windows++
	if s.windows == 60 || s.windows == 180 || s.windows == 720 { // 10 min, 30 min, 2 h
		for i := range s.scales {
			if s.scales[i].Novel {
				s.all[i].fade()
			}
		}
		s.cached = nil
	}
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

func (s *Site) day(hour, signal int) *histogram {
	at := 0
	for i := range signal {
		if s.scales[i].Daily {
			at++
		}
	}
	return &s.daily[hour][at]
}

// Learned is how many windows the answer about a signal rests on.
func (s *Site) Learned(i int) int { return int(s.all[i].n) }

// Windows is how many windows were learned.
func (s *Site) Windows() int { return s.windows }

// Normal is the level and the spread of a signal at an hour, on the even scale. The
// level is the median of that hour, shrunk to that of all hours while few of its
// windows are known, and lifted by at most a factor of two to what was normal in
// the last half hour. The spread is what one standard deviation of a normal
// distribution would be, by MAD and by the upper quantiles, whichever says more:
// traffic has heavier tails than its middle shows.
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
	median := h.quantile(0.5, width)
	spread = 1.4826 * h.deviation(median, width)
	if h.n >= 100 {
		spread = max(spread, (h.quantile(0.99, width)-median)/2.326)
	}
	if h.n >= 1000 {
		spread = max(spread, (h.quantile(0.999, width)-median)/3.09)
	}
	level = median
	if s.scales[i].Daily && s.daily[hour] != nil {
		d := s.day(hour, i)
		weight := float64(d.n) / float64(d.n+shrink)
		level = weight*d.quantile(0.5, width) + (1-weight)*median
		level = max(level, min(s.recent[i], level+maxDrift))
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
	for hour, d := range s.daily {
		w.Bool(d != nil)
		for i := 0; d != nil && i < len(s.scales); i++ {
			if s.scales[i].Daily {
				s.day(hour, i).write(w)
			} else {
				w.Uint(0) // an empty one
			}
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
	for hour := range s.daily {
		s.daily[hour] = nil
		if !r.Bool() {
			continue
		}
		s.daily[hour] = make([]histogram, s.days())
		for i := range s.scales {
			if s.scales[i].Daily {
				s.day(hour, i).read(r)
				continue
			}
			if r.Uint(bins) != 0 {
				r.Fail("a signal that follows no hour of day has one")
			}
		}
	}
}
