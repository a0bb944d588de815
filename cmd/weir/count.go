package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/cluster"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// Pace of counting.
const (
	idleTick    = 250 * time.Millisecond // how often the clock is looked at when nothing comes
	sourceGone  = 10 * time.Second       // all sources this silent: the clock moves event time
	countSaved  = 30 * time.Second       // between two snapshots of a partition ...
	countAtMost = 500_000                // ... or so many requests ...
	countIdle   = 2 * time.Minute        // ... or without requests
)

// counting is one partition of the request stream, under a lease.
//
//	WEIR_REQUESTS, partition p -> order -> counter -> weir.panes.p
//	                                          |
//	                                          +-> snapshot
//
// The panes' subject is a log that one counter writes at a time: NATS itself refuses a
// message of one who has not seen the last. It says after which request which second was
// closed, and so whoever takes the partition over reads from the last snapshot on, closes
// the same seconds at the same requests, and has then counted every request once.
type counting struct {
	*processing
	partition int
	token     uint64

	mu       sync.Mutex // all that follows
	counter  *processor.Counter
	position position
	order    *order
	pack     processor.PanePack
	rows     schemas.Rows // of the batch that is looked at for crawlers
	last     uint64       // sequence of the newest message on the panes' subject
	told     int64        // the last second that it says is closed
	closings []closing    // what an earlier counter closed and this one has not yet
	restored bool         // from a snapshot
	past     uint64       // messages up to here were read before the snapshot ...
	waiting  map[uint64]heldRows
	unsaved  int // requests since the snapshot
	ended    error

	regulars func(context.Context) // tells the edges who they are
}

// position is how far a partition has been counted.
type position struct {
	Sequence uint64                 `json:"sequence"` // of the request stream, the last message read
	Stream   string                 `json:"stream"`
	Numbers  map[string]uint64      `json:"numbers"` // by edge and source: the last batch seen
	Sources  map[string]savedSource `json:"sources"` // by edge and source
	Clock    *orderClock            `json:"clock"`
	Waiting  map[string]heldRows    `json:"waiting"` // messages of which rows wait
	Panes    uint64                 `json:"panes"`   // sequence of the newest message of panes
	Told     int64                  `json:"told"`
}

// closing is what a message of panes says of how it came about.
type closing struct {
	sequence uint64
	level    int64
	closed   int64
}

// errFenced says that another counts this partition.
var errFenced = fmt.Errorf("another counter has the partition: %w", cluster.ErrLost)

func partitionLease(p int) string { return "partition." + strconv.Itoa(p) }

// count is the work of a partition's lease.
func (r *processing) count(ctx context.Context, name string, token uint64) error {
	partition, err := strconv.Atoi(name[len("partition."):])
	if err != nil {
		return err
	}
	c := &counting{processing: r, partition: partition, token: token, order: newOrder()}
	c.order.doubted, c.regulars = r.parts.Early, c.tellRegulars()
	defer r.clocks.leave(partition)
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.counter != nil {
			c.counter.Leave()
		}
	}()
	label := strconv.Itoa(partition)
	if err := c.begin(ctx); err != nil {
		return ctxDone(ctx, err)
	}
	if !c.restored { // whoever is next must know where this one began
		if err := c.save(ctx); err != nil {
			return ctxDone(ctx, err)
		}
	}
	r.counters.Store(partition, c)
	defer r.counters.Delete(partition)
	r.meters.owned.WithLabelValues(label).Set(1)
	defer r.meters.owned.WithLabelValues(label).Set(0)
	r.meters.takeovers.Inc()
	r.log.Info("counting a partition", "partition", partition, "token", token, "from", c.position.Sequence+1, "closings_to_repeat", len(c.closings))

	following, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var aside sync.WaitGroup
	aside.Go(func() { every(following, idleTick, func(ctx context.Context) { c.tick(ctx, stop) }) })
	aside.Go(func() { every(following, time.Second, c.saveWhenDue()) })
	aside.Go(func() { every(following, regularsEvery, c.regulars) })
	err = r.bus.Follow(following, bus.FollowOptions{
		Stream: schemas.StreamRequests, Subjects: []string{schemas.SubjectRequests(partition)},
		From: c.position.Sequence + 1, Reader: "count-" + label, CaughtUp: c.caughtUp,
	}, c.message)
	stop(nil)
	aside.Wait()
	if err == nil {
		err = c.ended
	}
	if errors.Is(err, errFenced) {
		r.meters.fenced.Inc()
		r.log.Warn("a partition is counted by another", "partition", partition)
		return nil
	}
	if errors.Is(context.Cause(ctx), cluster.ErrLost) {
		return nil
	}
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(ctxDone(ctx, err), c.save(saving))
}

