package attribute

import (
	"cmp"
	"math"
	"slices"

	"github.com/weir-project/weir/schemas"
)

const (
	// leastToLearn is how many suspect clients weights are learned from: of fewer, chances would be learned.
	leastToLearn = 200
	// scoreOpen is the share of the attack that signatures must leave for a score to be looked for: where they leave less, they
	// are easier to understand. scoreFirst is the least share that the first must stop beyond all else, scoreGain that of another: what
	// one leaves, the next finds more in by chance. A first that stops little where nearly all is left is rare, and not in the way of the
	// next: asked for a twentieth of what is left as well, it was another in one of four runs of browsers on the estate tuning
	// after half an hour in JSON (in none of four of forge), and 19.8 % of the attack were stopped there and not 25.0.
	scoreOpen, scoreFirst, scoreGain = 0.02, 0.01, 0.05
	// scoreSame is how much of what the lowest threshold stops a higher one must, to be taken in its place: it
	// touches fewer.
	scoreSame = 0.99
	// scoreWorth is how many times as many people a score may touch for what it stops as a signature: it takes the place of dozens.
	scoreWorth = 2
	// scoreSoft is the part of Budget.Soft within which a score may challenge in the place of signatures: they, and
	// clients by what they did, are chosen beside it.
	scoreSoft = 2.0 / 3
	// insteadSoft is that part for a score in the place of what is in force: all. Who came before was touched by that and who comes
	// later by the score, so that it costs no more people than either does. On the estate tuning, two seeds after half an hour in JSON, 78 % of
	// forge are stopped instead of 63 where it was a half, and 1.3 % of people asked instead of 1.4; on scorecard, four seeds, 86 %
	// instead of 77, and 2.5 % instead of 2.8.
	insteadSoft = 1.0
	// insteadGain is the least share of the attack that one must stop more than signatures in force that ask, scoreGain that it must stop
	// more than another score.
	insteadGain = 0.02
	// insteadLeft is the most of what all in force leaves that a score may leave which takes its place: who is there just then
	// is touched by both.
	insteadLeft = 0.7
	// browsersLeft is the same where the attack's clients are browsers, see Budget.Browsers: what tells them takes a minute or two to learn, and
	// what the first seconds' few suspects show stops little of them.
	browsersLeft = 0.9
)

// position is where the choice of measures stands, to come back to.
type position struct {
	open, charged, earlier []uint64
	doubt                  float64
	chosen, measures       int
}

func (a *analysis) position(measures []Measure) position {
	p := position{open: slices.Clone(a.open), charged: slices.Clone(a.charged), doubt: a.doubt, chosen: len(a.chosen), measures: len(measures)}
	if a.earlier != nil {
		p.earlier = slices.Clone(a.earlier.charged)
	}
	return p
}

func (a *analysis) back(to position) {
	copy(a.open, to.open)
	copy(a.charged, to.charged)
	a.doubt, a.chosen = to.doubt, a.chosen[:to.chosen]
	if a.earlier != nil {
		a.earlier.charged = slices.Clone(to.earlier)
	}
}

// pick chooses signatures and, where they leave much, a score: in the place of signatures where it stops more
// than they do, within the same budget, else beside them. A score only asks: what is added up of many weak facts, with
// a threshold as low as the known clients allow, touches more of those who come than of those. On the estate
// scorecard, six scenarios on four seeds after half an hour, scores that might block as well stopped no more, and had
// twice as many people blocked (0.65 %; 0.33 % where they may not).
func (a *analysis) pick(measures []Measure) (_, scores []Measure) {
	before := a.position(measures)
	a.mine()
	measures = a.choose(measures)
	left := a.left()
	if a.budget.MaxScores <= 0 || left < scoreGain && (a.careful() || left < scoreOpen && (a.budget.Keep || a.unmatched() < scoreOpen)) {
		return measures, scores
	}
	after, chosen := a.position(measures), slices.Clone(a.chosen)
	a.back(before)
	if m, ok := a.addUp(scoreSoft); ok && a.left() < left {
		a.mine()
		return a.choose(measures[:before.measures]), []Measure{m}
	}
	a.chosen = chosen
	a.back(after)
	if m, ok := a.addUp(1); ok {
		scores = []Measure{m}
	}
	return measures, scores
}

