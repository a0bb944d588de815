package attribute

import (
	"math"
	"slices"

	"github.com/weir-project/weir/schemas"
)

const (
	// leastDoubt is what a signature costs whose traits no normal client has.
	leastDoubt = 0.1
	// noLuck is how unlikely so few clients must be: so unlikely that it is no luck among all the thousands of
	// conjunctions that were looked at.
	noLuck = 1e-5
	// softLuck is the same for what refuses nobody for good.
	softLuck = 1e-3
	// oddPair is how many clients of a young site are to be expected, beside leastDoubt, to have a pair
	// of a program's traits (agent, language, encodings, TLS) that none of them has, however
	// frequent each is: of 250 clients drawn from the estate tuning 0.13 to 0.27, on average 0.15, with two in three of
	// such pairs shown by nobody among 8,740. A program is what it is: its traits do not come by chance. What
	// none of so few has at all, an old agent, is taken for as likely.
	oddPair = 0.1
)

// doubtful is what a signature costs beside the normal clients that were seen to show it
// (x of them): as many as its parts by themselves would have led to expect. What no client of
// some hundreds has shown may be impossible (a browser's agent with a tool's encodings)
// or just rare (a frequent agent with a frequent language on a page that few ask for), and a
// list of a hundred rare ones is people. The held-out clients cannot tell: each of them
// was asked whether to take a signature, so that the list fits them. Where so few can be no
// luck, however many signatures were tried, it is taken for impossible. A young site's few tell
// neither: for it, what was found of programs elsewhere tells.
func (a *analysis) doubtful(items []item, x int) float64 {
	if a.soft {
		return beside(x, a.byEachTrait(items), softLuck)
	}
	if a.young && x == 0 {
		return max(a.expectedYoung(items), oddPair) + leastDoubt
	}
	return a.doubtHard(items, x)
}

// doubtHard is doubtful of what blocks. That three traits are together in fewer clients than the division in two that
// leads to most says nothing where two of them seldom meet, of whom some have the third, too: too few for luck they
// must be by every division. Else two of them may be impossible, and what shows all three is no more than what shows these.
func (a *analysis) doubtHard(items []item, x int) float64 {
	least, most := a.toExpect(items)
	if len(items) < 3 || poissonAtMost(x, most) >= noLuck || poissonAtMost(x, least) < noLuck {
		return beside(x, most, noLuck)
	}
	doubt := max(most-float64(x), 0) + leastDoubt
	for i := range items {
		pair := slices.Delete(slices.Clone(items), i, i+1)
		y := a.touchedBy(a.normal.match(pair))
		doubt = min(doubt, float64(y-x)+a.doubtHard(pair, y))
	}
	return doubt
}

// beside is how many normal clients beside the x that were seen may show what so many were to be expected to.
func beside(x int, expected, luck float64) float64 {
	if poissonAtMost(x, expected) < luck {
		return 1
	}
	return max(expected-float64(x), 0) + leastDoubt
}

// byEachTrait is how many normal clients are to be expected to show the items if each were a chance of its own.
func (a *analysis) byEachTrait(items []item) float64 {
	n := float64(a.choose0.all + a.calibrate0.all)
	expected := n
	for _, it := range items {
		expected *= float64(a.normal.shownBy(it)) / max(n, 1)
	}
	return expected
}

// toExpect is how many normal clients are to be expected to show the items, by how many show parts of them: the least
// and the most that any division in two leads to, since a browser's agent and its TLS are no two chances.
func (a *analysis) toExpect(items []item) (least, most float64) {
	n := float64(max(a.choose0.all+a.calibrate0.all, 1))
	if len(items) == 1 {
		shown := float64(a.normal.shownBy(items[0]))
		return shown, shown
	}
	least = math.Inf(1)
	for i, it := range items {
		others := slices.Delete(slices.Clone(items), i, i+1)
		shown := float64(a.normal.shownBy(others[0]))
		if len(others) > 1 {
			shown = float64(a.touchedBy(a.normal.match(others)))
		}
		expected := shown * float64(a.normal.shownBy(it)) / n
		least, most = min(least, expected), max(most, expected)
	}
	return least, most
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

// expectedYoung is how many clients of a young site are to be expected to show the items, which none does: those
// who have the program that the items are of, or as few as have what no program is, as far as they ask for
// what the others say. The protocol is no program's own: a company's proxy speaks another for all browsers.
func (a *analysis) expectedYoung(items []item) float64 {
	n := float64(max(a.choose0.all+a.calibrate0.all, 1))
	var program []item
	others, apart := 1.0, n
	for _, it := range items {
		share := float64(a.normal.shownBy(it)) / n
		if it.trait == schemas.TraitAgentFamily || it.trait == schemas.TraitAgentKnown || it.trait != schemas.TraitProtocol && slices.Contains(profileTraits[:], it.trait) {
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

// strangeAgent reports whether an item is an agent that no normal client has, or that it is none that the site
// knows: there are so many that visitors' own are missed among a few hundred.
func (a *analysis) strangeAgent(items []item) bool {
	return slices.ContainsFunc(items, func(it item) bool {
		return (it.trait == schemas.TraitUserAgent || it.trait == schemas.TraitAgentKnown) && a.normal.shownBy(it) == 0
	})
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
