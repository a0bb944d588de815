package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Bounds of the order.
const (
	patience   = 30 * time.Second             // how long a source that lags may hold the others up
	lagging    = 60 * 1000                    // ms behind the others, from which on a source lags
	maxHeld    = 1 << 20 / schemas.Partitions // rows of one partition waiting
	maxSources = 10000                        // sources told apart
	quietAfter = 2 * time.Second              // a source without rows for so long holds nobody up
	everything = int64(1<<63 - 1)             // a level that lets all rows go
	maxNumbers = maxSources * 2               // sources of a partition whose numbers are kept
)

// order puts the rows of one partition into the order of their times before they are
// counted. A collector that catches up sends a range of its log in one batch; taken as it
// comes, it would end the seconds of all the others.
//
// A batch's watermark is the promise that its source sends no earlier row to this
// partition any more; the rows that every source has completed are released. A source that
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
	watermark int64 // the greatest promised: everything up to here has arrived
	rows      time.Time
	heard     time.Time
	lagsSince time.Time // zero: it does not
}

// heldBatch is a batch some of whose rows wait.
type heldBatch struct {
	sequence  uint64
	watermark int64
	rows      schemas.Rows
	next      schemas.Request
	some      bool // next holds a row
	released  int  // rows before next
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

// add takes a batch that came under a sequence, of which some rows were released before.
func (o *order) add(b *schemas.Batch, sequence uint64, released int, now time.Time) {
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
	s.watermark = max(s.watermark, watermark)
	if len(b.Time) == 0 {
		return
	}
	s.rows = now
	h := &heldBatch{sequence: sequence, watermark: watermark}
	h.rows.Reset(b)
	for h.some = h.rows.Next(&h.next); h.some && h.released < released; h.released++ {
		h.some = h.rows.Next(&h.next)
	}
	if h.some {
		o.held = append(o.held, h)
		o.rows += h.rows.Len() - h.released
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
	if o.rows > maxHeld { // memory before order
		return everything
	}
	newest := int64(0)
	for _, s := range o.sources {
		newest = max(newest, s.watermark)
	}
	level := newest
	for _, s := range o.sources {
		if now.Sub(s.rows) >= quietAfter {
			s.lagsSince = time.Time{}
			continue
		}
		switch {
		case s.watermark >= newest-lagging:
			s.lagsSince = time.Time{}
		case s.lagsSince.IsZero():
			s.lagsSince = now
		}
		if s.lagsSince.IsZero() || now.Sub(s.lagsSince) < patience {
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
			row.Time = row.moment // the collector's clock bounds an edge's
			due = append(due, row)
			o.rows--
			h.released++
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

// waiting are the messages of which rows wait, each with how many were released.
func (o *order) waiting() map[uint64]int {
	waiting := make(map[uint64]int, len(o.held))
	for _, h := range o.held {
		waiting[h.sequence] = h.released
	}
	return waiting
}

// watermarks are what each source has promised.
func (o *order) watermarks() map[string]int64 {
	out := make(map[string]int64, len(o.sources))
	for key, s := range o.sources {
		out[key] = s.watermark
	}
	return out
}

// promise takes up a source as it was before a restart. It is heard of when it speaks.
func (o *order) promise(key string, watermark int64) {
	o.sources[key] = &sourceOrder{watermark: watermark}
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
