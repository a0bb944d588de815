package ship

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// Works is the memory that Ships work in: a piece of a log, the batches made of it, and
// the stacks of what is done to them. The Ships of one process share it, so that what they
// hold at once does not grow with the number of sources, nor with how far they are behind.
type Works struct {
	free    chan *bench
	turns   chan struct{}       // taken by what looks, packs and journals
	places  *semaphore.Weighted // messages with rows on their way to the stream
	beating *semaphore.Weighted // those without
	small   *semaphore.Weighted // bytes of messages that have left their bench
	ships   atomic.Int64        // that run

	mu    sync.Mutex
	beats schemas.BatchEncoder
}

// Bounds of what is done at once.
const (
	turns   = 8
	places  = 96
	beating = 64

	maxSmall = 64 << 10 // bytes of a shipment that leaves its bench before it is published
	allSmall = 2 << 20  // of all such
)

// NewWorks makes so many benches; 0 is 2. A Ship that is behind uses two, to make
// batches on one while those on the other are published.
func NewWorks(benches int) *Works {
	if benches <= 0 {
		benches = 2
	}
	w := &Works{
		free: make(chan *bench, benches), turns: make(chan struct{}, turns),
		places: semaphore.NewWeighted(places), beating: semaphore.NewWeighted(beating), small: semaphore.NewWeighted(allSmall),
	}
	for range benches {
		w.free <- &bench{pack: newPacker()}
	}
	return w
}

// do runs f when it is its turn, and waits for it. It runs on a stack that is given back
// after it: a thousand logs that wait would keep each its own, as deep as looking, packing
// and journaling once made it.
func (w *Works) do(f func() error) error {
	w.turns <- struct{}{}
	done := make(chan error, 1)
	go func() { done <- f() }()
	err := <-done
	<-w.turns
	return err
}

// send runs f, which publishes, on a stack of its own, once there is a place for it; after
// it, ended is called. The error is ctx's, and then f has not run.
func (w *Works) send(ctx context.Context, f, ended func()) error {
	if err := w.places.Acquire(ctx, 1); err != nil {
		return err
	}
	go func() {
		defer ended()
		f()
		w.places.Release(1)
	}()
	return nil
}

// bench is what one piece is worked on with.
type bench struct {
	buffer []byte // of an input that borrows it
	pack   *packer
}

// take waits for a bench. The error is ctx's.
func (w *Works) take(ctx context.Context) (*bench, error) {
	select {
	case b := <-w.free:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// spare is a bench that nobody uses, nil where there is none.
func (w *Works) spare() *bench {
	select {
	case b := <-w.free:
		return b
	default:
		return nil
	}
}

// keptBuffer is how much of a buffer is kept, in bytes: a line longer than any
// ordinary piece is rare.
const keptBuffer = 2*accesslog.MaxLine + 1

func (w *Works) put(b *bench) {
	if cap(b.buffer) > keptBuffer {
		b.buffer = nil
	}
	w.free <- b
}

// Of watermarks of partitions to which nothing else goes so many are sent in a second at
// most, by as many Ships as there be, as long as each has one in maxBeat.
const (
	beatsPerSecond = 1000
	maxBeat        = 10 * time.Second
)

// idleBeat is how often each Ship sends such a one.
func (w *Works) idleBeat() time.Duration {
	return min(maxBeat, time.Duration(w.ships.Load())*schemas.Partitions*time.Second/beatsPerSecond)
}

// beat makes messages of watermarks alone, for a set of partitions. They have neither number
// nor id, so that they need no journal: one that arrives twice says nothing new. Nor do they
// need a bench: a thousand logs that are idle must not be in the way of those that are not.
func (w *Works) beat(o *Options, partitions uint, watermark int64) (messages []message, memory []byte, err error) {
	empty := schemas.Batch{Version: schemas.BatchVersion, Edge: o.Edge, Source: o.Source, Watermark: watermark}
	w.mu.Lock()
	memory, err = w.beats.Encode(nil, &empty)
	w.mu.Unlock()
	if err != nil {
		return nil, nil, fmt.Errorf("ship %s: %w", o.Source, err)
	}
	for p := range schemas.Partitions {
		if partitions&(1<<p) != 0 {
			messages = append(messages, message{p, "", 0, len(memory)})
		}
	}
	return messages, memory, nil
}

// Borrower is an Input that reads into memory that it is lent.
type Borrower interface {
	// Lend gives the memory that Next reads into from now on, and may replace by a
	// larger one. Its data is valid until the memory is lent to another.
	Lend(*[]byte)
}
