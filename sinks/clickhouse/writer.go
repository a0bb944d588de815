package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-project/weir/schemas"
)

// Message is one message of a stream of batches.
type Message interface {
	Data() []byte     // an encoded schemas.Batch, not kept
	Sequence() uint64 // in the stream, rising
}

// Follow hands one partition's messages to handle, in the order of the stream,
// each once and none left out, from a sequence on, until ctx ends, which is not an
// error, or handle returns an error, which it returns. It waits while handle does:
// that is the back-pressure.
type Follow func(ctx context.Context, partition int, from uint64, handle func(context.Context, Message) error) error

// WriterOptions say what a Writer reads and where it keeps its position.
type WriterOptions struct {
	// Stream names the sequences, for ever: a stream that is made anew and counts
	// from 1 again needs another name, such as "WEIR_REQUESTS@<when it was made>".
	Stream     string
	Partitions []int
	Follow     Follow
	Journal    Journal
	// MaxWait is how long a request may wait for others to be stored with; 0 is 1 s.
	MaxWait time.Duration
	// Parallel is how many blocks are inserted at a time; 0 is 2.
	Parallel int
	// Waiting is the share of the stream's room, 0 to 1, that the messages after one take.
	// Where that is most of it, rows are sampled by client, so that none is lost to the
	// stream's end. nil is never.
	Waiting func(ctx context.Context, after uint64) float64
}

// sampleOf is of how many clients one is kept as rows, by how much of the stream's room
// waits: sampling begins where half of it does, long after any pause of an hour.
func sampleOf(waiting float64) uint32 {
	sample := uint32(1)
	for level := 0.5; waiting >= level && sample < schemas.MaxWeight; level += 0.05 {
		sample *= 2
	}
	return sample
}

// flushGrace is how long a Writer that is stopped may take to store what it holds.
const flushGrace = 5 * time.Second

// Writer stores a stream of batches, every batch once.
//
// A span of messages is journaled before it is stored, so that a Writer that starts
// again after a crash reads exactly that span again and stores the same blocks with
// the same tokens, which ClickHouse drops where it has them. There must be one
// Writer a partition at a time.
type Writer struct {
	db      *DB
	options WriterOptions
	log     *slog.Logger
	slots   chan struct{}
	grace   time.Duration // flushGrace but in tests
	rows    int           // spanRows but in tests; behind, up to twice as many
}

// NewWriter prepares a Writer; Run runs it.
func (db *DB) NewWriter(o WriterOptions) *Writer {
	if o.MaxWait == 0 {
		o.MaxWait = time.Second
	}
	if o.Parallel == 0 {
		o.Parallel = 2
	}
	return &Writer{db: db, options: o, log: db.log, slots: make(chan struct{}, o.Parallel), grace: flushGrace, rows: spanRows}
}

// Run stores until ctx ends; then it stores what it holds, for a few seconds, and
// returns nil: what is not stored by then is read again next time. ClickHouse being
// away is no error: it waits. Errors are about the journal or the stream.
func (w *Writer) Run(ctx context.Context) error {
	latest, err := w.latest(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, partition := range w.options.Partitions {
		group.Go(func() error {
			p, err := w.open(partition, latest[partition])
			if err != nil {
				return err
			}
			return p.run(ctx)
		})
	}
	return group.Wait()
}

// latest waits until ClickHouse says what it holds.
func (w *Writer) latest(ctx context.Context) (map[int]uint64, error) {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		latest, err := w.db.latest(ctx, w.options.Stream)
		if err == nil || ctx.Err() != nil {
			return latest, err
		}
		w.log.Warn("the store cannot be asked how far it has come; trying again", "where", w.db.where, "pause", pause, "error", oneLine(err))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// open finds out where a partition goes on: at the journal's position, or after
// what the table holds where that is further, because a journal may have been lost
// or restored from an older copy.
func (w *Writer) open(partition int, latest uint64) (*partitionWriter, error) {
	position, err := w.options.Journal.Load(partition)
	if err != nil {
		return nil, err
	}
	if position.Stream != w.options.Stream {
		position = Position{Stream: w.options.Stream}
	}
	if latest > max(position.Stored, position.Last) {
		position.Stored, position.First, position.Last = latest, 0, 0
	}
	p := &partitionWriter{
		Writer: w, partition: partition, position: position,
		span: newSpan(w.options.Stream, partition, w.db.privacy), numbers: newNumbers(position.Numbers),
		messages: make(chan received), sampled: 1,
	}
	return p, nil
}

// partitionWriter stores one partition. Its own goroutine owns everything but
// messages.
type partitionWriter struct {
	*Writer
	partition int
	position  Position // as journaled
	span      *span
	numbers   *numbers
	messages  chan received
	sampled   uint32 // of the last span
}

// received is a message that has been decoded while the one before is stored.
type received struct {
	sequence uint64
	batch    *schemas.Batch // nil where it was malformed
}

func (p *partitionWriter) run(ctx context.Context) error {
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(p.messages)
		return p.options.Follow(reading, p.partition, p.position.Stored+1, p.receive)
	})
	group.Go(func() error { return p.write(ctx) })
	err := group.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // what was in hand is read again next time
	}
	return err
}

