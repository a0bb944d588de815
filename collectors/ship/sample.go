package ship

import "time"

const (
	// maxLevel is how thin a Ship samples at most: one client in 64. Reading and parsing
	// the lines is then nearly all that is left to do, and more would spare nothing.
	maxLevel = 6
	// samplePace is how long a Ship looks before it samples more thinly or less.
	samplePace = 5 * time.Second
)

// sampler tells how thinly a Ship must sample to keep up.
//
// Being far behind is not enough: after an outage, or with an old log, a Ship that reads
// all is best, as long as it catches up, which it does where the time of what it sends
// passes faster than time itself. So it samples where it is behind by more than after,
// more is waiting, and it does not come nearer at twice the pace of the clock.
type sampler struct {
	after time.Duration // 0: all is sent, always
	level uint          // of 2^level clients one is kept

	marked time.Time // when the last look began ...
	newest int64     // ... and the newest request sent until then, unix ms
}

// step takes what was sent by now: the time of its newest request, in unix ms; whether
// more was waiting behind it; and whether sending failed meanwhile, which says nothing of
// how fast this Ship is. It returns the level from now on.
func (s *sampler) step(now time.Time, newest int64, more, failed bool) uint {
	if s.after == 0 {
		return 0
	}
	passed := now.Sub(s.marked)
	if failed || s.marked.IsZero() {
		s.mark(now, newest)
		return s.level
	}
	if passed < samplePace {
		return s.level
	}
	behind := now.Sub(time.UnixMilli(newest))
	gained := time.Duration(newest-s.newest) * time.Millisecond
	switch {
	case more && behind > s.after && gained < 2*passed:
		s.level = min(s.level+1, maxLevel)
	case s.level > 0 && (!more || behind < s.after/4):
		s.level--
	}
	s.mark(now, newest)
	return s.level
}

// idle is step where nothing is left to send.
func (s *sampler) idle(now time.Time) uint {
	if s.level > 0 && now.Sub(s.marked) >= samplePace {
		s.level--
		s.mark(now, now.UnixMilli())
	}
	return s.level
}

func (s *sampler) mark(now time.Time, newest int64) { s.marked, s.newest = now, newest }

// resample says that another level holds.
func (s *Ship) resample(now time.Time, level uint) {
	weight := 1 << level
	if s.weight == weight {
		return
	}
	switch {
	case level == 0:
		s.o.Logger.Info("keeping up again: the requests of all clients are sent", "sampled_for", now.Sub(s.sampling).Round(time.Second))
	case s.weight <= 1:
		s.sampling = now
		s.o.Logger.Warn("cannot keep up: the requests of a part of the clients are sent, and stand for the others", "behind_more_than", s.o.SampleAfter, "one_client_in", weight)
	default:
		s.o.Logger.Warn("sampling clients otherwise", "one_client_in", weight)
	}
	s.weight = weight
	s.metrics.weight.Set(float64(weight))
}
