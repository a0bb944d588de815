package attribute

import (
	"slices"

	"github.com/weir-project/weir/schemas"
)

const (
	// maxRefused is how often the held-out clients may refuse before no more is tried: who asks
	// for ever finds what they do not show by luck.
	maxRefused = 64
	// keepShare: a further trait that keeps so much of what a signature stops makes
	// it safer for nothing.
	keepShare = 0.98
	// mostFor is how many times the share of the attack that it stops a measure may cost of the budget. What
	// stops a fortieth of an attack for half of all the people who may be touched is a poor bargain, and leaves
	// nothing for what is a better one later.
	mostFor = 5
)

// choose takes candidates greedily: each time the one that stops most of what is
// still open, for the normal clients of the choosing half that it touches; then it
// is charged on the held-out half. A greedy cover is within 1-1/e of the best
// (Nemhauser, Wolsey and Fisher 1978).
func (a *analysis) choose(measures []Measure) []Measure {
	refused := make(map[reach]bool)
	for len(refused) < maxRefused && len(measures) < a.budget.MaxMeasures {
		best := a.best()
		if best < 0 {
			break
		}
		c := a.candidates[best]
		a.candidates = slices.Delete(a.candidates, best, best+1)
		of := reach{c.gain, a.touchedBy(a.normal.match(c.items))}
		if refused[of] { // the same with other words
			continue
		}
		m, ok := a.charge(a.specialise(c))
		if !ok {
			refused[of] = true
			a.narrow(c)
			continue
		}
		measures = append(measures, m)
	}
	return measures
}

// reach is what a candidate stops and touches. Two that are alike in both are the same rows, said
// with other traits.
type reach struct {
	gain    float64
	touched int
}

// chosen is what a measure was made of.
type chosen struct {
	candidate
	signature schemas.Signature
	normal    []uint64
	requests  float64 // that no measure before it matched
}

// settle says what the measures stop once all are known. The attack's share of the
// observed requests was a lower bound; what the measures match together is a better
// one, and no part is more than the whole.
func (a *analysis) settle(measures []Measure) {
	_, open := a.suspect.count(a.open)
	a.attackShare = max(a.attackShare, 1-open/max(a.suspect.total, 1))
	a.normalShare = 1 - a.attackShare
	for i := range measures {
		c := &a.chosen[i]
		measures[i].Stops = min(1, c.requests/(a.attackShare*a.suspect.total))
		measures[i].Evidence = a.evidence(c.signature, c.candidate, c.normal)
	}
}

// narrow puts in place of a candidate that the held-out clients refused those with
// one more item.
func (a *analysis) narrow(c candidate) {
	if len(c.items) == schemas.MaxSignatureTraits {
		return
	}
	for _, it := range a.frequentItems {
		if len(a.candidates) >= maxCandidates || slices.ContainsFunc(c.items, func(x item) bool { return x.trait == it.trait }) {
			continue
		}
		if bitmap := a.suspect.bitmap(it); a.enough(c.rows, bitmap) {
			if n := a.weigh(append(slices.Clone(c.items), it), and(c.rows, bitmap)); n.normal.all <= a.tooMany() {
				a.candidates = append(a.candidates, n)
			}
		}
	}
}

// best is the index of the candidate to take next, or negative. Gains only fall as
// rows are taken, so candidates are kept by their last gain and few are looked at
// again (lazy greedy: Minoux 1978).
func (a *analysis) best() int {
	slices.SortStableFunc(a.candidates, func(x, y candidate) int {
		switch {
		case x.gain > y.gain:
			return -1
		case x.gain < y.gain:
			return 1
		}
		return 0
	})
	best, score := -1, 0.0
	for i := range a.candidates {
		c := &a.candidates[i]
		if c.gain <= score || c.gain < minSupport {
			break
		}
		var clients int
		clients, c.gain = a.suspect.countBoth(c.rows, a.open)
		if clients < minSupport || !a.worth(c.gain, c.normal.people/max(a.choose0.people, 1), 1/max(a.choose0.people, 1)) || !a.stands(c, clients) {
			continue
		}
		if s := a.score(c); s > score {
			best, score = i, s
		}
	}
	return best
}

// worth reports whether what is gained is worth the share of people that it costs, from which so much is let off
// because people come whole: of the budget a measure may spend no more than mostFor times the share of the attack
// that it stops and nothing else does.
func (a *analysis) worth(gain, people, whole float64) bool {
	return people-whole <= mostFor*a.share*gain/max(a.attackShare*a.suspect.total, 1)
}

// score is the attack's requests that the candidate stops, less for every normal
// client touched: none are left when the budget is spent on it alone.
func (a *analysis) score(c *candidate) float64 {
	stopped := c.gain - a.normalShare*c.share*a.suspect.total
	spend := a.share * max(a.choose0.people, 1)
	return stopped * (1 - c.normal.people/(spend+1))
}

// specialise adds items that nearly all of the open rows of the candidate have, up
// to three, those first that spare most normal clients.
func (a *analysis) specialise(c candidate) candidate {
	for len(c.items) < schemas.MaxSignatureTraits {
		open := and(c.rows, a.open)
		_, gain := a.suspect.count(open)
		best, found, bestShare := candidate{}, false, 2.0
		for _, it := range a.sharedItems(open) {
			if slices.ContainsFunc(c.items, func(x item) bool { return x.trait == it.trait }) {
				continue
			}
			rows := and(c.rows, a.suspect.bitmap(it))
			if _, kept := a.suspect.countBoth(rows, a.open); kept < keepShare*gain {
				continue
			}
			if _, named := a.x.Name(it.trait, it.hash); !named {
				continue
			}
			// The rarer the item is in normal traffic, the fewer strangers match.
			if share := a.normal.requestsOf(it) / max(a.normal.total, 1); share < bestShare {
				best, found, bestShare = a.weigh(append(slices.Clone(c.items), it), rows), true, share
			}
		}
		if !found {
			return c
		}
		c = best
	}
	return c
}

// sharedItems are the items of the first open row: whatever nearly all rows have,
// the first has, or almost surely the second.
func (a *analysis) sharedItems(open []uint64) []item {
	var items []item
	seen := 0
	for i := range a.suspect.rows {
		if open[i/64]>>(i%64)&1 == 0 {
			continue
		}
		for t, hash := range a.suspect.rows[i] {
			it := item{schemas.Trait(t), hash}
			if hash != 0 && !slices.Contains(items, it) {
				items = append(items, it)
			}
		}
		if seen++; seen == 3 {
			break
		}
	}
	return items
}
