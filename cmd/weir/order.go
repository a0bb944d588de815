package main

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Bounds of the order.
const (
	settled    = time.Second      // a source that has sent no rows for so long has sent all of its range
	patience   = 30 * time.Second // how long a source that lags may hold the others up
	lagging    = 60 * 1000        // ms behind the others, from which on a source lags
	maxHeld    = 1 << 20          // rows waiting
	maxSources = 10000            // sources told apart
	quietAfter = 2 * time.Second  // a source without rows for so long holds nobody up
)

// order puts the rows of many batches into the order of their times before they are
// processed. A collector that catches up sends a range of its log as one batch a
// partition; taken as they come, the first would end the windows of all the others.
//
// A source sends a range only when the one before is stored in full. So when rows of
// a later range come, what the source has sent up to its earlier watermark is
// complete; the rows that every source has completed are released. A source that
// lags far behind the others is waited for a while and no longer: an edge with a wrong
// clock must not stop detection.
//
// Not for concurrent use. now is the machine's clock, given so that a test can.
type order struct {
	sources map[string]*sourceOrder
	held    []*heldBatch // in the order of arrival
	rows    int
	builder *schemas.Builder
}

// sourceOrder is what is known of one source.
type sourceOrder struct {
	watermark int64 // the greatest promised
	complete  int64 // everything up to here has arrived
	rows      time.Time
	heard     time.Time
	lagsSince time.Time // zero: it does not
}

// heldBatch is a batch some of whose rows wait.
type heldBatch struct {
	sequence  uint64
	key       string // whose number counts
	number    uint64
	watermark int64
	rows      schemas.Rows
	next      schemas.Request
	some      bool // next holds a row
}

// moment is the time by which the next row is put in order: its own, but no later than
// the batch's promise, so that a row of a wrong clock is not waited for.
func (h *heldBatch) moment() int64 { return min(h.next.Time, h.watermark) }

// dueRow is a row that is released.
type dueRow struct {
	moment int64
	schemas.Request
}

func newOrder() *order {
	return &order{sources: make(map[string]*sourceOrder), builder: schemas.NewBuilder("", "ordered")}
}

// add takes a batch that came under a sequence; key is whose number it carries.
func (o *order) add(b *schemas.Batch, sequence uint64, key string, now time.Time) {
	watermark := b.Watermark
	if watermark == 0 { // a shipper that promises nothing: its rows as they come
		watermark = lastTime(b)
	}
	s := o.sources[b.Edge+" "+b.Source]
	if s == nil {
		s = &sourceOrder{watermark: watermark}
		if len(o.sources) < maxSources {
			o.sources[b.Edge+" "+b.Source] = s
		}
	}
	s.heard = now
	if watermark > s.watermark {
		s.complete, s.watermark = s.watermark, watermark
	}
	if len(b.Time) == 0 {
		return
	}
	s.rows = now
	h := &heldBatch{sequence: sequence, key: key, number: b.Number, watermark: watermark}
	h.rows.Reset(b)
	if h.some = h.rows.Next(&h.next); h.some {
		o.held = append(o.held, h)
		o.rows += h.rows.Len()
	}
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
	newest := int64(0)
	for _, s := range o.sources {
		if now.Sub(s.rows) >= settled {
			s.complete = s.watermark
		}
		newest = max(newest, s.complete)
	}
	level := newest
	for _, s := range o.sources {
		if now.Sub(s.rows) >= quietAfter {
			s.lagsSince = time.Time{}
			continue
		}
		switch {
		case s.complete >= newest-lagging:
			s.lagsSince = time.Time{}
		case s.lagsSince.IsZero():
			s.lagsSince = now
		}
		if s.lagsSince.IsZero() || now.Sub(s.lagsSince) < patience {
			level = min(level, s.complete)
		}
	}
	return level
}

// release hands over, in the order of time, the rows that nobody can precede any more,
// as batches that are valid during the call; and returns the time that event time has
// reached, 0 where nothing is known.
func (o *order) release(now time.Time, consume func(*schemas.Batch)) (reached int64) {
	level := o.level(now)
	if o.rows > maxHeld { // memory before order
		level = 1<<63 - 1
	}
	var due []dueRow
	for _, h := range o.held {
		for h.some && h.moment() <= level {
			row := dueRow{h.moment(), h.next}
			row.Time = row.moment // the collector's clock bounds an edge's
			due = append(due, row)
			o.rows--
			h.some = h.rows.Next(&h.next)
		}
	}
	o.held = slices.DeleteFunc(o.held, func(h *heldBatch) bool { return !h.some })
	slices.SortStableFunc(due, func(a, b dueRow) int { return cmp.Compare(a.moment, b.moment) })
	o.hand(due, consume)
	if level == 1<<63-1 {
		return 0
	}
	return level
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

// numbers are the batch numbers seen, less those of which rows wait.
func (o *order) numbers(seen map[string]uint64) map[string]uint64 {
	settled := maps.Clone(seen)
	for _, h := range o.held {
		if n, ok := settled[h.key]; ok && h.number > 0 {
			settled[h.key] = min(n, h.number-1)
		}
	}
	return settled
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
