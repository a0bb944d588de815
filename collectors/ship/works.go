package ship

import (
	"context"

	"github.com/weir-project/weir/collectors/accesslog"
)

// Works is the memory that Ships work in: a piece of a log, and the batches made of
// it. The Ships of one process share it, so that what they hold at once does not grow
// with the number of sources, nor with how far they are behind.
type Works struct {
	free chan *bench
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

// Borrower is an Input that reads into memory that it is lent.
type Borrower interface {
	// Lend gives the memory that Next reads into from now on, and may replace by a
	// larger one. Its data is valid until the memory is lent to another.
	Lend(*[]byte)
}
