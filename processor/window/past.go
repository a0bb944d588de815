package window

const (
	tens       = 60 // steps of the long window
	six        = 6  // steps of the minute, and of a block
	blocks     = tens / six
	worthwhile = 256 << 10 // bytes of steps from which on blocks are merged beforehand
)

// past is the closed steps of one site, each in its binary form, at most 60 of them, and
// what has been merged of them so that a window need not be merged whole.
//
// Steps are numbered. Six whose first number is a multiple of six are a block. A busy
// site's blocks are kept merged, by two stacks (the queue of Okasaki; for windows
// Tangwongsan, Hirzel and Schneider, "In-Order Sliding-Window Aggregation in Worst-Case
// Constant Time", 2021): front has the merge of each block with all that follow it up to
// the flip, back that of all blocks since. Reading ten minutes then merges at most twelve
// pieces instead of 60. When front is used up, the blocks of back become a new front: the
// flip, once in ten minutes, at a step of the site's own. All of it happens when the window
// is read, so that one which nobody reads costs nothing; and where the steps are small it is
// not worth its memory, and they are merged one by one.
type past struct {
	steps  [tens]step
	first  int64 // number of the oldest step
	next   int64 // number of the next
	size   int   // bytes of steps
	minute Counts
	long   Counts

	block [blocks + 1]piece // merged blocks, by number
	front [blocks + 1]piece // block b and all after it, up to flip
	back  piece             // blocks from flip on
	flip  int64             // number of the first block that is not in front

	indexed int64 // number of the first block that is not merged yet
	merged  int   // bytes of all pieces
}

type step struct {
	end    int64 // the last second
	counts stepCounts
	data   kept // the pane; empty where nothing came or its sketches were dropped
	less   bool // they were
}

// piece is a merge of blocks in its binary form.
type piece struct {
	number int64 // of the block it begins with, plus 1; 0 is none
	data   kept
}

func (p *past) step(n int64) *step { return &p.steps[n%tens] }

// push adds a step that ended with a second, and drops those that are too old.
func (p *past) push(e *Estate, end int64, pane *Pane) {
	data := kept{}
	if !pane.Empty() {
		data = e.pack(pane)
	}
	p.add(e, step{end: end, counts: stepCountsOf(&pane.Counts), data: data})
}

// add adds a step.
func (p *past) add(e *Estate, s step) {
	p.expire(e, s.end)
	*p.step(p.next) = s
	e.used += s.data.bytes()
	e.added += int64(s.data.bytes())
	p.size += s.data.bytes()
	p.long.add(&s.counts)
	p.next++
	p.countMinute()
	p.bound(e)
}

// expire drops the steps that a step which ends with the second pushes out, and all that
// a gap made too old.
func (p *past) expire(e *Estate, end int64) {
	for p.first < p.next && (p.next-p.first >= tens || p.step(p.first).end <= end-tens*Short) {
		s := p.step(p.first)
		p.long.sub(&s.counts)
		p.drop(e, s)
		s.counts = stepCounts{}
		p.first++
	}
	if p.first == p.next { // nothing is left of before
		p.forget(e)
	}
}

// drop forgets a step's sketches.
func (p *past) drop(e *Estate, s *step) {
	e.used -= s.data.bytes()
	p.size -= s.data.bytes()
	e.shelf.drop(s.data)
	s.data = kept{}
}

// countMinute sums the last six steps. They are few: a difference is not worth it.
func (p *past) countMinute() {
	p.minute = Counts{}
	if p.first == p.next {
		return
	}
	end := p.step(p.next - 1).end
	for n := max(p.first, p.next-six); n < p.next; n++ {
		if s := p.step(n); s.end > end-six*Short {
			p.minute.add(&s.counts)
		}
	}
}

// bound keeps all sites within the estate's budget, at the cost of those who have more
// than their share: first what is merged goes, then the oldest sketches.
func (p *past) bound(e *Estate) {
	if e.used <= e.budget {
		return
	}
	share := e.share()
	if p.size+p.merged > share {
		p.forget(e)
	}
	for n := p.first; n < p.next-1 && p.size > share; n++ {
		if s := p.step(n); s.data.size > 0 {
			p.drop(e, s)
			s.less = true
		}
	}
}

// forget drops what is merged.
func (p *past) forget(e *Estate) {
	for i := range p.block {
		p.clear(e, &p.block[i])
		p.clear(e, &p.front[i])
	}
	p.clear(e, &p.back)
	p.flip, p.indexed = 0, 0
}

