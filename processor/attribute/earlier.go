package attribute

import (
	"math"

	"github.com/weir-project/weir/schemas"
)

// earlier are those of Budget.Earlier who were served: as much people as normal clients are, and more like
// those who come now. nil has nobody, and allows everything.
type earlier struct {
	sample  *Sample
	rows    *matrix
	clients int
	charged []uint64 // rows that a measure matches already
}

func newEarlier(sample *Sample, known [schemas.NumTraits]bool, paths *Resolver) *earlier {
	if sample == nil {
		return nil
	}
	e := &earlier{sample: sample, rows: newMatrix(sample, known, paths, true)}
	choose, calibrate := e.rows.halves()
	if e.clients = choose.all + calibrate.all; e.clients < minSupport {
		return nil
	}
	e.charged = make([]uint64, e.rows.words)
	return e
}

// take charges what a signature matches.
func (e *earlier) take(items []item) {
	if e != nil {
		e.charged = or(e.charged, e.rows.match(items))
	}
}

// takeRows charges what a rule matches.
func (e *earlier) takeRows(match matcher) {
	if e != nil {
		e.charged = or(e.charged, e.rows.matchBy(match))
	}
}

// allows reports whether a signature touches, with those before it, no more of them than a share. They
// are held out: no signature was made for them.
func (e *earlier) allows(items []item, share float64, soft bool) bool {
	if e == nil {
		return true
	}
	rows := or(e.charged, e.rows.match(items))
	return e.within(e.rows.touched(rows, false).all+e.rows.touched(rows, true).all, share, soft)
}

// within reports whether so many of them may be touched within a budget. A block is to be certified; of
// what is no block some doubt may remain, and where they are few none of them may be touched.
func (e *earlier) within(touched int, share float64, soft bool) bool {
	bound := UpperShare(touched, e.clients)
	if !soft {
		return bound <= share
	}
	return touched == 0 || bound <= softBound*share && float64(touched) <= share*float64(e.clients)
}

// guests are those who do not pretend to be browsers; of nobody none.
func (e *earlier) guests() map[uint64]bool {
	if e == nil {
		return nil
	}
	return e.sample.Guests()
}

// weigh is how much each of them counts beside normal clients, so that together they are at least as
// many: of who comes now that is no bot they are most.
func (e *earlier) weigh(normal float64) float64 { return max(1, normal/float64(e.clients)) }

// threshold is the score above which no more of them are than a share; infinite where none may be.
func (e *earlier) threshold(held []scored, share float64, soft bool) float64 {
	if e == nil {
		return math.Inf(-1)
	}
	if !e.within(0, share, soft) {
		return math.Inf(1)
	}
	n := 0
	for top := range descending(held) {
		if n++; !e.within(n, share, soft) {
			return top.score
		}
	}
	return math.Inf(-1)
}
