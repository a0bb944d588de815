package ship

import (
	"context"
	"fmt"
	"sync"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// Works is the memory that Ships work in: a piece of a log, and the batches made of
// it. The Ships of one process share it, so that what they hold at once does not grow
// with the number of sources, nor with how far they are behind.
type Works struct {
	free chan *bench

	mu    sync.Mutex
	beats schemas.BatchEncoder
}

// NewWorks makes so many benches; 0 is 2. A Ship that is behind uses two, to make
// batches on one while those on the other are published.
func NewWorks(benches int) *Works {
	if benches <= 0 {
		benches = 2
	}
	w := &Works{free: make(chan *bench, benches)}
	for range benches {
		w.free <- &bench{pack: newPacker()}
	}
	return w
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