// instead takes a score in the place of all signatures and scores in force that only ask, where it alone stops much
// more than they and what was picked beside them: the first of them were taken when the suspects were too few to
// learn from, and hold the budget until the attack ends.
func (a *analysis) instead(blocks position, measures, scores []Measure) (_, _ []Measure) {
	left, asked := a.left(), len(a.budget.Softly)+len(a.budget.Scores)
	if asked == 0 || a.budget.Keep || a.budget.MaxScores <= 0 || len(a.budget.Scores) > 0 && a.surelyLeft() < scoreGain ||
		left < scoreGain && (a.careful() || a.unmatched() < scoreOpen) {
		return measures, scores
	}
	picked, chosen := a.position(measures), slices.Clone(a.chosen)
	a.back(blocks)
	m, ok := a.addUp(insteadSoft)
	most := insteadLeft
	if a.budget.Browsers {
		most = browsersLeft
	}
	if !ok || left-a.left() < max(a.insteadLeast(), (1-most)*left) {
		a.chosen = chosen
		a.back(picked)
		return measures, scores
	}
	m.Instead, a.budget.Softly = true, nil // which may be chosen again
	a.mine()
	return a.choose(measures[:blocks.measures]), []Measure{m}
}

// left is the share of the attack's requests that no measure matches, as far as is known how many of the others are normal clients':
// below 0 where fewer of these are there than usual, as under an attack. Of what two choices leave the difference is known better.
func (a *analysis) left() float64 {
	_, open := a.suspect.count(a.open)
	_, charged := a.normal.count(a.charged)
	return (open - a.ordinary()*(1-charged/max(a.normal.total, 1))) / max(a.attackShare*a.suspect.total, 1)
}

// surelyLeft is the share of the attack's requests that no measure matches, if as many visitors are there as ever.
func (a *analysis) surelyLeft() float64 {
	return a.unmatched() - a.normalShare*a.suspect.total/max(a.attackShare*a.suspect.total, 1)
}

// unmatched is how many requests no measure matches, whosever they are, for each of the attack's: the most that may be left.
func (a *analysis) unmatched() float64 {
	_, open := a.suspect.count(a.open)
	return open / max(a.attackShare*a.suspect.total, 1)
}

// careful reports whether a measure of this incident was lifted for people, by their probes or because the site knows them: they are among
// those who are left, and look as the attack does. Probes of an attack by browsers, for which blocks are lifted there, say nothing of that.
func (a *analysis) careful() bool {
	return a.budget.Hurt.People != nil || !a.budget.Browsers && len(a.budget.Refused)+len(a.budget.RefusedPrefixes) > 0
}

// bare are the suspects' rows of clients that do nothing that browsers do though the site has answered them, and that it does not know. Of an attack
// that is stopped but for some hundredths most of what is left is visitors', and those who come during it are not quite as others are:
// whom the site failed each time has loaded nothing, whoever it is.
func (a *analysis) bare() []uint64 {
	of, known, sample := make(map[uint64]bool), a.normalSample.Guests(), a.suspectSample
	for i := range sample.clients {
		c := &sample.clients[i]
		if c.head < 0 || c.regular || known[c.id] {
			continue
		}
		k := a.conductOf(sample, c, false)
		of[c.id] = k&failed == 0 && k.mayBeMeasured()
	}
	rows := make([]uint64, a.suspect.words)
	for i, owner := range a.suspect.owner {
		if of[a.suspect.hashes[owner]] {
			rows[i/64] |= 1 << (i % 64)
		}
	}
	return rows
}