func (p *partitionWriter) receive(ctx context.Context, m Message) error {
	r := received{sequence: m.Sequence()}
	batch, err := schemas.DecodeBatch(m.Data())
	if err != nil {
		p.db.metrics.malformed.Inc()
		p.log.Warn("a message of the stream is no batch; it is left out", "stream", p.options.Stream, "sequence", r.sequence, "error", oneLine(err))
	} else {
		r.batch = batch
	}
	select {
	case p.messages <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write collects spans and stores them. What it holds when ctx ends it still stores,
// within a grace.
func (p *partitionWriter) write(ctx context.Context) error {
	ctx, cancel := lasting(ctx, p.grace)
	defer cancel()
	next, err := p.recover(ctx)
	for more := true; more && err == nil; next = nil {
		p.span.sample = p.sample(ctx)
		if more = p.collect(next); !p.span.empty() {
			err = p.flush(ctx, false)
		}
	}
	return err
}

// sample is of how many clients the next span keeps one.
func (p *partitionWriter) sample(ctx context.Context) uint32 {
	sample := uint32(1)
	if p.options.Waiting != nil {
		sample = sampleOf(p.options.Waiting(ctx, p.position.Stored))
	}
	if sample != p.sampled {
		p.log.Warn("the share of clients whose requests are kept as rows has changed: ClickHouse is slower than they come, and the figures stay exact",
			"partition", p.partition, "one_client_of", sample)
		p.sampled = sample
	}
	return sample
}

// lasting is ctx with a grace after its end.
func lasting(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() { stop(); cancel() }
}

// recover stores the span that a crash may have interrupted, in the same bounds. It
// returns the first message after it, if it had to read that to see the end: where
// the stream has meanwhile discarded the span's own last message.
func (p *partitionWriter) recover(ctx context.Context) (next *received, err error) {
	if p.position.Last == 0 {
		return nil, nil
	}
	p.span.sample = max(p.position.Sample, 1) // or a block would not be the same again
	for p.span.last < p.position.Last {
		r, ok := <-p.messages
		if !ok {
			p.span.reset() // not complete: next time
			return nil, nil
		}
		if r.sequence > p.position.Last {
			next = &r
			break
		}
		p.take(r)
	}
	// The token is made from the span's bounds, whatever is left of its messages.
	p.span.first, p.span.last = p.position.First, p.position.Last
	return next, p.flush(ctx, true)
}

// collect fills a span until it is large enough or its first message has waited
// long enough. It returns false when there will be no more messages.
func (p *partitionWriter) collect(next *received) (more bool) {
	var timer <-chan time.Time
	if next != nil {
		p.take(*next)
	}
	for p.span.rows < p.rows {
		if timer == nil && !p.span.empty() {
			timer = time.After(p.options.MaxWait)
		}
		select {
		case r, ok := <-p.messages:
			if !ok {
				return false
			}
			p.take(r)
		case <-timer:
			return true
		}
	}
	return true
}

// fillWait is how long a span that is full waits for one more message.
const fillWait = 20 * time.Millisecond

// fill goes on collecting while messages keep coming, for MaxWait at most: the writer
// is behind, and few large blocks cost less than many. It holds one of the slots
// meanwhile, which bounds what all partitions hold.
func (p *partitionWriter) fill() {
	pause, end := time.NewTimer(fillWait), time.NewTimer(p.options.MaxWait)
	defer pause.Stop()
	defer end.Stop()
	for p.span.rows < 2*p.rows {
		pause.Reset(fillWait)
		select {
		case r, ok := <-p.messages:
			if !ok {
				return // collect sees it, too
			}
			p.take(r)
		case <-pause.C:
			return
		case <-end.C:
			return
		}
	}
}

// take puts a message into the span. A message that comes again is of the past.
func (p *partitionWriter) take(r received) {
	if r.sequence <= max(p.position.Stored, p.span.last) {
		return
	}
	if r.batch == nil {
		p.span.extend(r.sequence)
		return
	}
	if !p.numbers.fresh(r.batch) {
		p.db.metrics.repeated.Inc()
		p.span.extend(r.sequence)
		return
	}
	p.span.add(r.sequence, r.batch)
}

// flush journals the span, stores it, and journals that. again says that it may be
// stored already.
func (p *partitionWriter) flush(ctx context.Context, again bool) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !again && p.span.rows >= p.rows {
		p.fill()
	}
	if !again {
		p.position.First, p.position.Last, p.position.Sample = p.span.first, p.span.last, p.span.sample
		if err := p.journal(ctx); err != nil {
			return err
		}
	}
	if err := p.db.store(ctx, p.span, again); err != nil {
		return err
	}
	p.position = Position{Stream: p.options.Stream, Stored: p.span.last, Numbers: p.numbers.list()}
	if err := p.journal(ctx); err != nil {
		return err
	}
	p.span.reset()
	return nil
}

// journal writes the position until that works: a full disk passes.
func (p *partitionWriter) journal(ctx context.Context) error {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		err := p.options.Journal.Store(p.partition, p.position)
		if err == nil {
			return nil
		}
		p.log.Warn("the position in the stream cannot be kept; nothing is stored until it can", "partition", p.partition, "error", oneLine(err))
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}
