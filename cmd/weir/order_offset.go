package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Bounds of what is made of how long batches were under way, in ms by the stream's clock.
const (
	offBlock  = 5_000  // of a block, of which the least counts
	offBlocks = 3      // blocks in a row that must agree before a source counts as off
	offSpread = 1_500  // so far apart may they be
	offFrom   = 4_000  // from the right ones, from which on a source is off
	offUntil  = 2_500  // below which it is not any more
	offMost   = 60_000 // beyond which a Timeline is left to find it
	offCrowd  = 256    // sources, from which on they are not compared more often than once a second
	offFresh  = 30_000 // without rows, after which what was measured is old
	liveFor   = 10_000 // since a batch came whose source agrees with the stream's clock
	aheadMost = 5_000  // ms ahead of the stream's clock, that event time may come while one agrees
	lagLive   = 6_000  // ms behind the stream's clock, from which on a source lags, likewise
)

// delay is how long a source's batches were under way, each by its own clock: from what it
// promised until the stream had it. The least of a while is the constant part: the clock's
// difference from the stream's, and a delay that every batch has. The two look the same here,
// and are treated alike: no other source may wait for either.
type delay struct {
	Least  [offBlocks]int64 `json:"least"` // of the last blocks with rows, the newest last
	Blocks int              `json:"blocks"`
	Now    int64            `json:"now"`   // the least of the block that runs
	Most   int64            `json:"most"`  // the greatest of it
	Since  int64            `json:"since"` // when that began, 0: none has
	Came   int64            `json:"came"`  // the last batch
	Off    int64            `json:"off"`   // ms that are added to its times
}

// take takes the delay of a batch that has just come, and reports whether a block has ended.
func (d *delay) take(late, came int64) (ended bool) {
	if d.Since > 0 && came >= d.Since+offBlock {
		copy(d.Least[:], d.Least[1:])
		d.Least[offBlocks-1] = d.Now
		d.Blocks, d.Since, ended = min(d.Blocks+1, offBlocks), 0, true
	}
	if came > d.Came+offFresh {
		d.Blocks, d.Since, ended = 0, 0, false
	}
	if d.Since == 0 {
		d.Since, d.Now, d.Most = came, late, late
	}
	d.Now, d.Most, d.Came = min(d.Now, late), max(d.Most, late), max(d.Came, came)
	return ended
}

// steady is the constant part of the delay, where there is one.
func (d *delay) steady() (late int64, ok bool) {
	if d.Blocks < offBlocks || slices.Max(d.Least[:])-slices.Min(d.Least[:]) > offSpread {
		return 0, false
	}
	return slices.Min(d.Least[:]), true
}

// least is the least delay of the last blocks, of which there is one.
func (d *delay) least() int64 { return slices.Min(d.Least[offBlocks-d.Blocks:]) }

// nearZero reports whether the source agrees with the stream's clock, however much the delay
// varies.
func (d *delay) nearZero() bool {
	if d.Blocks == 0 {
		return false
	}
	least := d.least()
	return least > -offFrom && least < offFrom
}

// measure takes how long a batch was under way, and finds whether its source is off: it reports
// whether it has just found by how much. Beats say nothing: they are behind by as long as lines may
// lie in a server's buffer.
func (o *order) measure(s *sourceOrder, promised, came int64) (found bool) {
	o.Came = max(o.Came, came)
	late, d := came-promised, &s.delay
	if late >= -offFrom && late <= aheadMost {
		o.Live = max(o.Live, came)
	}
	if late > 2*offMost || late < -2*offMost {
		s.delay = delay{}
		return false
	}
	if d.Off > 0 && late-o.Right < d.Off-offSpread { // no batch comes before it was sent: it was less
		d.Off = max(late-o.Right, 0)
		if d.Off < offUntil {
			d.Off = 0
		}
	}
	most := d.Most
	if !d.take(late, came) {
		return false
	}
	o.rightDelay()
	last := d.Least[offBlocks-1] - o.Right
	if d.Off != 0 && max(last, -last) < offUntil && most-d.Least[offBlocks-1] < offUntil {
		d.Off = 0
	}
	by, ok := d.steady()
	if !ok {
		return false
	}
	agrees := d.nearZero()
	by -= o.Right
	switch off := max(by, -by); {
	case agrees || off < offUntil:
		d.Off = 0
	case off >= offFrom && off <= offMost && max(by-d.Off, d.Off-by) > offSpread:
		d.Off = by
		return true
	}
	return false
}

// rightDelay finds the delay that right clocks have: that of the sources that agree with the
// stream's clock, else what most have in common, the nearest to that clock of several.
func (o *order) rightDelay() {
	if len(o.sources) > offCrowd && o.Came < o.RightAt+offBlock/5 {
		return
	}
	o.RightAt = o.Came
	var near, all []int64
	for _, s := range o.sources {
		if o.Came > s.delay.Came+offFresh {
			continue
		}
		if late, ok := s.delay.steady(); ok {
			all = append(all, late)
		}
		if s.delay.nearZero() {
			near = append(near, s.delay.least())
		}
	}
	if len(near) > 0 {
		slices.Sort(near)
		o.Right = near[(len(near)-1)/2]
		return
	}
	if o.live() { // one agrees that has not been heard for long enough
		o.Right = 0
		return
	}
	slices.Sort(all)
	votes, from := 0, 0
	for to := range all {
		for all[to]-all[from] > offUntil {
			from++
		}
		n, middle := to-from+1, all[(from+to)/2]
		if n > votes || n == votes && max(middle, -middle) < max(o.Right, -o.Right) {
			votes, o.Right = n, middle
		}
	}
}

// live reports whether a source agrees with the stream's clock, so that this is that of the
// requests.
func (o *order) live() bool { return o.Live > 0 && o.Came < o.Live+liveFor }

// bound keeps event time, which was at before, near the stream's clock where that is right, and
// where it begins near it.
func (o *order) bound(before, came int64) {
	if before == 0 || o.live() {
		o.Front = min(o.Front, max(before, came+aheadMost))
	}
}

// lagsFromOn is the watermark below which a source lags, where the newest is known. In the
// present that is told by the stream's clock: one that is ahead makes no other lag.
func (o *order) lagsFromOn(newest int64) int64 {
	if o.live() {
		return max(newest-lagging, min(newest, o.Came)-lagLive)
	}
	return newest - lagging
}

// skew is what is wrong with the times of a batch's source, and corrected where it can be.
func (o *order) skew(b *schemas.Batch) window.Skew {
	l := o.Timeline.Line(b.Edge, b.Source)
	k := window.Skew{Edge: b.Edge, Source: b.Source, Ahead: l.Skewed(), Doubted: l.Doubted()}
	if s := o.sources[b.Edge+" "+b.Source]; s != nil {
		k.Ahead -= time.Duration(s.delay.Off) * time.Millisecond
	}
	return k
}

// skews are the sources that are known to be off, by name.
func (o *order) skews() []window.Skew {
	all := o.Timeline.Skews()
	for _, s := range o.sources {
		if by := -time.Duration(s.delay.Off) * time.Millisecond; by != 0 && s.edge != "" {
			same := func(k window.Skew) bool { return k.Edge == s.edge && k.Source == s.source }
			if at := slices.IndexFunc(all, same); at >= 0 {
				all[at].Ahead += by
				continue
			}
			all = append(all, window.Skew{Edge: s.edge, Source: s.source, Ahead: by})
		}
	}
	slices.SortFunc(all, func(a, b window.Skew) int {
		return cmp.Or(cmp.Compare(a.Edge, b.Edge), cmp.Compare(a.Source, b.Source))
	})
	return all
}
