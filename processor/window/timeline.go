package window

import (
	"cmp"
	"slices"
	"time"
)

// Bounds of what a timeline believes, in ms of event time and in rows.
const (
	far       = 30_000      // ahead of all before, from which on a time is doubted
	behind    = 30_000      // behind all before
	recent    = 60_000      // how long a source counts as active after its last timely row
	gap       = 3_600_000   // at most so far apart are two rows of a run
	back      = 5_000       // so much back from one to the next, as parallel answers are logged
	day       = 86_400_000  // a leap by more needs much more evidence
	runAlone  = 4           // rows that end a silence
	runMany   = 64          // rows against others
	runTime   = 20_000      // time that they must take
	runDay    = 30 * 60_000 // likewise for a leap by more than a day
	near      = 5_000       // a clock that is wrong by less is not worth a correction
	agree     = 20_000      // from the clock of the server, within which a source's is right
	maxLines  = 4096        // sources told apart
	idleLine  = day         // without a row, after which a source is forgotten when another comes
	idleFull  = gap         // likewise where there are maxLines
	beginRows = 5           // rows that decide when time begins
)

// Timeline decides, for each request, at which event time it counts, in a stream whose
// sources have clocks of their own. A clock that is wrong must not end the windows of the
// others, nor stop time:
//
//   - a row far ahead of all before it counts as of now, unless nobody else is active: then
//     a few that agree end a silence;
//   - a row far behind is late, and counts in the oldest open second;
//   - a source that stays far from the others while time goes on at their pace has a wrong
//     clock: from then on its times are corrected by the difference, and Skews names it;
//   - a source far behind that catches up faster than time goes has a backlog: its rows
//     stay late;
//   - where there is only one source and its time goes back and stays there, its clock was
//     set back: its times are corrected, so that time goes on;
//   - a source whose rows lie far off now and then, or stand still, keeps its times: what is
//     far off counts as of now, or late, and Skews names it;
//   - where it is known when the rows arrived, by the clock of the server that took them,
//     that clock has a vote: who agrees with it is right, and once anyone does, no time that
//     lies ahead of it is believed, whoever is alone with it.
//
// It knows nothing else of the time of day, so what it decides depends on the rows, their
// arrival and their order alone. Not for concurrent use. The zero value is ready.
type Timeline struct {
	lines   map[string]*Line
	rest    Line // of all sources beyond maxLines
	timely  uint64
	lastBy  *Line // whose row was the last timely one
	lastAt  int64
	otherAt int64 // the last timely row of another than lastBy
	agreed  bool  // a source agrees with the server's clock
}

// Line is one source on a timeline.
type Line struct {
	edge, source string
	shift        int64  // ms, added to its times
	own          uint64 // timely rows
	seen         int64  // the last of them
	heard        int64  // event time when the last row of any kind came
	strange      int    // rows in a row that are far from all others
	early        bool
	first, last  int64  // the times of the first and the last of them
	began        int64  // event time then
	others       uint64 // timely rows of others then
	doubt        doubt
}

// Line is the line of a source of an edge.
func (t *Timeline) Line(edge, source string) *Line {
	if t.lastBy != nil && t.lastBy.edge == edge && t.lastBy.source == source {
		t.lastBy.heard = t.lastAt
		return t.lastBy
	}
	key := edge + "\x00" + source
	if l, ok := t.lines[key]; ok {
		l.heard = t.lastAt
		return l
	}
	if t.letGo(idleLine); len(t.lines) >= maxLines {
		t.letGo(idleFull)
	}
	if len(t.lines) >= maxLines {
		return &t.rest
	}
	if t.lines == nil {
		t.lines = make(map[string]*Line)
	}
	l := &Line{edge: edge, source: source, heard: t.lastAt}
	t.lines[key] = l
	return l
}

