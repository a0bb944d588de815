package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/weir-project/weir/schemas"
)

// DirectOptions name what a Direct stores.
type DirectOptions struct {
	// Stream names the input and everything that shapes its batches, such as
	// "replay:<hash of the files>". Batches of a stream that are in the store already,
	// by their place in it, are not stored again: a replay that was cut short and is
	// started again completes itself, and one that is repeated adds nothing.
	Stream string
	// Parallel is how many blocks are inserted at a time; 0 is 2.
	Parallel int
}

// Direct stores batches that come from no stream, such as a replay's, every one
// once. The same Stream must bring the same batches in the same order.
type Direct struct {
	stream  string
	privacy Privacy
	span    *span
	next    uint64 // sequence of the next batch

	opened chan struct{} // closed once there is a store, or none
	db     *DB           // from then on
	latest uint64        // the greatest sequence in it at the start

	slots chan struct{}
	all   sync.WaitGroup
	mu    sync.Mutex
	err   error
	idle  []*span
}

// NewDirect finds out what of the stream is stored.
func (db *DB) NewDirect(ctx context.Context, o DirectOptions) (*Direct, error) {
	d, err := newDirect(o, db.privacy)
	if err == nil {
		err = d.begin(ctx, db)
		close(d.opened)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// OpenDirect is a Direct whose store is opened beside what it is given meanwhile, which is
// a block or two; what it keeps of people is privacy, and not the store's. Where open fails,
// Write and Close return its error.
func OpenDirect(ctx context.Context, o DirectOptions, privacy Privacy, open func(context.Context) (*DB, error)) (*Direct, error) {
	d, err := newDirect(o, privacy)
	if err != nil {
		return nil, err
	}
	d.all.Go(func() {
		defer close(d.opened)
		db, err := open(ctx)
		if err == nil {
			err = d.begin(ctx, db)
		}
		d.fail(err)
	})
	return d, nil
}

func newDirect(o DirectOptions, privacy Privacy) (*Direct, error) {
	if o.Stream == "" {
		return nil, errors.New("store batches: their stream has no name")
	}
	if o.Parallel == 0 {
		o.Parallel = 2
	}
	return &Direct{stream: o.Stream, privacy: privacy, next: 1, opened: make(chan struct{}), slots: make(chan struct{}, o.Parallel)}, nil
}

func (d *Direct) begin(ctx context.Context, db *DB) error {
	var latest map[int]uint64
	err := db.patiently(ctx, "what of the replay is stored could not be asked; trying again", func(ctx context.Context) (err error) {
		latest, err = db.latest(ctx, d.stream)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %s", db.where, oneLine(err))
	}
	d.db, d.latest = db, latest[0]
	return nil
}

// DB waits for the store; nil where it could not be opened.
func (d *Direct) DB() *DB {
	<-d.opened
	return d.db
}

// Stored reports whether the store had some of the stream before.
func (d *Direct) Stored() bool {
	<-d.opened
	return d.latest > 0
}

// Write takes a batch and keeps nothing of it. It waits while Parallel blocks are
// being inserted. Not for concurrent use.
func (d *Direct) Write(ctx context.Context, b *schemas.Batch) error {
	if err := d.failed(); err != nil {
		return err
	}
	if d.span == nil {
		d.span = d.fresh()
	}
	d.span.add(d.next, b)
	d.next++
	if d.span.rows < directRows {
		return nil
	}
	return d.flush(ctx)
}

// Close stores the rest, waits until all is stored, and returns the first error: there is
// one only where the store could not be opened, or a ctx ended first.
func (d *Direct) Close(ctx context.Context) error {
	err := d.flush(ctx)
	d.all.Wait()
	if first := d.failed(); first != nil {
		return first
	}
	return err
}

func (d *Direct) flush(ctx context.Context) error {
	s := d.span
	if s == nil || s.empty() {
		return nil
	}
	d.span = nil
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := d.failed(); err != nil {
		return err
	}
	d.all.Go(func() {
		defer func() { <-d.slots }()
		db := d.DB()
		if db == nil {
			return
		}
		d.fail(db.store(ctx, s, s.first <= d.latest))
		s.reset()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.idle = append(d.idle, s)
	})
	return nil
}

// fail keeps the first error.
func (d *Direct) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = err
	}
}

func (d *Direct) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// fresh is a span that is not in use.
func (d *Direct) fresh() *span {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.idle); n > 0 {
		s := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return s
	}
	return newSpan(d.stream, 0, d.privacy)
}