// ordinary is how many of the suspects' requests, as the sample holds them, may be of normal clients: of one who loads much it holds
// few, so that what is left of an attack would be taken for theirs if it were asked how many requests a site has.
func (a *analysis) ordinary() float64 {
	each := a.normal.total / max(float64(len(a.normal.clients)), 1)
	return min(a.normalShare*a.suspect.total, a.normalClients*each)
}

// addUp takes the score that stops most within the budget: the lowest threshold at which, beside all that was taken
// before, no more of the normal clients are touched than may be, for challenges a part of it (Neyman and Pearson 1933), each of them scored by
// what was learned without it or by what the edge computes, whichever is more.
func (a *analysis) addUp(part float64) (m Measure, ok bool) {
	if !a.affords(a.charged, part) || !a.learns() { // which takes longest
		return m, false
	}
	l := a.learning
	lowest, ok := a.lowest(part)
	if !ok {
		return m, false
	}
	rowsOver := func(points []int, least int, words int) []uint64 {
		b := make([]uint64, words)
		for i, p := range points {
			if p >= least {
				b[i/64] |= 1 << (i % 64)
			}
		}
		return b
	}
	attack, least := a.attackShare*a.suspect.total, lowest
	already, people := a.touchedAll(a.charged).people, max(a.everybody().people, 1)
	open := a.open
	if a.left() < scoreGain {
		open = and(open, a.bare())
	}
	stops := func(least int) (clients int, gain, cost float64) {
		clients, gain = a.suspect.countBoth(rowsOver(l.suspect, least, a.suspect.words), open)
		with := or(a.charged, rowsOver(l.normal, least, a.normal.words))
		_, before := a.normal.count(a.charged)
		_, after := a.normal.count(with)
		return clients, gain - a.ordinary()*(after-before)/max(a.normal.total, 1), (a.touchedAll(with).people - already) / people
	}
	times := float64(scoreWorth)
	if a.budget.Browsers {
		times = 1
	}
	clients, gain, cost := stops(least)
	for gain < a.scoreLeast()*attack || !a.worth(gain, cost/times, 1/people) {
		if least++; clients < minSupport {
			return m, false
		}
		clients, gain, cost = stops(least)
	}
	for {
		if _, same, _ := stops(least + 1); same < scoreSame*gain {
			break
		}
		least++
	}
	rows, normal := rowsOver(l.suspect, least, a.suspect.words), rowsOver(l.normal, least, a.normal.words)
	clients, gain = a.suspect.countBoth(rows, open)
	score := l.score(least)
	own, all := a.touchedAll(normal), a.everybody()
	if score.Validate() != nil || len(score.String()) > schemas.MaxScore || a.hurts(a.x.matcher(Rule{Score: score}), rows) {
		return m, false
	}
	if n := a.touchedAll(or(a.charged, normal)).all - a.touchedAll(a.charged).all; poissonAtLeast(clients, a.normalClients*UpperShare(n, all.all)) > chance {
		return m, false
	}
	m = Measure{
		Action: schemas.Challenge, Scope: schemas.ScopeScore, Value: score.String(), Score: score,
		Stops: min(1, gain/attack), Collateral: a.boundOf(own, all), CollateralClients: all.all,
		Evidence: a.scoreEvidence(score, rows, normal),
	}
	m.CollateralPerHour = m.Collateral * a.clientsPerHour()
	for id := range a.normal.clientsOf(normal) {
		m.Touches = append(m.Touches, id)
	}
	slices.Sort(m.Touches)
	a.doubt += leastDoubt
	a.take(rows, normal)
	a.earlier.takeRows(a.x.matcher(Rule{Score: score}))
	return m, true
}

// scoreLeast is the least share of the attack that one more score must stop beyond all else.
func (a *analysis) scoreLeast() float64 {
	if len(a.budget.Scores) > 0 || a.careful() {
		return scoreGain
	}
	return scoreFirst
}