// message takes one batch. A batch that cannot be read is passed over: it will
// never be better.
func (c *counting) message(ctx context.Context, m *bus.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return c.ended
	}
	now := time.Now()
	if m.Sequence() <= c.past { // as it was when the snapshot was made
		if rows, ok := c.waiting[m.Sequence()]; ok {
			if b, err := schemas.DecodeBatch(m.Data()); err == nil {
				c.order.again(b, m.Sequence(), rows, now)
			}
		}
		return nil
	}
	c.repeat(m.Sequence() - 1)
	b, err := schemas.DecodeBatch(m.Data())
	c.position.Sequence = m.Sequence()
	if err != nil {
		c.log.Error("a batch was passed over", "sequence", m.Sequence(), "error", err)
		c.repeat(m.Sequence())
		return nil
	}
	if !c.repeated(b.Edge+" "+b.Source, b.Number) {
		c.order.add(b, m.Sequence(), m.Time(), now)
		c.clocks.heard(b, m.Time())
		c.claims(b, &c.rows, now)
		c.clocks.check(c.partition, c.order, b)
	}
	c.repeat(m.Sequence())
	if len(c.closings) > 0 {
		return nil
	}
	return c.release(ctx, now)
}

// repeated reports whether a batch was here before: its source has sent a later one of
// this partition, or this one.
func (c *counting) repeated(key string, number uint64) bool {
	if number == 0 {
		return false
	}
	if last, ok := c.position.Numbers[key]; ok && number <= last {
		return true
	} else if !ok && len(c.position.Numbers) >= maxNumbers {
		return false
	}
	c.position.Numbers[key] = number
	return false
}

// repeat closes again what an earlier counter closed when it had read as far.
func (c *counting) repeat(sequence uint64) {
	for len(c.closings) > 0 && c.closings[0].sequence <= sequence {
		at := c.closings[0]
		c.closings = c.closings[1:]
		discard := func(int64, []*processor.Pane) {} // they are in the stream
		c.order.release(at.level, func(b *schemas.Batch) { c.counter.Count(b, discard) })
		c.counter.Advance(at.level, discard)
	}
}

// caughtUp is when all that the stream held has been read.
func (c *counting) caughtUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.position.Sequence = max(c.position.Sequence, c.past)
	c.repeat(1<<64 - 1) // what it should have held and does not, will not come
}

// release counts the rows that are in order by now, and publishes the panes of the
// seconds that this ends.
func (c *counting) release(ctx context.Context, now time.Time) error {
	return c.reach(ctx, c.order.level(now))
}

