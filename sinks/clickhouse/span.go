package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Rows of one span. A block costs the engine something whatever is in it: a part of
// each table behind the views. With mostRows, requests and rollups take two thirds of
// the processor time that they take with spanRows, but only as many spans as are
// inserted at a time may grow so far, because of the memory. A batch is never divided,
// so that a span has at most mostRows + schemas.MaxRows rows. A replay has nothing else to
// hold: with directRows ClickHouse takes a fifth less than with mostRows. That number, and how
// many rows a batch of a replay has, say where its blocks begin: another would have a replay
// of before, repeated by a newer weir, stored twice.
const (
	spanRows   = 65536
	mostRows   = 2 * spanRows
	directRows = 3 * spanRows
)

// Pauses between attempts to insert a block.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 30 * time.Second
)

// span is a range of messages of one partition on its way into the table: one
// block for each day that its rows are of.
type span struct {
	stream      string
	partition   int
	first, last uint64 // sequences; 0, 0 while it is empty
	rows        int
	sample      uint32           // of so many clients, one is kept as rows; 0 is 1
	seed        uint64           // of which ones
	blocks      map[int64]*block // by day
	splitter    splitter
	spare       []*block
}

func newSpan(stream string, partition int, p Privacy) *span {
	return &span{stream: stream, partition: partition, blocks: make(map[int64]*block), seed: sampleSeed(p), splitter: splitter{filter: newFilter(p)}}
}

// reset empties the span and keeps the memory of a few blocks.
func (s *span) reset() {
	s.first, s.last, s.rows = 0, 0, 0
	for day, b := range s.blocks {
		if len(s.spare) < 2 {
			b.reset()
			s.spare = append(s.spare, b)
		}
		delete(s.blocks, day)
	}
}

func (s *span) empty() bool { return s.last == 0 }

// extend takes in a message of the stream, whether or not it brings rows.
func (s *span) extend(sequence uint64) {
	if s.first == 0 {
		s.first = sequence
	}
	s.last = sequence
}

// add takes in the rows of a batch. It keeps nothing of the batch.
func (s *span) add(sequence uint64, batch *schemas.Batch) {
	s.extend(sequence)
	at := place{stream: s.stream, partition: s.partition, sequence: sequence, sample: max(s.sample, 1), seed: s.seed}
	s.splitter.split(batch, func(day int64, from, to int) {
		s.block(day).append(batch, &s.splitter, at, from, to)
	})
	s.rows += len(batch.Time)
}

func (s *span) block(day int64) *block {
	b := s.blocks[day]
	if b == nil {
		if n := len(s.spare); n > 0 {
			b, s.spare = s.spare[n-1], s.spare[:n-1]
		} else {
			b = newBlock()
		}
		s.blocks[day] = b
	}
	return b
}

// days are the span's days in their order.
func (s *span) days() []int64 {
	var days []int64
	for day := range s.blocks {
		days = append(days, day)
	}
	slices.Sort(days)
	return days
}

func (s *span) identity(day int64) identity {
	return identity{stream: s.stream, partition: s.partition, first: s.first, last: s.last, day: day}
}

// store puts all blocks of a span into the table, each until that works or ctx
// ends. With again, some may be there already: from before a crash.
func (db *DB) store(ctx context.Context, s *span, again bool) error {
	for _, day := range s.days() {
		if err := db.storeBlock(ctx, s.identity(day), s.blocks[day], again); err != nil {
			return err
		}
	}
	return nil
}

// storeBlock repeats an insert until it works. While the server remembers its token,
// that completes what a failed one has left undone and counts once. Because tokens are
// forgotten in the end, whether an old block is stored is looked up.
func (db *DB) storeBlock(ctx context.Context, id identity, b *block, again bool) error {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		err := db.tryBlock(ctx, id, b, again)
		if err == nil {
			db.metrics.rows.Add(float64(b.rows()))
			db.metrics.blocks.Inc()
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %d requests are not stored yet: %w", db.where, b.rows(), ctx.Err())
		}
		if gone := db.Gone(); gone != nil {
			return fmt.Errorf("%d requests are not stored: %w", b.rows(), gone)
		}
		again = true
		db.metrics.retries.Inc()
		db.log.Warn("requests could not be stored; trying again", "where", db.where, "rows", b.rows(),
			"partition", id.partition, "pause", pause, "error", oneLine(err))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (db *DB) tryBlock(ctx context.Context, id identity, b *block, again bool) error {
	if again {
		rows, forgotten, err := db.stored(ctx, id)
		if err != nil {
			return err
		}
		if rows == uint64(b.kept) && forgotten {
			return nil
		}
		if rows != 0 && rows != uint64(b.kept) {
			db.log.Error("a part of a block is in the store, which cannot be", "rows", rows, "of", b.kept, "token", id.token())
		}
	}
	started := time.Now()
	if err := db.insert(ctx, id, b); err != nil {
		return err
	}
	db.metrics.seconds.Observe(time.Since(started).Seconds())
	return nil
}
