package attribute

import (
	"github.com/weir-project/weir/schemas"
)

// Recalled is what armed signatures come to in the traffic of now.
type Recalled struct {
	Measures []Measure
	// Share is the part of what is beyond normal that the measures match, 0 to 1; Clients
	// are the clients of it.
	Share   float64
	Clients int
}

// Recall proposes, of signatures that stopped an attack before, those that its return shows
// again, in the order given: each must match clients that can hardly be normal ones, and
// all together touch no more of the present normal clients than the budget allows. It
// mines nothing, so that seconds of traffic are enough.
func Recall(normal, suspect *Sample, armed []schemas.Signature, budget Budget) (r Recalled) {
	budget = budget.withDefaults()
	if normal.Distinct() < budget.MinClients || suspect.Len() < minSupport {
		return r
	}
	a := newAnalysis(normal, suspect, budget)
	if a.attackShare < minAttackShare || len(a.suspect.rows) == 0 {
		return r
	}
	a.cover(budget.InForce)
	clients, before := a.suspect.count(a.open)
	rest := armed
	if !budget.Browsers {
		rest = a.recall(armed, &r)
	}
	a.share, a.soft = budget.Soft, true
	a.cover(budget.Softly)
	a.coverScores(budget.Scores)
	a.recall(rest, &r)
	left, after := a.suspect.count(a.open)
	r.Share = min(1, (before-after)/max(a.attackShare*a.suspect.total, 1))
	r.Clients = clients - left
	a.settle(r.Measures)
	a.tellTogether(r.Measures)
	return r
}

// recall takes those that hold up, and returns the rest.
func (a *analysis) recall(armed []schemas.Signature, r *Recalled) (rest []schemas.Signature) {
	for _, s := range armed {
		items := a.items(s)
		c := a.weigh(items, a.suspect.match(items))
		clients, gain := a.suspect.countBoth(c.rows, a.open)
		if c.gain = gain; clients < minSupport || len(r.Measures) >= a.budget.MaxMeasures ||
			poissonAtLeast(clients, a.normalClients*a.upper(c.normal.all)) > chance {
			continue
		}
		m, ok := a.charge(c)
		if !ok {
			rest = append(rest, s)
			continue
		}
		r.Measures = append(r.Measures, m)
	}
	return rest
}

// Together is the upper bound of the share of people that signatures touch together: the
// present normal clients are asked, those that are held out. suspect says which traits
// the traffic of now carries, paths which paths are known.
func Together(normal, suspect *Sample, signatures []schemas.Signature, paths *Resolver) float64 {
	if len(signatures) == 0 {
		return 0
	}
	a := newAnalysis(normal, suspect, Budget{Paths: paths}.withDefaults())
	a.cover(signatures)
	return a.bound(a.normal.touched(a.charged, true))
}

// Fits reports whether signatures in force touch together no more of the present normal clients
// than a budget allows. Where they touch none of those that are held out, it does not matter how
// few there are: whether they are enough was asked when each signature was taken.
func Fits(normal, suspect *Sample, signatures []schemas.Signature, budget Budget) bool {
	if len(signatures) == 0 {
		return true
	}
	budget = budget.withDefaults()
	a := newAnalysis(normal, suspect, budget)
	a.cover(signatures)
	touched := a.normal.touched(a.charged, true)
	return touched.all == 0 || a.bound(touched) <= budget.Collateral
}

// FitsSoftly is Fits of challenges and throttles in force beside what blocks: the signatures softly and the scores. What
// only asks is held by the share of people who are touched, its bound may be as many times as much as when it was taken, and it does
// not matter of which half they are who bound it: scores were asked of both.
func FitsSoftly(normal, suspect *Sample, blocks, softly []schemas.Signature, scores []ScoreInForce, budget Budget) bool {
	if len(softly)+len(scores) == 0 {
		return true
	}
	budget = budget.withDefaults()
	a := newAnalysis(normal, suspect, budget)
	a.cover(blocks)
	a.cover(softly)
	a.coverScores(scores)
	held, all := a.normal.touched(a.charged, true), a.touchedAll(a.charged)
	bound, times := min(a.bound(held), a.boundOf(all, a.everybody())), float64(softBound)
	if len(softly) > 0 {
		times = signatureBound
	}
	return held.all == 0 || a.expected(a.charged, 0) <= budget.Soft && bound <= times*budget.Soft
}

// LowerCount is the one-sided lower 95 % bound of the mean of a Poisson count of which x
// were seen (Garwood 1936).
func LowerCount(x int) float64 {
	low, high := 0.0, float64(x)
	for range 50 {
		if mean := (low + high) / 2; poissonAtLeast(x, mean) > 1-confidence {
			high = mean
		} else {
			low = mean
		}
	}
	return low
}

// LowerShare is the one-sided lower 95 % bound of a share, as UpperShare is the upper; 0
// where nothing was looked at.
func LowerShare(x, n int) float64 {
	if n <= 0 {
		return 0
	}
	return 1 - UpperShare(n-x, n)
}
