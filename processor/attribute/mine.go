package attribute

import (
	"math/bits"
	"slices"

	"github.com/weir-project/weir/schemas"
)

const (
	// maxItems and maxCandidates bound the work of one run.
	maxItems      = 160
	maxCandidates = 20_000
	// An item is core where it is in at least this share of the attack, at least
	// so much more often than in normal traffic. Every signature has one: what
	// merely appears during an attack, a new tool or a new page, shares nothing with it.
	coreShare = 0.15
	coreRatio = 1.5
)

// candidate is a conjunction with the suspect rows that it matches.
type candidate struct {
	items  []item
	rows   []uint64
	normal touched // clients of the choosing half
	share  float64 // of the normal requests
	gain   float64 // requests that it would stop, at the last look; only falls
}

// mine collects the conjunctions of up to three items that enough open suspect
// clients share and that hold a core item, level by level (apriori: Agrawal and
// Srikant 1994). A conjunction that no normal client of the choosing half shows is
// not extended: more traits would match less and spare nobody.
func (a *analysis) mine() {
	a.candidates, a.strong = nil, nil
	items := a.frequent()
	a.frequentItems = items
	a.findStrong(a.markCore(items))
	type node struct {
		items []item
		next  int // items before this index are done with
		rows  []uint64
	}
	open, named, bitmaps := make([]bool, len(items)), make([]bool, len(items)), make([][]uint64, len(items))
	for i, it := range items {
		bitmaps[i] = a.suspect.bitmap(it)
		open[i] = a.enough(bitmaps[i], bitmaps[i])
		_, named[i] = a.x.Name(it.trait, it.hash)
	}
	var room bitmapRoom
	var level []node
	for i, it := range items {
		if named[i] && open[i] {
			level = append(level, node{[]item{it}, i + 1, bitmaps[i]})
		}
	}
	for depth := 1; len(level) > 0; depth++ {
		var deeper []node
		for _, n := range level {
			c := a.weigh(n.items, n.rows)
			if c.normal.all > 0 && depth < 3 && len(deeper) < maxCandidates {
				for i := n.next; i < len(items); i++ {
					if !open[i] || !named[i] || items[i].trait == n.items[len(n.items)-1].trait || !a.enough(n.rows, bitmaps[i]) {
						continue
					}
					deeper = append(deeper, node{with(n.items, items[i]), i + 1, room.and(n.rows, bitmaps[i])})
				}
			}
			if c.normal.all <= a.tooMany() && a.hasCore(n.items) && len(a.candidates) < maxCandidates {
				a.candidates = append(a.candidates, c)
			}
		}
		level = deeper
	}
}

// frequent are the most frequent items of the suspects, in a fixed order. That an agent or a query's keys are
// known is none: it is nearly everybody's, and only doubles the conjunctions that are looked at.
func (a *analysis) frequent() []item {
	items := slices.DeleteFunc(a.suspect.items(minSupport), func(it item) bool {
		of, listed := schemas.ListedOf(it.trait)
		return listed && of != schemas.ListedPaths && it.hash != a.x.listed[of][isUnknown]
	})
	if len(items) > maxItems {
		support := make(map[item]float64, len(items))
		for _, it := range items {
			support[it] = a.suspect.requestsOf(it)
		}
		slices.SortStableFunc(items, func(x, y item) int {
			switch {
			case support[x] > support[y]:
				return -1
			case support[x] < support[y]:
				return 1
			}
			return 0
		})
		items = items[:maxItems]
		slices.SortFunc(items, compareItems)
	}
	return items
}

// markCore marks the core items and returns them in their order.
func (a *analysis) markCore(items []item) (core []item) {
	a.core = make(map[itemKey]bool)
	for _, it := range items {
		normal := a.normal.requestsOf(it) / max(a.normal.total, 1)
		attack := a.attackOf(a.suspect.requestsOf(it)/a.suspect.total, normal)
		if attack >= coreShare && attack >= coreRatio*normal {
			a.core[it.key()] = true
			core = append(core, it)
		}
	}
	return core
}

func (a *analysis) hasCore(items []item) bool {
	for _, it := range items {
		if a.core[it.key()] {
			return true
		}
	}
	return false
}

// tooMany is how many clients of the choosing half are out of the question.
func (a *analysis) tooMany() int { return a.tooManyOf(a.share) }

func (a *analysis) tooManyOf(share float64) int { return int(2*share*float64(a.choose0.all)) + 2 }

// weigh counts what the conjunction would stop and touch. Where it touches too many
// the rest is left out: it can only be narrowed.
func (a *analysis) weigh(items []item, rows []uint64) candidate {
	limit := a.tooMany()
	w := a.normal.weigh(items, limit, a.tooManyOf(max(a.budget.Collateral, a.budget.Soft)))
	c := candidate{items: items, rows: rows, normal: w.touched}
	if c.normal.all > limit {
		return c
	}
	c.share = w.requests / max(a.normal.total, 1)
	_, c.gain = a.suspect.countBoth(rows, a.open)
	return c
}

// enough reports whether what is open of the rows in both is worth a decision: enough
// clients, and the least share of the attack's requests. Both only fall as items
// are added, so that what has not enough need not be extended.
func (a *analysis) enough(rows, also []uint64) bool {
	last, clients, requests := int32(-1), 0, 0.0
	least := a.leastShare() * a.attackShare * a.suspect.total
	for w, word := range rows {
		word &= also[w] & a.open[w]
		for word != 0 {
			i := w*64 + bits.TrailingZeros64(word)
			word &= word - 1
			requests += a.suspect.weight[i]
			if a.suspect.owner[i] != last {
				last = a.suspect.owner[i]
				clients++
			}
			if clients >= minSupport && requests >= least {
				return true
			}
		}
	}
	return false
}

// with is a conjunction with another item.
func with(items []item, it item) []item {
	more := make([]item, len(items)+1)
	copy(more, items)
	more[len(items)] = it
	return more
}

// bitmapRoom is room for bitmaps, taken many at a time: there are thousands in one run.
type bitmapRoom struct{ free []uint64 }

// and is the bitmap of what is in both.
func (r *bitmapRoom) and(x, y []uint64) []uint64 {
	const many = 32
	if len(r.free) < len(x) {
		r.free = make([]uint64, many*len(x))
	}
	z := r.free[:len(x):len(x)]
	r.free = r.free[len(x):]
	for i := range x {
		z[i] = x[i] & y[i]
	}
	return z
}

func and(x, y []uint64) []uint64 {
	z := make([]uint64, len(x))
	for i := range x {
		z[i] = x[i] & y[i]
	}
	return z
}

func or(x, y []uint64) []uint64 {
	z := make([]uint64, len(x))
	for i := range x {
		z[i] = x[i] | y[i]
	}
	return z
}
