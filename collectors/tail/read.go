package tail

import (
	"context"
	"errors"
	"math"
	"sync"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// ring is how many chunks there are: one that the consumer has, one that waits
// for it and one that is being filled.
const ring = 3

// Read reads the inputs from beginning to end, merged by time, and gives them to
// yield chunk by chunk, in the calling goroutine, while the next chunks are
// parsed in another. What it yields depends on the inputs and the options alone.
//
// An input that cannot be opened, or is no log, is an error before the first
// chunk. One that breaks off (a broken gzip) is used up to there, and the error
// returned at the end, when everything else has been read. An error of yield and
// the end of ctx stop reading at once and are returned.
func Read(ctx context.Context, inputs []Input, o Options, yield func(*Chunk) error) (Stats, error) {
	p, err := newProducer(inputs, o)
	if err != nil {
		return Stats{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx) })

	for err == nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
			continue
		case c, more := <-p.full:
			if !more {
				running.Wait()
				return p.stats(), errors.Join(ctx.Err(), p.failed()) // it stops by ctx, too
			}
			if err = yield(&c.Chunk); err == nil {
				p.free <- c
			}
		}
	}
	cancel()
	if p.blocks { // a read of standard input or a pipe may never end
		return Stats{}, err
	}
	running.Wait()
	return p.stats(), err
}

// producer parses the inputs into chunks.
type producer struct {
	sources []*source
	queue   merge
	rows    int
	blocks  bool
	full    chan *chunk
	free    chan *chunk
}

type chunk struct {
	Chunk
	builder *schemas.Builder
}

func newProducer(inputs []Input, o Options) (*producer, error) {
	p := &producer{rows: o.Rows, full: make(chan *chunk, 1), free: make(chan *chunk, ring)}
	if p.rows <= 0 || p.rows > schemas.MaxRows {
		p.rows = 4096
	}
	for range ring {
		p.free <- &chunk{builder: schemas.NewBuilder(o.Edge, "replay")}
	}
	var failed []error
	for i, input := range inputs {
		s, err := openSource(i, input, &o)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		s.alone = len(inputs) == 1
		p.sources = append(p.sources, s)
		if o.Progress != nil {
			o.Progress.Total.Add(s.in.size)
		}
		p.blocks = p.blocks || s.in.size == 0
	}
	if failed != nil {
		p.close()
		return nil, errors.Join(failed...)
	}
	return p, nil
}

func (p *producer) close() {
	for _, s := range p.sources {
		s.in.close()
	}
}

func (p *producer) run(ctx context.Context) {
	defer close(p.full)
	defer p.close()
	for _, s := range p.sources {
		if s.advance() {
			p.queue.push(s)
		}
	}
	for number := uint64(1); len(p.queue) > 0; number++ {
		var c *chunk
		select {
		case c = <-p.free:
		case <-ctx.Done():
			return
		}
		p.fill(c)
		c.Batch.Number = number
		select {
		case p.full <- c:
		case <-ctx.Done():
			return
		}
	}
}

// fill puts lines into a chunk until it is full or there are no more.
func (p *producer) fill(c *chunk) {
	b := c.builder
	b.Reset()
	c.Lines, c.Shifts = c.Lines[:0], c.Shifts[:0]
	watermark := int64(math.MinInt64)
	for len(p.queue) > 0 && b.Len() < p.rows && len(c.Lines) < 2*p.rows {
		s := p.queue[0]
		line := Line{File: s.index, Number: s.stats.Lines, Row: -1, Reason: s.reason}
		if s.reason == accesslog.None {
			if !b.Fits(&s.request) {
				break
			}
			line.Row = b.Len()
			b.Append(&s.request)
			if !s.alone {
				c.Shifts = append(c.Shifts, s.moment(s.request.Time)-s.request.Time)
			}
		}
		c.Lines = append(c.Lines, line)
		watermark = s.key
		p.queue.next()
	}
	c.Batch = b.Batch()
	c.Batch.Watermark = max(watermark, 0)
}

func (p *producer) stats() Stats {
	stats := Stats{Files: make([]FileStats, len(p.sources))}
	for i, s := range p.sources {
		stats.Files[i] = s.stats
	}
	return stats
}

func (p *producer) failed() error {
	var failed []error
	for _, s := range p.sources {
		if s.failed != nil {
			failed = append(failed, s.failed)
		}
	}
	return errors.Join(failed...)
}
