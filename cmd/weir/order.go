package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Bounds of the order.
const (
	patience   = 30 * time.Second             // how long a source that catches up may hold the others up
	shown      = 3 * time.Second              // how long it has to show that it does
	lagging    = 60 * 1000                    // ms behind the others, from which on a source lags
	maxHeld    = 1 << 20 / schemas.Partitions // rows of one partition waiting
	maxSources = 10000                        // sources told apart
	quietAfter = 2 * time.Second              // a source without rows for so long holds nobody up
	everything = int64(1<<63 - 1)             // a level that lets all rows go
	maxNumbers = maxSources * 2               // sources of a partition whose numbers are kept
	brokenBy   = 30 * 1000                    // ms before its own promise: a source's clock was set back
	aheadBy    = 30 * 1000                    // ms ahead of the source that sets the beginning, within which another goes with it
	beginNear  = 20 * 1000                    // ms from its arrival, within which a batch sets the beginning
	beginAfter = 5 * 1000                     // ms that the beginning waits for such a one
)

// order puts the rows of one partition into the order of their times before they are
// counted. A collector that catches up sends a range of its log in one batch; taken as it
// comes, it would end the seconds of all the others.
//
// A batch's watermark is the promise that its source sends no earlier row to this
// partition any more; the rows that every source has completed are released. A source that
// lags far behind the others is waited for a while as long as it catches up, and one that
// breaks its promise by far not at all: an edge with a wrong clock must not stop detection.
//
// Whose clock is wrong a Timeline finds out, from the rows and from when their messages came:
// the source's rows then count at the corrected time. What is decided depends on the messages
// and their order, so that whoever takes a partition over decides the same.
//
// Not for concurrent use. now is the machine's clock, given so that a test can.
type order struct {
	orderClock
	sources map[string]*sourceOrder
	held    []*heldBatch // in the order of arrival
	rows    int
	builder *schemas.Builder
	doubted func(ahead int64) // is told of each row that is too far ahead, and by how many ms
}

// orderClock is what is known of the sources' clocks, as it is saved.
type orderClock struct {
	Timeline window.Timeline `json:"timeline"`
	Front    int64           `json:"front"`           // event time as the sources tell it, corrected; unix ms
	Begun    int64           `json:"begun,omitempty"` // when the first batch came, while event time has not begun

	Came    int64 `json:"came,omitempty"`     // the last batch with rows, by the stream's clock; unix ms
	Live    int64 `json:"live,omitempty"`     // the last of them whose source agrees with that clock
	Right   int64 `json:"right,omitempty"`    // how long those of right clocks are under way, ms
	RightAt int64 `json:"right_at,omitempty"` // when that was found
}

// sourceOrder is what is known of one source.
type sourceOrder struct {
	edge, source string // empty until it is heard of

	promised  int64 // the greatest watermark, by its own clock
	watermark int64 // the same, corrected: everything up to here has arrived
	broken    bool  // rows have come that are far before what was promised
	rows      time.Time
	heard     time.Time
	lagsSince time.Time // zero: it does not
	lagsFrom  int64     // its watermark then
	delay     delay
}

// catchesUp reports whether a source that lags is worth waiting for: it comes on faster than
// time goes. One that does not has a clock that is behind.
func (s *sourceOrder) catchesUp(now time.Time) bool {
	since := now.Sub(s.lagsSince)
	return since < shown || since < patience && s.watermark-s.lagsFrom > 2*since.Milliseconds()
}

// heldBatch is a batch some of whose rows wait.
type heldBatch struct {
	sequence uint64
	heldRows
	rows schemas.Rows
	next schemas.Request
	some bool // next holds a row
}

// heldRows is how a batch's rows are put in order, as it is saved.
type heldRows struct {
	Released int   `json:"released"`        // rows before the next
	Shift    int64 `json:"shift,omitempty"` // ms by which the source's clock is corrected
	Limit    int64 `json:"limit"`           // no row is later
}

// moment is the time by which the next row is put in order: its own, but no later than
// the batch's promise, so that a row of a wrong clock is not waited for.
func (h *heldBatch) moment() int64 { return min(h.next.Time+h.Shift, h.Limit) }

// dueRow is a row that is released.
type dueRow struct {
	moment int64
	schemas.Request
}

func newOrder() *order {
	return &order{sources: make(map[string]*sourceOrder), builder: schemas.NewBuilder("", "ordered"), doubted: func(int64) {}}
}

