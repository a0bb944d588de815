package tail

import (
	"io"
	"sync"
)

// readAhead unpacks in a goroutine of its own, two blocks ahead of its reader.
type readAhead struct {
	full    chan block
	free    chan []byte
	done    chan struct{}
	once    sync.Once
	ended   sync.WaitGroup
	current block
	at      int
}

type block struct {
	data []byte
	err  error
}

func newReadAhead(source io.Reader) *readAhead {
	r := &readAhead{full: make(chan block), free: make(chan []byte, 3), done: make(chan struct{})}
	for range cap(r.free) {
		r.free <- make([]byte, blockSize)
	}
	r.ended.Go(func() { r.run(source) })
	return r
}

func (r *readAhead) run(source io.Reader) {
	for {
		var b block
		select {
		case b.data = <-r.free:
		case <-r.done:
			return
		}
		n := 0
		for n < blockSize && b.err == nil {
			var m int
			m, b.err = source.Read(b.data[n:blockSize])
			n += m
		}
		b.data = b.data[:n]
		select {
		case r.full <- b:
		case <-r.done:
			return
		}
		if b.err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (r *readAhead) Read(p []byte) (int, error) {
	for r.at == len(r.current.data) {
		if r.current.err != nil {
			return 0, r.current.err
		}
		if r.current.data != nil {
			r.free <- r.current.data[:blockSize]
		}
		r.current, r.at = <-r.full, 0
	}
	n := copy(p, r.current.data[r.at:])
	r.at += n
	return n, nil
}

// stop ends the goroutine. What it reads from must not block for ever.
func (r *readAhead) stop() {
	r.once.Do(func() { close(r.done) })
	r.ended.Wait()
}
