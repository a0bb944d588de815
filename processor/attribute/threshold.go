package attribute

import (
	"cmp"
	"iter"
	"math"
)

// heldOut scores the held-out normal clients: by what they do, and by what they would have shown
// had the site failed them.
func (s *scorer) heldOut() (own, failing []scored) {
	return s.scoreAll(s.a.normalSample, s.a.normal, aNormal, heldOut)
}

// earlier does the same for all who came earlier: none of them was asked about signatures.
func (s *scorer) earlier() (own, failing []scored) {
	if e := s.a.earlier; e != nil {
		return s.scoreAll(e.sample, e.rows, anEarlier, func(uint64) bool { return true })
	}
	return nil, nil
}

func (s *scorer) scoreAll(sample *Sample, laid *matrix, by who, wanted func(id uint64) bool) (own, failing []scored) {
	people := sample.persons()
	for i, k := range s.a.conducts(sample, laid) {
		c := &sample.clients[i]
		if !k.visitor || !wanted(c.id) {
			continue
		}
		ownMay, failingMay := k.own.mayBeMeasured(), k.failing.mayBeMeasured()
		if !ownMay && !failingMay {
			continue
		}
		first := s.first(&sample.rows[c.head].traits, by)
		if ownMay {
			own = append(own, scored{client: c, person: people[i], score: first.score(s.ofConduct(k.own, by)), conduct: k.own})
		}
		if failingMay {
			failing = append(failing, scored{client: c, person: people[i], score: first.score(s.ofConduct(k.failing, by)), conduct: k.failing})
		}
	}
	return own, failing
}

// threshold is the score above which clients may be blocked within a budget, beside all that
// signatures block, and the bound of the share of people whom all blocks then touch; infinite
// where none may.
func (a *analysis) threshold(held []scored, with charge, share float64) (score, bound float64) {
	already := a.normal.clientsOf(with.rows)
	return a.highest(held, already, a.beside(already, a.normal.touched(with.rows, true), true), func(t touched) bool {
		return a.bound(t) <= share && a.shareOf(t)+a.doubted(with.doubt) <= share
	})
}

// softThreshold is the same for challenges, which have a budget of their own, each look anew: what
// signatures touch does not count, nor who is like those that were challenged before.
func (a *analysis) softThreshold(held []scored, with charge, share float64) (score, bound float64) {
	return a.highest(held, a.normal.clientsOf(with.rows), touched{}, func(t touched) bool {
		few := t.all == 0 && a.enoughHeld()
		return few || a.bound(t) <= softBound*share && a.shareOf(t) <= share
	})
}

// highest is the lowest threshold that a budget allows, the scores descending: whoever is above it
// and not touched already is touched then. It changes the order of held.
func (a *analysis) highest(held []scored, already map[uint64]bool, t touched, within func(touched) bool) (score, bound float64) {
	if !within(t) {
		return math.Inf(1), 1
	}
	for top := range descending(held) {
		more := t
		if !already[top.client.id] {
			more.add(top.person, top.client.fresh)
		}
		if !within(more) {
			return top.score, a.bound(t)
		}
		t = more
	}
	return math.Inf(-1), a.bound(t)
}

// higher is the order of scores, the highest first.
func higher(x, y scored) int {
	return cmp.Or(cmp.Compare(y.score, x.score), cmp.Compare(x.client.hash, y.client.hash))
}

// descending yields the scores in their order, the highest first, by a heap: of thousands the
// budget ends it after some.
func descending(list []scored) iter.Seq[scored] {
	return func(yield func(scored) bool) {
		for i := len(list)/2 - 1; i >= 0; i-- {
			sink(list, i)
		}
		for n := len(list); n > 0; n-- {
			if !yield(list[0]) {
				return
			}
			list[0], list[n-1] = list[n-1], list[0]
			sink(list[:n-1], 0)
		}
	}
}

// sink puts the scored at a place of the heap below those that are higher.
func sink(heap []scored, at int) {
	for {
		child := 2*at + 1
		if child >= len(heap) {
			return
		}
		if other := child + 1; other < len(heap) && higher(heap[other], heap[child]) < 0 {
			child = other
		}
		if higher(heap[child], heap[at]) >= 0 {
			return
		}
		heap[at], heap[child] = heap[child], heap[at]
		at = child
	}
}