// add takes a batch that came under a sequence, and when that was by the stream's clock.
func (o *order) add(b *schemas.Batch, sequence uint64, arrived, now time.Time) {
	promised := b.Watermark
	if promised == 0 { // a shipper that promises nothing: its rows as they come
		promised = lastTime(b)
	}
	s := o.source(b, now)
	came := arrived.UnixMilli()
	if o.Begun > 0 && (came >= o.Begun+beginAfter || o.rows > maxHeld) {
		o.begin()
	}
	if o.Front == 0 && (promised < came-beginNear || promised > came+beginNear) {
		if o.Begun == 0 {
			o.Begun = came
		}
		s.promised = max(s.promised, promised)
		o.hold(b, sequence, heldRows{Limit: promised})
		return
	}
	line := o.Timeline.Line(b.Edge, b.Source)
	if line.Skewed() != 0 && !o.live() { // it is corrected already
		s.delay = delay{}
	} else if len(b.Time) > 0 && o.measure(s, promised, came) {
		line.Trust()
	}
	off, before := s.delay.Off, o.Front
	s.broken = s.broken && s.watermark < o.Front-lagging
	switch {
	case len(b.Time) > 0:
		s.broken = s.broken || s.promised > 0 && earliest(b) < s.promised-brokenBy
		b.Time[0] += off // what follows are differences
		o.Front = o.Timeline.Batch(line, b.Time, promised+off, o.Front, came, o.doubted)
		b.Time[0] -= off
		if by := promised + off - line.Skewed().Milliseconds(); line.Timely() && by < o.Front+aheadBy {
			o.Front = max(o.Front, by) // it knows of rows in other partitions
		}
	case promised > s.promised:
		o.Front = o.Timeline.Promise(line, promised+off, o.Front, came)
	}
	o.bound(before, came)
	if o.Begun > 0 {
		o.begun()
	}
	shift := off - line.Skewed().Milliseconds()
	s.promised = max(s.promised, promised)
	limit := min(promised+shift, o.Front)
	s.watermark = max(s.watermark, limit)
	o.hold(b, sequence, heldRows{Shift: shift, Limit: limit})
}

// again takes a batch that came before a restart, as it was then.
func (o *order) again(b *schemas.Batch, sequence uint64, was heldRows, now time.Time) {
	o.source(b, now)
	o.hold(b, sequence, was)
}

// source is the source of a batch, which was heard of now.
func (o *order) source(b *schemas.Batch, now time.Time) *sourceOrder {
	s := o.sources[b.Edge+" "+b.Source]
	if s == nil {
		s = &sourceOrder{}
		if len(o.sources) < maxSources {
			o.sources[b.Edge+" "+b.Source] = s
		}
	}
	s.heard, s.edge, s.source = now, b.Edge, b.Source
	if len(b.Time) > 0 {
		s.rows = now
	}
	return s
}

// hold keeps the rows of a batch that are not released yet.
func (o *order) hold(b *schemas.Batch, sequence uint64, was heldRows) {
	if len(b.Time) == 0 {
		return
	}
	h := &heldBatch{sequence: sequence, heldRows: was}
	h.Released = 0
	h.rows.Reset(b)
	for h.some = h.rows.Next(&h.next); h.some && h.Released < was.Released; h.Released++ {
		h.some = h.rows.Next(&h.next)
	}
	if h.some {
		o.held = append(o.held, h)
		o.rows += h.rows.Len() - h.Released
	}
}

// settle begins a stream whose sources all are of another time than now.
func (o *order) settle(now time.Time) {
	if o.Begun > 0 && now.UnixMilli() >= o.Begun+beginAfter {
		o.begin()
	}
}

// begin lets event time begin where no source agrees with the stream's clock: a log of old,
// or one that was made up. The nearest to that clock is taken, and those that go with it.
func (o *order) begin() {
	nearest := everything
	for _, s := range o.sources {
		if d := s.promised - o.Begun; max(d, -d) < max(nearest-o.Begun, o.Begun-nearest) {
			nearest = s.promised
		}
	}
	for _, s := range o.sources {
		if s.promised < nearest+aheadBy {
			o.Front = max(o.Front, s.promised)
		}
	}
	o.begun()
}

// begun counts the rows that waited for event time to begin: what lies after it, as of then.
func (o *order) begun() {
	for _, h := range o.held {
		h.Limit = min(h.Limit, o.Front)
	}
	for _, s := range o.sources {
		s.watermark = max(s.watermark, min(s.promised, o.Front))
	}
	o.Begun = 0
}