// letGo forgets the sources that have sent nothing for so long: machines come and go under
// names of their own, and what one's clock was says nothing of the next. One that comes
// again is new.
func (t *Timeline) letGo(idle int64) {
	for key, l := range t.lines {
		if l != t.lastBy && t.lastAt-l.heard >= idle {
			delete(t.lines, key)
		}
	}
}

// Begin is the time, in unix ms, at which a stream begins whose first rows have these
// times: that of the first, unless it lies far ahead of the next ones.
func Begin(times []int64) int64 {
	if len(times) == 0 {
		return 0
	}
	few := slices.Clone(times[:min(len(times), beginRows)])
	slices.Sort(few)
	if second := few[min(1, len(few)-1)]; times[0] > second+far {
		return second
	}
	return times[0]
}

// Moment is when a row of the line with the time at, unix ms, counts: believed where
// event time, now at latest, may move on to it. arrived is when the row came by the clock of
// the server that took it, 0 where that is not known.
func (t *Timeline) Moment(l *Line, at, latest, arrived int64) (moment int64, believed bool) {
	was := l.shift
	moment, believed = t.moment(l, at, latest, arrived)
	wild := 0
	if by := at + l.shift - latest; !believed && t.agreed && arrived > 0 && (by > wildAhead || by < -wildBehind) {
		wild = 1
	}
	if l.weigh(1, wild, at, latest, arrived); l.shift != was { // that explains them
		l.doubt = doubt{}
	}
	return moment, believed
}

func (t *Timeline) moment(l *Line, at, latest, arrived int64) (moment int64, believed bool) {
	if arrived > 0 && at >= arrived-agree && at <= arrived+agree && at >= latest-behind {
		t.agreed, l.shift = true, 0
		t.note(l, at)
		return at, true
	}
	at += l.shift
	if latest == 0 || at <= latest+far && at >= latest-behind {
		t.note(l, at)
		return at, true
	}
	early := at > latest
	impossible := arrived > 0 && t.agreed && at > arrived+far
	t.run(l, at, latest, early)
	switch {
	case early && !impossible && t.silence(l, at, latest):
		t.note(l, at)
		return at, true
	case t.wrong(l, at, latest, impossible):
		to := latest
		if t.agreed && t.alone(l) && arrived > to {
			to = arrived // that is what clocks said which were right, whether or not they say so now
		}
		l.shift += to - at
		if l.shift > -near && l.shift < near {
			l.shift = 0
		}
		t.note(l, to)
		return to, true
	case early:
		return latest, false
	}
	return at, false
}

// active reports whether another source has sent timely rows of late.
func (t *Timeline) active(l *Line, latest int64) bool {
	other := t.lastAt
	if t.lastBy == l || t.lastBy == nil {
		other = t.otherAt
	}
	return other > 0 && other >= latest-recent
}

// note counts a timely row.
func (t *Timeline) note(l *Line, at int64) {
	if l.backlog(at) {
		l.doubt.Wild = 0
	}
	l.strange, l.seen, l.heard = 0, at, at
	l.own++
	t.timely++
	if t.lastBy != l {
		t.otherAt, t.lastBy = t.lastAt, l
	}
	t.lastAt = at
}

// run counts a strange row, as one more where it goes on from the last.
func (t *Timeline) run(l *Line, at, latest int64, early bool) {
	slack := int64(0)
	if !early {
		slack = back
	}
	if l.strange == 0 || l.early != early || at < l.last-slack || at > l.last+gap {
		l.strange, l.early, l.first = 0, early, at
		l.began, l.others = latest, t.timely-l.own
	}
	l.strange++
	l.last = at
}

// silence reports whether a row far ahead ends one.
func (t *Timeline) silence(l *Line, at, latest int64) bool {
	if !t.active(l, latest) {
		return l.strange >= runAlone
	}
	if !t.alone(l) { // others have come meanwhile, and say otherwise
		return l.strange%runMany == 0 && at-l.first >= runTime && t.outvotes(l, at, latest)
	}
	if (l.strange <= runAlone || l.strange%runMany == 0) && t.unanimous(l, latest) {
		return true
	}
	need := int64(runTime)
	if at-latest > day {
		need = runDay
	}
	return l.strange >= runMany && at-l.first >= need
}

