package processor

import (
	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/window"
)

const (
	// paneClients bounds the clients of one pane's sample.
	paneClients = 512
	// partitionClients bounds those of one of several partitions.
	partitionClients = 256
	// paneServed bounds the paths that one pane says were served and not known.
	paneServed = 1024
)

// Pane is what a Counter saw of one site in one second: all that the Detector ever
// learns of these requests. Panes of the same site and second, of clients that no
// other of them has, merge in any order.
type Pane struct {
	Site   string
	Second int64 // unix seconds
	*window.Pane
	Sample *attribute.Sample // of its clients, with some of their requests
	Served []uint64          // keyed hashes of paths that were served and not known, some twice
	Found  found             // paths that were served and that are not known for sure
	People People            // who is to come through whatever is decided
}

// reset makes the pane an empty one of another second, and keeps its memory. Its sample
// begins at a level (see attribute.Sample.Begin).
func (p *Pane) reset(site string, second int64, level uint) {
	p.Site, p.Second = site, second
	p.Recycle()
	p.Limit()
	p.Served = p.Served[:0]
	if cap(p.Found.text) > 2*len(p.Found.text)+256 { // many are found at first, and then few
		p.Found = found{}
	}
	p.Found.reset()
	p.People.reset()
	p.Sample.Reset()
	p.Sample.Begin(level)
	p.Sample.SetPeriod(second / periodSeconds)
}

// nextLevel is the level at which the next pane's sample should begin, so that the
// panes of one step bring about twice the clients that a step keeps: more would be
// looked at and thrown away. One that comes for the whole step counts in ten panes.
func (p *Pane) nextLevel() uint {
	level, n := p.Sample.Level(), p.Sample.Len()
	for level > 0 && 2*n*stepSeconds <= 2*bucketClients {
		level, n = level-1, 2*n
	}
	for n*stepSeconds > 2*bucketClients {
		level, n = level+1, n/2
	}
	return level
}
