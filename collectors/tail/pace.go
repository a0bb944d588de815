package tail

import (
	"math"
	"slices"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// Bounds of what is believed of the times of one log among others, in ms and lines.
const (
	jump      = 3_600_000 // ahead of the lines before it, from which on a line's time is doubted where the log is the only one
	leap      = 30_000    // likewise, and behind them, where there are others, which would wait
	ahead     = 16        // lines after it that are asked
	setBack   = 300_000   // behind: more than a server's buffers bring lines out of order
	backLines = 16        // in a row, which show that the clock was set back
	backTime  = 20_000    // of theirs
	backOrder = 5_000     // out of order, likewise
	stray     = 1_800_000 // behind, from which on a line counts as stray
)

// pace puts the lines of one log in order among those of others. Its key never goes back: a line
// whose time did has the key of the line before, one far ahead of those after it that of these. A
// clock that was set back, and goes on from there, has its times corrected, or all that follows would
// come at once; and so has one that is set right again.
type pace struct {
	key   int64
	shift int64 // ms, added to the times
	back  run
}

// run is lines in a row that are far behind.
type run struct {
	lines       int
	first, last int64 // their times
	from        int64 // the key then
}

// take moves the key to a line with the time t. following are the times of lines after it.
func (p *pace) take(t int64, alone bool, following func(most int) []int64) (strays bool) {
	if p.shift != 0 && t >= p.key-leap && t <= p.key+leap { // set right again
		p.shift = 0
	}
	at := t + p.shift
	bound, most := int64(leap), ahead
	if alone {
		bound, most = jump, 1
	}
	switch {
	case p.key == math.MinInt64 || at > p.key+bound:
		believed := p.believed(at, bound, following(most))
		p.back.lines, strays = 0, believed != at
		p.key = max(p.key, believed)
	case !alone && at < p.key-setBack:
		strays = at < p.key-stray
		p.behind(t)
	default:
		strays = at < p.key-stray
		p.back.lines = 0
		p.key = max(p.key, at)
	}
	return strays
}

// behind takes a line of a clock that may have been set back.
func (p *pace) behind(t int64) {
	r := &p.back
	if r.lines == 0 || t < r.last-backOrder || t > r.last+jump {
		*r = run{first: t, from: p.key}
	}
	r.last = max(t, r.last)
	if r.lines++; r.lines >= backLines && t-r.first >= backTime {
		p.shift = max(r.from, p.key) - r.first
		p.key, r.lines = max(p.key, t+p.shift), 0
	}
}

// believed is the time of a line far ahead of those before it, or the least after it where most of
// those are far earlier.
func (p *pace) believed(at, bound int64, following []int64) int64 {
	earlier := 0
	for i, f := range following {
		following[i] = f + p.shift
		if following[i] < at-bound {
			earlier++
		}
	}
	if 2*earlier <= len(following) {
		return at
	}
	if p.key != math.MinInt64 { // who is further back is another stray
		following = slices.DeleteFunc(following, func(f int64) bool { return f < p.key-bound })
	}
	if len(following) == 0 {
		return p.key
	}
	return max(p.key, slices.Min(following))
}

// moment is when a line with the time t counts among those of other logs.
func (p *pace) moment(t int64) int64 {
	if at := t + p.shift; at >= p.key-leap && at <= p.key+leap {
		return at
	}
	return p.key
}

// following are the times of the lines after the current one, no more than most, in the memory of
// the source. The current line is parsed again, where it lies now.
func (s *source) following(most int) []int64 {
	s.times = s.times[:0]
	var after schemas.Request
	line := s.lines.peek(most, func(line []byte) {
		if s.spare.Parse(line, &after) == accesslog.None {
			s.times = append(s.times, after.Time)
		}
	})
	s.parser.Parse(line, &s.request)
	return s.times
}
