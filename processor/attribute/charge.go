package attribute

import (
	"github.com/weir-project/weir/schemas"
)

// charge is whom signatures touch: normal rows, and clients that none were seen to be.
type charge struct {
	rows  []uint64
	doubt float64
	open  []uint64 // suspect rows that they do not match
}

// charge measures the candidate on the held-out clients, together with all that
// was taken before, and takes it if the budget holds.
func (a *analysis) charge(c candidate) (Measure, bool) {
	signature, ok := a.signature(c.items)
	if !ok || a.refused(signature) || !a.soft && a.hurtBefore(signature, c.items) {
		return Measure{}, false
	}
	normal := a.normal.match(c.items)
	charged := or(a.charged, normal)
	own := a.normal.touched(normal, true)
	action, doubt, ok := a.action(c.items, c.rows, charged, normal)
	_, requests := a.suspect.countBoth(c.rows, a.open)
	if !ok || !a.earlier.allows(c.items, a.share, a.soft) || a.hurts(ofItems(c.items), c.rows) ||
		!a.worth(requests, a.shareOf(own), 1/max(a.calibrate0.people, 1)) {
		return Measure{}, false
	}
	share, of := a.bound(own), a.calibrate0.all
	if action == schemas.Block && share > a.share { // by what is known of others, too
		share, of = min(share, a.believed(doubt-a.doubt)), a.choose0.all+of
	}
	m := Measure{
		Action: action, Scope: schemas.ScopeSignature, Value: signature.String(), Signature: signature,
		Collateral: share, CollateralClients: of,
		CollateralPerHour: share * a.clientsPerHour(),
	}
	a.doubt = doubt
	a.chosen = append(a.chosen, chosen{c, signature, normal, requests})
	a.take(c.rows, normal)
	a.earlier.take(c.items)
	return m, true
}

// action is what may be done to the charged rows, if the budget allows anything, and the doubt
// about all of them. Too few held-out clients may certify no block. Where no normal client
// is touched it may be one all the same, see untouched; and where not even a challenge could be certified, what touches none of
// them may still ask for a proof of work, and harms nobody for good.
func (a *analysis) action(items []item, rows, charged, own []uint64) (action schemas.Action, doubt float64, ok bool) {
	all := a.normal.touched(charged, true)
	enough := a.enoughHeld()
	together := a.bound(all)
	doubt = a.doubt + a.doubtful(items, a.touchedBy(own))
	if a.soft {
		ok = a.expected(charged, 0) <= a.share && a.expected(charged, doubt) <= softDoubt*a.share && (together <= signatureBound*a.share || all.all == 0 && enough)
		return schemas.Challenge, doubt, ok
	}
	if together <= a.share && a.expected(charged, doubt) <= a.mayExpect() {
		return schemas.Block, doubt, true
	}
	if all.all > 0 || !enough || a.touchedBy(own) > 0 {
		return "", doubt, false
	}
	doubt, ok = a.untouched(items, rows)
	doubt += a.doubt
	return schemas.Block, doubt, ok && a.expected(charged, doubt) <= a.mayExpect()
}

// mayExpect is the share of people that may be expected to be touched by what blocks.
func (a *analysis) mayExpect() float64 {
	if a.choose0.all+a.calibrate0.all < fewClients {
		return expectedOfFew * a.share
	}
	return blockExpected * a.share
}

// bound is the worse of the upper bounds over all held-out clients and over those
// that were new: whoever comes for the first time has no cookie and no referer
// from the site, and looks most like a bot. The budget is in people, so that the
// new ones count by their share of them, and by half at the least.
func (a *analysis) bound(t touched) float64 { return a.boundOf(t, a.calibrate0) }

// boundOf is bound where so many were looked at.
func (a *analysis) boundOf(t, of touched) float64 {
	bound := UpperShare(t.all, of.all) * inPeople(t, of)
	if fresh := of.fresh; fresh >= enoughFresh {
		share := float64(fresh) / float64(of.all)
		bound = max(bound, max(share, 0.5)*UpperShare(t.fresh, fresh))
	}
	return min(1, bound)
}

// touchedBy is how many normal clients of both halves the rows are of.
func (a *analysis) touchedBy(rows []uint64) int {
	return a.normal.touched(rows, false).all + a.normal.touched(rows, true).all
}

// expected is the share of people to be expected among those whom the charged rows and so much doubt stand for.
func (a *analysis) expected(charged []uint64, doubt float64) float64 {
	people := a.normal.touched(charged, false).people + a.normal.touched(charged, true).people
	return people/max(a.choose0.people+a.calibrate0.people, 1) + a.doubted(doubt)
}

// doubted is the share of people that so much doubt stands for.
func (a *analysis) doubted(doubt float64) float64 {
	return doubt / float64(max(a.choose0.all+a.calibrate0.all, 1))
}

// shareOf is the share of the held-out people who are touched.
func (a *analysis) shareOf(t touched) float64 { return t.people / max(a.calibrate0.people, 1) }

// enoughHeld reports whether there are held-out clients enough for a decision on what none of them shows.
func (a *analysis) enoughHeld() bool { return 4*a.calibrate0.all >= 3*a.budget.MinClients }

func (a *analysis) clientsPerHour() float64 {
	if a.normalSample.Span <= 0 {
		return 0
	}
	return a.normalSample.Clients() / a.normalSample.Span.Hours()
}

func (a *analysis) refused(s schemas.Signature) bool {
	text := s.String()
	for _, r := range a.budget.Refused {
		if r.String() == text {
			return true
		}
	}
	for _, r := range a.budget.InForce {
		if r.String() == text {
			return true
		}
	}
	for _, r := range a.budget.Softly {
		if a.soft && r.String() == text {
			return true
		}
	}
	return false
}

const (
	// enoughFresh is how many new held-out clients are enough for a bound of their own.
	enoughFresh = 100
	// blockExpected is how much of Budget.Collateral, which is a bound, may be expected to be touched by what blocks, those who were seen and those
	// who are only doubted: 0.35 % of the people by default.
	blockExpected = 0.7
	// expectedOfFew is the same of a site that knows fewer than fewClients: what hardly any of so few show is not doubted enough (on the estate scorecard,
	// after half an hour, 13 of 1,830 and 13 of 2,055 people were blocked by what next to none of 1,239 and 1,754 clients showed). Of a site that knows
	// more it would cost some hundredths of the blocks and spare hardly anybody.
	expectedOfFew, fewClients = 0.4, 2500
)