// unanimous reports whether all others that were active until latest are far ahead of it,
// too.
func (t *Timeline) unanimous(l *Line, latest int64) bool {
	for _, o := range t.lines {
		if o != l && o.own > 0 && o.seen >= latest-recent && (o.strange == 0 || !o.early) {
			return false
		}
	}
	return true
}

// outvotes reports whether more sources are as far ahead as this one than go with the
// latest: then it was theirs that was wrong, who came first.
func (t *Timeline) outvotes(l *Line, at, latest int64) bool {
	with, against := 1, 0
	for _, o := range t.lines {
		switch {
		case o == l:
		case o.strange > 0 && o.early && o.last > at-far && o.last < at+far:
			with++
		case o.own > 0 && o.seen >= latest-recent:
			against++
		}
	}
	return with > against
}

// alone reports whether nobody else has sent timely rows since the line's became strange.
func (t *Timeline) alone(l *Line) bool { return t.timely-l.own == l.others }

// wrong reports whether the line's clock is.
func (t *Timeline) wrong(l *Line, at, latest int64, impossible bool) bool {
	if l.strange < runMany {
		return false
	}
	own, others := at-l.first, latest-l.began
	if t.alone(l) { // is it set back, or beyond all clocks, and goes on?
		return (!l.early || impossible) && own >= runTime
	}
	return others >= runTime && 2*own >= others && own <= 2*others
}

// Skew is by how much an edge's clock is wrong.
type Skew struct {
	Edge, Source string
	Ahead        time.Duration // of the others; negative where it is behind
	Doubted      float64       // share of its requests whose times fit nothing and cannot be corrected
}

// Skews are the sources whose clocks are known to be wrong, worst first: those that neither
// the server's clock agrees with nor, where that is not known, the majority; and those with times
// that fit nothing.
func (t *Timeline) Skews() (all []Skew) {
	right := int64(0)
	if !t.agreed {
		right = t.most()
	}
	for _, l := range t.lines {
		off := right - l.shift
		if off <= near && off >= -near {
			off = 0
		}
		if off != 0 || l.doubt.Share > 0 {
			all = append(all, Skew{l.edge, l.source, time.Duration(off) * time.Millisecond, l.doubt.Share})
		}
	}
	slices.SortFunc(all, func(a, b Skew) int {
		return cmp.Or(cmp.Compare(b.Ahead.Abs(), a.Ahead.Abs()), cmp.Compare(a.Edge, b.Edge), cmp.Compare(a.Source, b.Source))
	})
	return all
}

// most is the correction that most sources have in common, the least of several.
func (t *Timeline) most() (right int64) {
	var shifts []int64
	for _, l := range t.lines {
		if l.own > 0 {
			shifts = append(shifts, l.shift)
		}
	}
	slices.Sort(shifts)
	votes, from := 0, 0
	for to := range shifts {
		for shifts[to]-shifts[from] > near {
			from++
		}
		n, middle := to-from+1, shifts[(from+to)/2]
		if n > votes || n == votes && max(middle, -middle) < max(right, -right) {
			votes, right = n, middle
		}
	}
	return right
}

// Reset forgets what was learned of the sources' clocks.
func (t *Timeline) Reset() { *t = Timeline{} }

// Name is the edge and the source that the line is of.
func (l *Line) Name() (edge, source string) { return l.edge, l.source }

// Skewed is by how much the line's clock is corrected: positive where it was ahead.
func (l *Line) Skewed() time.Duration { return -time.Duration(l.shift) * time.Millisecond }

// Doubted is the share of the line's rows whose times fit nothing, 0 where that is not worth a word.
func (l *Line) Doubted() float64 { return l.doubt.Share }

// Trust takes the correction of a source's clock back, for who corrects it before.
func (l *Line) Trust() { l.shift, l.strange = 0, 0 }