// reach counts up to a level. Of a backlog it counts a stretch at a time, and goes on when
// the detector has judged it: clients are marked by what had been learned by then.
func (c *counting) reach(ctx context.Context, level int64) error {
	for {
		to := level
		if next, ok := c.order.next(); ok {
			to = min(to, max(next, c.counter.Level())+stretch)
		}
		reached := c.order.release(to, func(b *schemas.Batch) {
			c.counter.Count(b, c.closed)
			c.unsaved += len(b.Time)
		})
		if reached > 0 {
			c.counter.Advance(reached, c.closed)
		}
		if at := c.counter.Level(); at > 0 {
			c.meters.lag.WithLabelValues(strconv.Itoa(c.partition)).Set(time.Since(time.UnixMilli(at)).Seconds())
		}
		if c.counter.Closed() > c.told {
			if err := c.publish(ctx); err != nil {
				c.ended = err
				return err
			}
		}
		if to >= level {
			return nil
		}
		c.awaitLearned(ctx, to)
	}
}

const (
	// stretch is how much of a backlog, in ms of event time, is counted before the detector
	// has judged it.
	stretch = 20_000
	// recent is how far behind the clock, in ms, is no backlog.
	recent = 60_000
	// awaitAtMost is how long is waited for a detector that does not come on.
	awaitAtMost = 5 * time.Second
)

// awaitLearned returns when the detector has judged what is a stretch before a moment, or
// where it is of now, or the detector does not come on.
func (c *counting) awaitLearned(ctx context.Context, moment int64) {
	if time.Now().UnixMilli()-moment < recent {
		return
	}
	wanted := (moment-stretch)/1000 - 2
	for {
		judged, news := c.judged.at()
		if judged >= wanted {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		case <-time.After(awaitAtMost):
			return
		}
	}
}

// closed packs the panes of a second that has ended.
func (c *counting) closed(_ int64, panes []*processor.Pane) {
	for _, p := range panes {
		if err := c.pack.Add(p); err != nil { // cannot be: a pane can always be written
			c.log.Error("a pane was left out", "partition", c.partition, "error", err)
		}
	}
}

// publish stores the panes since the last time in the log. It tries until it has, or until
// ctx ends or another has the log.
func (c *counting) publish(ctx context.Context) error {
	head := &schemas.Panes{
		Partition: uint32(c.partition), Revision: c.token, Sequence: c.position.Sequence, Level: c.counter.Level(), Closed: c.counter.Closed(),
	}
	for _, p := range c.pack.Finish(head) {
		data, err := schemas.EncodePanes(nil, p)
		if err != nil {
			return err
		}
		if err := c.append(ctx, data); err != nil {
			return err
		}
		c.meters.published.Add(float64(len(p.Panes)))
	}
	c.told = head.Closed
	return nil
}

// append adds one message to the log.
func (c *counting) append(ctx context.Context, data []byte) error {
	subject := schemas.SubjectPanes(c.partition)
	var fenced bool
	err := retry(ctx, func() error {
		sequence, err := c.bus.PublishAfter(ctx, subject, c.last, data)
		if errors.Is(err, bus.ErrNotLast) {
			// It may be our own, of which the acknowledgement was lost.
			newest, there, err := c.bus.Last(ctx, schemas.StreamPanes, subject)
			if err != nil {
				return err
			}
			sequence, fenced = newest, !bytes.Equal(there, data)
		} else if err != nil {
			return err
		}
		c.last = sequence
		return nil
	}, func(err error) { c.log.Error("panes wait to be published", "partition", c.partition, "error", err) })
	if err == nil && fenced {
		return errFenced
	}
	return err
}

// tick releases what time has settled, and moves event time by the clock where every
// source has fallen silent, so that incidents close and decisions end.
func (c *counting) tick(ctx context.Context, stop context.CancelCauseFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.closings) > 0 || c.ended != nil || c.position.Sequence < c.past {
		return
	}
	now := time.Now()
	c.order.settle(now)
	level := c.order.level(now)
	newest, silent := c.order.heardOf(now, sourceGone)
	if silent && now.Sub(time.UnixMilli(newest)) < time.Hour { // a log of long ago ends when it ends
		level = max(level, now.Add(-sourceGone).UnixMilli())
	}
	if err := c.reach(ctx, level); err != nil && ctx.Err() == nil {
		stop(err)
	}
}