// index merges the blocks that ended since the window was last read, where that is worth it.
func (p *past) index(e *Estate) {
	if p.size < worthwhile || e.used > e.budget || p.indexed*six < p.first {
		if p.merged > 0 {
			p.forget(e)
		}
		if p.size < worthwhile || e.used > e.budget {
			return
		}
		p.indexed = (p.first + six - 1) / six
	}
	for i := range p.front { // what the window has left
		if f := &p.front[i]; f.number != 0 && (f.number-1)*six < p.first {
			p.clear(e, f)
		}
	}
	for ; p.indexed < p.next/six; p.indexed++ {
		if p.mergeNext(e, p.indexed); e.used > e.budget {
			p.forget(e)
			return
		}
	}
}

// mergeNext merges a block, and what is back with it.
func (p *past) mergeNext(e *Estate, b int64) {
	e.sum.Reset()
	p.mergeSteps(e, &e.sum, b*six, (b+1)*six)
	p.set(e, &p.block[b%(blocks+1)], b, &e.sum)
	if p.back.number == 0 {
		p.flip = b
		p.set(e, &p.back, b, &e.sum)
		return
	}
	p.merge(e, &e.sum, p.back.data)
	p.set(e, &p.back, p.back.number-1, &e.sum)
}

// set makes a piece of what is merged.
func (p *past) set(e *Estate, to *piece, number int64, merged *Pane) {
	p.clear(e, to)
	to.number, to.data = number+1, e.pack(merged)
	e.used += to.data.bytes()
	p.merged += to.data.bytes()
}

func (p *past) clear(e *Estate, piece *piece) {
	e.used -= piece.data.bytes()
	p.merged -= piece.data.bytes()
	e.shelf.drop(piece.data)
	piece.number, piece.data = 0, kept{}
}

// turn is the flip: the blocks from first on that are complete become a new front.
func (p *past) turn(e *Estate, first, end int64) {
	e.sum.Reset()
	for b := end - 1; b >= first; b-- {
		p.mergeBlock(e, &e.sum, b)
		p.set(e, &p.front[b%(blocks+1)], b, &e.sum)
		p.clear(e, &p.block[b%(blocks+1)])
	}
	p.flip = end
	p.clear(e, &p.back)
}

// mergeLong merges the whole window into an empty pane, and returns how many steps of it
// have their sketches.
func (p *past) mergeLong(e *Estate, into *Pane) (covered int) {
	p.index(e)
	begin := p.first
	for n := p.first; n < p.next; n++ {
		if !p.step(n).less {
			begin = n
			break
		}
	}
	covered = int(p.next - begin)
	first, end := (begin+six-1)/six, p.next/six
	if p.merged == 0 || first >= end {
		p.mergeSteps(e, into, begin, p.next)
		return covered
	}
	if p.back.number > 0 && first > p.flip {
		if p.turn(e, first, end); e.used > e.budget {
			p.forget(e)
			p.mergeSteps(e, into, begin, p.next)
			return covered
		}
	}
	p.mergeSteps(e, into, begin, first*six)
	if f := &p.front[first%(blocks+1)]; first < p.flip && f.number == first+1 {
		p.merge(e, into, f.data)
		first = p.flip
	}
	if p.back.number == first+1 {
		p.merge(e, into, p.back.data)
		first = end
	}
	for ; first < end; first++ {
		p.mergeBlock(e, into, first)
	}
	p.mergeSteps(e, into, end*six, p.next)
	return covered
}

// mergeMinute merges the last six steps, and returns how many have their sketches.
func (p *past) mergeMinute(e *Estate, into *Pane) (covered int) {
	if p.first == p.next {
		return 0
	}
	first, end := max(p.first, p.next-six), p.step(p.next-1).end
	for first < p.next && (p.step(first).end <= end-six*Short || p.step(first).less) {
		first++
	}
	p.mergeSteps(e, into, first, p.next)
	return int(p.next - first)
}

func (p *past) mergeBlock(e *Estate, into *Pane, b int64) {
	if block := &p.block[b%(blocks+1)]; block.number == b+1 {
		p.merge(e, into, block.data)
		return
	}
	p.mergeSteps(e, into, b*six, (b+1)*six)
}

func (p *past) mergeSteps(e *Estate, into *Pane, from, to int64) {
	for n := max(from, p.first); n < min(to, p.next); n++ {
		if s := p.step(n); s.data.size > 0 {
			p.merge(e, into, s.data)
		}
	}
}

// merge adds what pack wrote; it cannot be malformed.
func (p *past) merge(e *Estate, into *Pane, k kept) {
	if err := into.mergeTight(e.load(k)); err != nil {
		panic("window: its own pane is refused: " + err.Error())
	}
}