// insteadLeast is the least share of the attack that one must stop more than those in whose place it comes.
func (a *analysis) insteadLeast() float64 {
	if len(a.budget.Scores) > 0 || a.careful() {
		return scoreGain
	}
	return insteadGain
}

// lowest is the lowest sum of points that the budget allows, of which what is charged already is within.
func (a *analysis) lowest(part float64) (least int, ok bool) {
	l := a.learning
	byPoints := make([]int, 0, len(l.normal))
	for i := range l.normal {
		if a.normal.served[i/64]>>(i%64)&1 == 1 {
			byPoints = append(byPoints, i)
		}
	}
	slices.SortFunc(byPoints, func(x, y int) int { return cmp.Or(cmp.Compare(l.normal[y], l.normal[x]), cmp.Compare(x, y)) })
	charged := slices.Clone(a.charged)
	least, ok = math.MaxInt, false
	floor := a.aboveOthers()
	for i := 0; i < len(byPoints); {
		points := l.normal[byPoints[i]]
		if least, ok = points+1, true; points < floor {
			return floor, true
		}
		for ; i < len(byPoints) && l.normal[byPoints[i]] == points; i++ {
			at := byPoints[i]
			charged[at/64] |= 1 << (at % 64)
		}
		if !a.affords(charged, part) {
			return least, ok
		}
	}
	return least, ok
}

// affords reports whether a part of the budget for challenges allows that the charged rows are touched, and what is doubted with them.
func (a *analysis) affords(charged []uint64, part float64) bool {
	t, all := a.touchedAll(charged), a.everybody()
	bound, doubt := a.boundOf(t, all), a.doubt+leastDoubt
	share := part * a.budget.Soft
	return a.expected(charged, doubt) <= share && (bound <= softBound*share || t.all == 0 && a.enoughHeld())
}

// aboveOthers is the least sum that none of the people reaches for whom a decision was lifted, and no more than may
// be of those who came earlier.
func (a *analysis) aboveOthers() int {
	floor := math.MinInt
	l := a.learning
	var facts []int32
	points := func(t *Traits, from *networks) int {
		facts = l.factsOf(facts[:0], t, from)
		return l.all.points(facts)
	}
	if people := a.budget.Hurt.People; people != nil {
		for i := range people.clients {
			from := networksOf(people.clients[i].addr)
			for at := people.clients[i].head; at >= 0; at = people.rows[at].next {
				t := people.rows[at].traits
				people.x.resolve(&t, a.budget.Paths, people.clients[i].id)
				floor = max(floor, points(&t, &from)+1)
			}
		}
	}
	if e := a.earlier; e != nil {
		highest := make(map[int32]int)
		for i := range e.rows.rows {
			if owner := e.rows.owner[i]; e.rows.served[i/64]>>(i%64)&1 == 1 {
				p := points(&e.rows.rows[i], &e.rows.nets[owner])
				if was, known := highest[owner]; !known || p > was {
					highest[owner] = p
				}
			}
		}
		sorted := make([]int, 0, len(highest))
		for _, p := range highest {
			sorted = append(sorted, p)
		}
		slices.Sort(sorted)
		already := e.rows.touched(e.charged, true).all + e.rows.touched(e.charged, false).all
		for n := range sorted { // from the highest down
			if p := sorted[len(sorted)-1-n]; !e.within(already+n+1, a.share, a.soft) {
				floor = max(floor, p+1)
				break
			}
		}
	}
	return floor
}

// touchedAll is whom rows touch of both halves: nobody was asked about a score who was learned from.
func (a *analysis) touchedAll(rows []uint64) touched {
	return a.normal.touched(rows, false).plus(a.normal.touched(rows, true))
}

func (a *analysis) everybody() touched { return a.choose0.plus(a.calibrate0) }

func (t touched) plus(o touched) touched {
	return touched{t.all + o.all, t.fresh + o.fresh, t.people + o.people}
}
