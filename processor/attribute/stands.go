package attribute

import "math"

const (
	// chance is how likely normal traffic alone may show a candidate as often as
	// it was seen, over all that are tried.
	chance = 1e-6
	// minRatio is the least lower bound of the risk ratio of what is blocked, softRatio of what is
	// challenged: that refuses nobody for good.
	minRatio, softRatio = 5, 3
	// unseenRatio is the same of what is blocked and none of many normal clients shows: of a flood's clients a hundredth are
	// few, and the bound of a share of which none was seen is wide.
	unseenRatio = 2
	// strongRatio is the same for a pair that others may narrow.
	strongRatio = 10
	// aloneShare and narrowShare are the least shares of the attack's requests that are
	// worth a decision: what stops less is more likely to be somebody else. That what stands alone is not, chance and
	// the ratio show, so that less will do: what a signature leaves of the attack is often some hundredths, each with a trait of its own.
	// softAlone is the same for what is challenged: many small parts of what was seen stop less of what comes than one score.
	aloneShare, softAlone, narrowShare = 0.005, 0.02, 0.01
	// falseShare is the share of a candidate's clients that may be normal ones.
	falseShare = 0.05
)

// stands reports whether the candidate's clients can hardly be normal ones. One
// that stands alone must be impossible by chance, and so much more frequent than
// among normal clients that the ratio's lower bound shows it. One that narrows what
// stands alone already (the attack's headers with one more agent) needs less: what
// it matches is the attack's unless proven otherwise, so it is enough that few of
// its clients are to be expected normal, while the held-out half bounds the cost.
func (a *analysis) stands(c *candidate, clients int) bool {
	attack := a.attackShare * a.suspect.total
	expected := a.normalClients * a.upper(c.normal.all)
	if c.gain >= a.leastAlone()*attack && poissonAtLeast(clients, expected) <= chance && a.ratio(clients, c.normal.all) >= a.leastRatio(c) {
		return true
	}
	mean := a.normalClients * (float64(c.normal.all) + 0.5) / float64(a.choose0.all+1)
	return c.gain >= narrowShare*attack && mean <= falseShare*float64(clients) && a.narrowsStrong(c)
}

// leastAlone is the least share of the attack's requests that what stands alone may stop.
func (a *analysis) leastAlone() float64 {
	if a.soft {
		return softAlone
	}
	return aloneShare
}

// leastShare is the same of whatever stands.
func (a *analysis) leastShare() float64 { return min(a.leastAlone(), narrowShare) }

func (a *analysis) leastRatio(c *candidate) float64 {
	switch {
	case a.soft:
		return softRatio
	case c.normal.all == 0 && !a.young:
		return unseenRatio
	}
	return minRatio
}

func (a *analysis) ratio(clients, normal int) float64 {
	return LowerRiskRatio(float64(clients), float64(len(a.suspect.clients)), float64(normal), float64(a.choose0.all))
}

// upper is UpperShare of the choosing half, kept: few counts occur, very often.
func (a *analysis) upper(x int) float64 {
	if x > a.choose0.all {
		return 1
	}
	known := &a.normal.uppers
	for len(*known) <= x {
		*known = append(*known, math.NaN())
	}
	if math.IsNaN((*known)[x]) {
		(*known)[x] = UpperShare(x, a.choose0.all)
	}
	return (*known)[x]
}

// strongPair is two core items that set most of their requests apart: the suspect
// rows that have both, and how many normal clients are expected among them.
type strongPair struct {
	rows     []uint64
	expected float64
}

// narrowsStrong reports whether nearly all that the candidate stops is within one
// strong pair, and the pair still has so many open clients that few of them can be
// normal. As the attack's rows are taken, what is left of the pair is more and more
// the normal clients that share its traits: then it says nothing any more.
func (a *analysis) narrowsStrong(c *candidate) bool {
	for _, pair := range a.strong {
		open := and(pair.rows, a.open)
		if _, within := a.suspect.countBoth(c.rows, open); within < keepShare*c.gain {
			continue
		}
		if clients, _ := a.suspect.count(open); pair.expected <= falseShare*float64(clients) {
			return true
		}
	}
	return false
}

// findStrong collects the strong pairs of core items: in much of the attack, and so
// rarely in normal traffic that what shows one now is mostly the attack's.
func (a *analysis) findStrong(core []item) {
	for i, x := range core {
		for _, y := range core[i+1:] {
			if x.trait == y.trait {
				continue
			}
			pair := []item{x, y}
			rows := a.suspect.match(pair)
			clients, requests := a.suspect.count(rows)
			if requests < coreShare*a.attackShare*a.suspect.total {
				continue
			}
			if normal := a.normal.pair(x, y); a.ratio(clients, normal) >= strongRatio {
				a.strong = append(a.strong, strongPair{rows, a.normalClients * a.upper(normal)})
			}
		}
	}
}
