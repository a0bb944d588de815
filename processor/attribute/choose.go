package attribute

import (
	"math"
	"slices"

	"github.com/weir-project/weir/schemas"
)

const (
	// chance is how likely normal traffic alone may show a candidate as often as
	// it was seen, over all that are tried.
	chance = 1e-6
	// minRatio is the least lower bound of the risk ratio of what is blocked, softRatio of what is
	// challenged: that refuses nobody for good.
	minRatio, softRatio = 5, 3
	// strongRatio is the same for a pair that others may narrow.
	strongRatio = 10
	// aloneShare and narrowShare are the least shares of the attack's requests that are
	// worth a decision: what stops less is more likely to be somebody else.
	aloneShare, narrowShare = 0.02, 0.01
	// falseShare is the share of a candidate's clients that may be normal ones.
	falseShare = 0.05
	// maxRefused is how often the held-out clients may refuse before no more is tried: who asks
	// for ever finds what they do not show by luck.
	maxRefused = 64
	// keepShare: a further trait that keeps so much of what a signature stops makes
	// it safer for nothing.
	keepShare = 0.98
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
		open := and(c.rows, a.open)
		var clients int
		clients, c.gain = a.suspect.count(open)
		if clients < minSupport || !a.stands(c, clients) {
			continue
		}
		if s := a.score(c); s > score {
			best, score = i, s
		}
	}
	return best
}

// score is the attack's requests that the candidate stops, less for every normal
// client touched: none are left when the budget is spent on it alone.
func (a *analysis) score(c *candidate) float64 {
	stopped := c.gain - a.normalShare*c.share*a.suspect.total
	spend := a.share * float64(max(a.choose0.all, 1))
	return stopped * (1 - float64(c.normal.all)/(spend+1))
}

// stands reports whether the candidate's clients can hardly be normal ones. One
// that stands alone must be impossible by chance, and so much more frequent than
// among normal clients that the ratio's lower bound shows it. One that narrows what
// stands alone already (the attack's headers with one more agent) needs less: what
// it matches is the attack's unless proven otherwise, so it is enough that few of
// its clients are to be expected normal, while the held-out half bounds the cost.
func (a *analysis) stands(c *candidate, clients int) bool {
	attack := a.attackShare * a.suspect.total
	expected := a.normalClients * a.upper(c.normal.all)
	if c.gain >= aloneShare*attack && poissonAtLeast(clients, expected) <= chance && a.ratio(clients, c.normal.all) >= a.leastRatio() {
		return true
	}
	mean := a.normalClients * (float64(c.normal.all) + 0.5) / float64(a.choose0.all+1)
	return c.gain >= narrowShare*attack && mean <= falseShare*float64(clients) && a.narrowsStrong(c)
}