// earliest is the time of the first row.
func earliest(b *schemas.Batch) int64 {
	least, at := everything, int64(0)
	for _, d := range b.Time {
		at += d
		least = min(least, at)
	}
	return least
}

func lastTime(b *schemas.Batch) (latest int64) {
	at := int64(0)
	for _, d := range b.Time {
		at += d
		latest = max(latest, at)
	}
	return latest
}

// level is the time up to which rows can be released: the least that the sources with
// rows of late have completed, or, where none has, all.
func (o *order) level(now time.Time) int64 {
	if o.rows > maxHeld { // memory before order
		return everything
	}
	newest := int64(0)
	for _, s := range o.sources {
		newest = max(newest, s.watermark)
	}
	level, lagsBelow := newest, o.lagsFromOn(newest)
	for _, s := range o.sources {
		if s.broken || now.Sub(s.rows) >= quietAfter {
			s.lagsSince = time.Time{}
			continue
		}
		switch {
		case s.watermark >= lagsBelow:
			s.lagsSince = time.Time{}
		case s.lagsSince.IsZero():
			s.lagsSince, s.lagsFrom = now, s.watermark
		}
		if s.lagsSince.IsZero() || s.catchesUp(now) {
			level = min(level, s.watermark)
		}
	}
	return level
}

// next is the moment of the first row that waits.
func (o *order) next() (moment int64, ok bool) {
	moment = everything
	for _, h := range o.held {
		moment = min(moment, h.moment())
	}
	return moment, len(o.held) > 0
}

// release hands over, in the order of time, the rows up to a level, as batches that are
// valid during the call; and returns the time that event time has reached, 0 where
// nothing is known.
func (o *order) release(level int64, consume func(*schemas.Batch)) (reached int64) {
	var due []dueRow
	for _, h := range o.held {
		for h.some && h.moment() <= level {
			row := dueRow{h.moment(), h.next}
			row.Time = row.moment // clocks that are wrong are corrected, and bounded by others
			due = append(due, row)
			o.rows--
			h.Released++
			h.some = h.rows.Next(&h.next)
		}
	}
	o.held = slices.DeleteFunc(o.held, func(h *heldBatch) bool { return !h.some })
	slices.SortStableFunc(due, func(a, b dueRow) int { return cmp.Compare(a.moment, b.moment) })
	o.hand(due, consume)
	if level < everything {
		return level
	}
	if len(due) > 0 {
		return due[len(due)-1].moment
	}
	return 0
}

// hand packs rows into batches again.
func (o *order) hand(due []dueRow, consume func(*schemas.Batch)) {
	for i := range due {
		if !o.builder.Fits(&due[i].Request) {
			consume(o.builder.Batch())
			o.builder.Reset()
		}
		o.builder.Append(&due[i].Request)
	}
	if o.builder.Len() > 0 {
		consume(o.builder.Batch())
		o.builder.Reset()
	}
}

// oldest is the sequence before the first message of which rows wait, last where none
// does: what is read again after a restart.
func (o *order) oldest(last uint64) uint64 {
	for _, h := range o.held {
		last = min(last, h.sequence-1)
	}
	return last
}

// waiting are the messages of which rows wait, and how.
func (o *order) waiting() map[uint64]heldRows {
	waiting := make(map[uint64]heldRows, len(o.held))
	for _, h := range o.held {
		waiting[h.sequence] = h.heldRows
	}
	return waiting
}

// savedSource is a source as it is saved.
type savedSource struct {
	Promised  int64 `json:"promised"`
	Watermark int64 `json:"watermark"`
	Broken    bool  `json:"broken,omitempty"`
	Delay     delay `json:"delay,omitzero"`
}

// promises are what each source has promised.
func (o *order) promises() map[string]savedSource {
	out := make(map[string]savedSource, len(o.sources))
	for key, s := range o.sources {
		out[key] = savedSource{s.promised, s.watermark, s.broken, s.delay}
	}
	return out
}

// promise takes up a source as it was before a restart. It is heard of when it speaks.
func (o *order) promise(key string, was savedSource) {
	o.sources[key] = &sourceOrder{promised: was.Promised, watermark: was.Watermark, broken: was.Broken, delay: was.Delay}
}

// heardOf reports the greatest watermark, and whether every source has been silent
// for a while, beats included.
func (o *order) heardOf(now time.Time, silence time.Duration) (newest int64, silent bool) {
	silent = len(o.sources) > 0
	for _, s := range o.sources {
		newest = max(newest, s.watermark)
		silent = silent && now.Sub(s.heard) >= silence
	}
	return newest, silent
}