func (a *analysis) leastRatio() float64 {
	if a.soft {
		return softRatio
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
		if _, within := a.suspect.count(and(c.rows, open)); within < keepShare*c.gain {
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
			if _, kept := a.suspect.count(and(rows, a.open)); kept < keepShare*gain {
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

// charge measures the candidate on the held-out clients, together with all that
// was taken before, and takes it if the budget holds.
func (a *analysis) charge(c candidate) (Measure, bool) {
	signature, ok := a.signature(c.items)
	if !ok || a.refused(signature) {
		return Measure{}, false
	}
	normal := a.normal.match(c.items)
	charged := or(a.charged, normal)
	own := a.normal.touched(normal, true)
	action, doubt, ok := a.action(c.items, c.rows, charged, normal)
	if !ok {
		return Measure{}, false
	}
	_, requests := a.suspect.count(and(c.rows, a.open))
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
		ok = a.expected(charged, doubt) <= a.share && (together <= softBound*a.share || all.all == 0 && enough)
		return schemas.Challenge, doubt, ok
	}
	if together <= a.share && a.expected(charged, doubt) <= a.share {
		return schemas.Block, doubt, true
	}
	if all.all > 0 || !enough || a.touchedBy(own) > 0 {
		return "", doubt, false
	}
	doubt, ok = a.untouched(items, rows)
	doubt += a.doubt
	return schemas.Block, doubt, ok && a.expected(charged, doubt) <= a.share
}

// untouched reports whether what no normal client shows may be blocked though they are too few to
// certify that, and what doubt remains: where the estate's other sites have visitors enough, and none is
// that; or where what is known of programs everywhere makes it unlikely enough.
func (a *analysis) untouched(items []item, rows []uint64) (doubt float64, ok bool) {
	asked, somebody := a.elsewhere(items)
	switch {
	case somebody:
		return 0, false
	case UpperShare(0, asked) <= a.budget.Collateral:
		return leastDoubt, true
	}
	doubt = a.doubtful(items, 0)
	return doubt, a.young && a.believed(doubt) <= a.budget.Collateral && !a.strangeAgent(items) && !a.machines(rows)
}

// believed is the upper 95 % bound of the share of people whom a signature touches that no normal client
// shows, where so many of them are to be expected.
func (a *analysis) believed(doubt float64) float64 {
	return min(1, upperCount(doubt)/float64(max(a.choose0.all+a.calibrate0.all, 1)))
}

// bound is the worse of the upper bounds over all held-out clients and over those
// that were new: whoever comes for the first time has no cookie and no referer
// from the site, and looks most like a bot. The budget is in people, so that the
// new ones count by their share of them, and by half at the least.
func (a *analysis) bound(t touched) float64 {
	bound := UpperShare(t.all, a.calibrate0.all)
	if fresh := a.calibrate0.fresh; fresh >= enoughFresh {
		share := float64(fresh) / float64(a.calibrate0.all)
		bound = max(bound, max(share, 0.5)*UpperShare(t.fresh, fresh))
	}
	return bound
}

// doubtful is what a signature costs beside the normal clients that were seen to show it
// (x of them): as many as its traits by themselves would have led to expect. What no client of
// some hundreds has shown may be impossible (a browser's agent with a tool's encodings)
// or just rare (a frequent agent with a frequent language on a page that few ask for), and a
// list of a hundred rare ones is people. The held-out clients cannot tell: each of them
// was asked whether to take a signature, so that the list fits them. Where so few can be no
// luck, however many signatures were tried, it is taken for impossible. A young site's few tell
// neither: for it, what was found of programs elsewhere tells.
func (a *analysis) doubtful(items []item, x int) float64 {
	n := float64(a.choose0.all + a.calibrate0.all)
	expected := n
	for _, it := range items {
		expected *= float64(a.normal.shownBy(it)) / max(n, 1)
	}
	if a.young && x == 0 && !a.soft {
		return max(a.expectedYoung(items), oddPair) + leastDoubt
	}
	if poissonAtMost(x, expected) < noLuck {
		return 1
	}
	return max(expected-float64(x), 0) + leastDoubt
}

// expectedYoung is how many clients of a young site are to be expected to show the items, which none does: those
// who have the program that the items are of, or as few as have what no program is, as far as they ask for
// what the others say. The protocol is no program's own: a company's proxy speaks another for all browsers.
func (a *analysis) expectedYoung(items []item) float64 {
	n := float64(max(a.choose0.all+a.calibrate0.all, 1))
	var program []item
	others, apart := 1.0, n
	for _, it := range items {
		share := float64(a.normal.shownBy(it)) / n
		if it.trait == schemas.TraitAgentFamily || it.trait != schemas.TraitProtocol && slices.Contains(profileTraits[:], it.trait) {
			program, apart = append(program, it), apart*share
			continue
		}
		others *= share
	}
	if len(program) == 0 {
		return n * others
	}
	seen := float64(a.touchedBy(a.normal.match(program)))
	if seen == 0 {
		seen = min(apart, oddPair)
	}
	return seen * others
}

// strangeAgent reports whether an item is an agent that no normal client has: there are so many that
// visitors' own are missed among a few hundred.
func (a *analysis) strangeAgent(items []item) bool {
	return slices.ContainsFunc(items, func(it item) bool { return it.trait == schemas.TraitUserAgent && a.normal.shownBy(it) == 0 })
}

// machines reports whether most of the suspects' requests in the rows are of programs that say they are
// no browser. Those cannot solve a challenge, but few visitors have the same one, and the clients
// of a few minutes say little of who else has.
func (a *analysis) machines(rows []uint64) bool {
	var names [3]uint32
	for i, name := range [...]string{schemas.AgentRobot, schemas.AgentTool, schemas.AgentNone} {
		names[i] = a.x.hash(schemas.TraitAgentFamily, []byte(name))
	}
	said, all := 0.0, 0.0
	for i := range a.suspect.rows {
		if rows[i/64]>>(i%64)&1 == 1 {
			all += a.suspect.weight[i]
			if slices.Contains(names[:], a.suspect.rows[i][schemas.TraitAgentFamily]) {
				said += a.suspect.weight[i]
			}
		}
	}
	return 2*said > all
}

// enoughHeld reports whether there are held-out clients enough for a decision on what none of them shows.
func (a *analysis) enoughHeld() bool { return 4*a.calibrate0.all >= 3*a.budget.MinClients }

const (
	// leastDoubt is what a signature costs whose traits no normal client has.
	leastDoubt = 0.1
	// enoughFresh is how many new held-out clients are enough for a bound of their own.
	enoughFresh = 100
	// noLuck is how unlikely so few clients must be.
	noLuck = 1e-3
	// oddPair is how many clients of a young site are to be expected, beside leastDoubt, to have a pair
	// of a program's traits (agent, language, encodings, TLS) that none of them has, however
	// frequent each is: of 250 clients drawn from the estate tuning 0.13 to 0.27, on average 0.15, with two in three of
	// such pairs shown by nobody among 8,740. A program is what it is: its traits do not come by chance. What
	// none of so few has at all, an old agent, is taken for as likely.
	oddPair = 0.1
)

// touchedBy is how many normal clients of both halves the rows are of.
func (a *analysis) touchedBy(rows []uint64) int {
	return a.normal.touched(rows, false).all + a.normal.touched(rows, true).all
}

// expected is the share of the normal clients to be expected among those whom the charged
// rows and so much doubt stand for.
func (a *analysis) expected(charged []uint64, doubt float64) float64 {
	return (float64(a.touchedBy(charged)) + doubt) / float64(max(a.choose0.all+a.calibrate0.all, 1))
}

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
