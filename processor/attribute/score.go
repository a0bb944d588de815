package attribute

import (
	"cmp"
	"iter"
	"math"
	"net/netip"
	"slices"

	"github.com/weir-project/weir/schemas"
)

const (
	// mostBits bounds what one fact may say, for or against: a count of zero is no proof.
	mostBits = 6
	// minOdds is how many times likelier a client must be one of the attack's than a normal one.
	minOdds = 20
	// softForClients is the part of Budget.Soft that challenged clients may touch, beside what
	// challenged signatures do.
	softForClients = 0.5
	// leastBits is what must be held against one however many of the attack's there are: less may
	// be the sum of chances.
	leastBits = 5
	// leastOfProgram is how many bits its agent must speak for the attack where it says that it is
	// no browser: that a program loads nothing says nothing.
	leastOfProgram = 2
)

// scored is a client with what is held against it.
type scored struct {
	client  *client
	score   float64 // log-likelihood ratio, attack : normal, in bits
	conduct conduct

	measured schemas.Action // that it is under already
}

// scorer holds what clients of the attack and normal ones are like, each client counted once.
type scorer struct {
	a       *analysis
	attack  float64 // share of the suspect clients
	suspect tally
	normal  tally // all of them; who is scored himself is left out

	// What ofTrait and ofConduct said, of suspects and of normal clients: few facts, very often.
	told         [2]map[itemKey]float64
	toldConducts [2][conducts]struct {
		bits  float64
		known bool
	}
}

// tally counts clients. A normal one has two conducts: its own, and the one that it would have
// if the site had failed it.
type tally struct {
	clients, failed float64 // all, and those whom the site failed
	conducts        map[conduct]float64
	items           map[item]float64
}

func newTally() tally {
	return tally{conducts: make(map[conduct]float64), items: make(map[item]float64)}
}

// scoredTraits are what a client shows by its first request: what a program sends the same each
// time, and what it asked for first.
var scoredTraits = [...]schemas.Trait{
	schemas.TraitUserAgent, schemas.TraitAcceptLanguage, schemas.TraitAcceptEncoding,
	schemas.TraitTLS, schemas.TraitProtocol, schemas.TraitPathShape,
}

func (t *tally) add(k conduct, first *Traits) {
	t.clients++
	if k&failed != 0 {
		t.failed++
	}
	t.conducts[k]++
	for _, trait := range scoredTraits {
		if hash := first[trait]; hash != 0 {
			t.items[item{trait, hash}]++
		}
	}
}

// bits is what a fact says for the attack, which so many of a number of suspects and so many normal
// clients show. Subtracting the normal part of the suspects leaves the attack's. Of a normal client
// that is scored himself the others are counted: but is then 1, else 0.
func (s *scorer) bits(suspect, of, normal, but float64) float64 {
	share := (normal - but + 0.5) / (s.normal.clients - but + 1)
	attack := (max(suspect-(1-s.attack)*of*share, 0) + 0.5) / (s.attack*of + 1)
	return min(max(math.Log2(attack/share), -mostBits), mostBits)
}

func (s *scorer) ofConduct(k conduct, but float64) float64 {
	told := &s.toldConducts[int(but)][k]
	if !told.known {
		told.bits, told.known = s.conductBits(k, but), true
	}
	return told.bits
}

func (s *scorer) conductBits(k conduct, but float64) float64 {
	of := s.suspect.clients - s.suspect.failed
	if k&failed != 0 {
		of = s.suspect.failed
	}
	return s.bits(s.suspect.conducts[k], of, s.normal.conducts[k], but)
}

func (s *scorer) ofTrait(t schemas.Trait, first *Traits, but float64) float64 {
	it := item{t, first[t]}
	if it.hash == 0 {
		return 0
	}
	told := s.told[int(but)]
	bits, known := told[it.key()]
	if !known {
		bits = s.bits(s.suspect.items[it], s.suspect.clients, s.normal.items[it], but)
		told[it.key()] = bits
	}
	return bits
}

// score adds up what a client is and does. Agent, encodings, TLS and protocol are one program's,
// and nearly one fact: the agent counts and, where it speaks for the attack, the most telling of
// the others; a search engine's program has a library's encodings, and is none of the attack's. What it
// does is counted together, and only what it asked for first tells as little as half.
func (s *scorer) score(k conduct, first *Traits, but float64) float64 {
	return s.first(first, but).score(s.ofConduct(k, but))
}

// firstBits are what a client's first request says, apart from what it does.
type firstBits struct{ program, language, shape float64 }

func (b firstBits) score(conduct float64) float64 {
	return conduct + b.program + b.language + b.shape/2
}

func (s *scorer) first(first *Traits, but float64) firstBits {
	program := s.ofTrait(schemas.TraitUserAgent, first, but)
	if others := max(s.ofTrait(schemas.TraitAcceptEncoding, first, but), s.ofTrait(schemas.TraitTLS, first, but),
		s.ofTrait(schemas.TraitProtocol, first, but)); program > -1 || others < 0 {
		program += others
	}
	return firstBits{program, s.ofTrait(schemas.TraitAcceptLanguage, first, but), s.ofTrait(schemas.TraitPathShape, first, but)}
}

// clientMeasures are clients that no signature stops, by what they are and do: whoever attacked is
// stopped from its next request on. The threshold is the one above which, beside all that
// signatures touch, no more of the held-out normal clients score than the budget allows
// (Neyman and Pearson 1933): hard are those that signatures block. Nobody is
// measured whom the site knows from before the incident, nor who came too short a while ago
// to have shown what it does.
func (a *analysis) clientMeasures(hard charge) []Measure {
	if a.budget.MaxClients <= 0 {
		return nil
	}
	s := a.scorer()
	if s == nil {
		return nil
	}
	open := a.openClients()
	rivals := max(float64(len(open))-a.normalClients, 0)
	least := max(leastBits, math.Log2(minOdds*(a.normalClients+1)/(rivals+1)))
	found := s.suspects(open, least)
	if len(found) < minSupport {
		return nil
	}
	soft := charge{a.charged, a.doubt}
	held, heldFailed := s.heldOut()
	block, blocked := a.threshold(held, hard, a.budget.Collateral)
	challenge, challenged := a.softThreshold(held, soft, a.budget.Soft*softForClients)
	challengeFailed, challengedFailed := a.softThreshold(heldFailed, soft, a.budget.Soft*softForClients)
	var measures []Measure
	alike := make(map[schemas.Action]int) // with those that were measured before
	var blocks, asks, asksFailing bool
	for i := range found {
		f := &found[i]
		m := Measure{Action: schemas.Challenge, Collateral: challenged, CollateralClients: a.calibrate0.all}
		switch {
		case f.conduct&failed != 0 && f.score > challengeFailed:
			m.Collateral = challengedFailed // and a challenge, whatever the score: it has not shown what it does
			asksFailing = true
		case f.conduct&failed == 0 && f.score > block:
			m.Action, m.Collateral = schemas.Block, blocked
			blocks = true
		case f.conduct&failed != 0 || f.score <= challenge:
			continue
		default:
			asks = true
		}
		alike[m.Action]++
		if f.measured.Severity() >= m.Action.Severity() {
			continue
		}
		measures = append(measures, s.measure(m, f))
		if len(measures) == a.budget.MaxClients {
			break
		}
	}
	a.shareOut(measures, alike)
	for _, of := range []struct {
		any       bool
		held      []scored
		threshold float64
		blocked   bool
	}{{blocks, held, block, true}, {asks, held, challenge, false}, {asksFailing, heldFailed, challengeFailed, false}} {
		if of.any {
			a.budget.Alike.note(of.held, of.threshold, of.blocked)
		}
	}
	return measures
}

// shareOut divides what the clients of one action touch together, the bound that each was given,
// among them and those who are under it already: the collaterals of decisions are added up where they are shown.
func (a *analysis) shareOut(measures []Measure, alike map[schemas.Action]int) {
	for i := range measures {
		m := &measures[i]
		m.Together = m.Collateral
		m.Collateral /= float64(alike[m.Action])
		m.CollateralPerHour = m.Collateral * a.clientsPerHour()
	}
}

// charge is whom signatures touch: normal rows, and clients that none were seen to be.
type charge struct {
	rows  []uint64
	doubt float64
}

// scorer counts clients; nil where next to none is the attack's.
func (a *analysis) scorer() *scorer {
	s := &scorer{a: a, suspect: newTally(), normal: *a.visitors()}
	s.told[0], s.told[1] = make(map[itemKey]float64), make(map[itemKey]float64)
	for i := range a.suspectSample.clients {
		c := &a.suspectSample.clients[i]
		if c.head < 0 || c.young {
			continue
		}
		s.suspect.add(a.conductOf(a.suspectSample, c, false), &a.suspectSample.rows[c.head].traits)
	}
	s.attack = 1 - a.normalClients/max(float64(len(a.suspectSample.clients)), 1)
	if s.attack*s.suspect.clients < 2*minSupport || 4*s.normal.clients < 3*float64(a.budget.MinClients) {
		return nil
	}
	return s
}

// knownConduct is what a normal client does, and what it would have shown had the site failed it.
type knownConduct struct {
	own, failing conduct
	visitor      bool // of which something can be said
}

// conducts are those of the normal sample's clients, kept as long as it stands still.
func (a *analysis) conducts() []knownConduct {
	if a.normal.conducts == nil {
		s := a.normalSample
		a.normal.conducts = make([]knownConduct, len(s.clients))
		for i := range s.clients {
			c := &s.clients[i]
			if c.head < 0 || !s.visitor(c) {
				continue
			}
			if own := a.conductOf(s, c, true); own&failed == 0 {
				a.normal.conducts[i] = knownConduct{own, a.conductAt(s, c, true, true) | failed, true}
			}
		}
	}
	return a.normal.conducts
}

// visitors counts the normal sample's clients, kept like their conducts.
func (a *analysis) visitors() *tally {
	if a.normal.visitors == nil {
		t := newTally()
		for i, k := range a.conducts() {
			if k.visitor {
				t.add(k.own, &a.normalSample.rows[a.normalSample.clients[i].head].traits)
				t.conducts[k.failing]++
			}
		}
		a.normal.visitors = &t
	}
	return a.normal.visitors
}

// openClients are the hashes of the suspect clients with a request that no measure matches.
func (a *analysis) openClients() map[uint64]bool {
	open := make(map[uint64]bool)
	for i := range a.suspect.rows {
		if a.open[i/64]>>(i%64)&1 == 1 {
			open[a.suspect.hashes[a.suspect.owner[i]]] = true
		}
	}
	return open
}

// suspects scores those who may be measured, and gives those of at least so many bits, the
// highest first.
func (s *scorer) suspects(open map[uint64]bool, least float64) (found []scored) {
	sample, known := s.a.suspectSample, s.a.normalSample.Guests()
	for i := range sample.clients {
		c := &sample.clients[i]
		if c.young || c.regular || c.head < 0 || !open[c.id] || known[c.id] {
			continue
		}
		if spare := s.a.budget.Spare; spare != nil && spare(netip.AddrFrom16(c.addr).Unmap()) {
			continue
		}
		k := s.a.conductOf(sample, c, false)
		first := &sample.rows[c.head].traits
		if !k.mayBeMeasured() || k&saysMachine != 0 && s.ofTrait(schemas.TraitUserAgent, first, 0) < leastOfProgram {
			continue
		}
		if score := s.score(k, first, 0); score >= least {
			f := scored{client: c, score: score, conduct: k, measured: schemas.Allow}
			if s.a.budget.Measured != nil {
				f.measured = s.a.budget.Measured(netip.AddrFrom16(c.addr).Unmap())
			}
			found = append(found, f)
		}
	}
	slices.SortFunc(found, higher)
	return found
}

// mayBeMeasured reports whether the conduct is one that a client can be measured for.
func (k conduct) mayBeMeasured() bool {
	return k&(loadsNothing|getsNothing|failed) != 0 && k&bringsCookie == 0
}

// higher is the order of scores, the highest first.
func higher(x, y scored) int {
	return cmp.Or(cmp.Compare(y.score, x.score), cmp.Compare(x.client.hash, y.client.hash))
}

// heldOut scores the held-out normal clients: by what they do, and by what they would have shown
// had the site failed them.
func (s *scorer) heldOut() (own, failing []scored) {
	for i, k := range s.a.conducts() {
		c := &s.a.normalSample.clients[i]
		if !k.visitor || !heldOut(c.id) {
			continue
		}
		ownMay, failingMay := k.own.mayBeMeasured(), k.failing.mayBeMeasured()
		if !ownMay && !failingMay {
			continue
		}
		first := s.first(&s.a.normalSample.rows[c.head].traits, 1)
		if ownMay {
			own = append(own, scored{client: c, score: first.score(s.ofConduct(k.own, 1)), conduct: k.own})
		}
		if failingMay {
			failing = append(failing, scored{client: c, score: first.score(s.ofConduct(k.failing, 1)), conduct: k.failing})
		}
	}
	return own, failing
}

// threshold is the score above which clients may be blocked within a budget, beside all that
// signatures block, and the bound of the share of people whom all blocks then touch; infinite
// where none may.
func (a *analysis) threshold(held []scored, with charge, share float64) (score, bound float64) {
	doubt := with.doubt / float64(max(a.choose0.all+a.calibrate0.all, 1))
	already := a.normal.clientsOf(with.rows)
	return a.highest(held, already, a.beside(already, a.normal.touched(with.rows, true), true), func(t touched) bool {
		return a.bound(t) <= share && float64(t.all)/float64(max(a.calibrate0.all, 1))+doubt <= share
	})
}

// softThreshold is the same for challenges, which have a budget of their own, each look anew: what
// signatures touch does not count, nor who is like those that were challenged before.
func (a *analysis) softThreshold(held []scored, with charge, share float64) (score, bound float64) {
	return a.highest(held, a.normal.clientsOf(with.rows), touched{}, func(t touched) bool {
		few := t.all == 0 && a.enoughHeld()
		return few || a.bound(t) <= softBound*share && float64(t.all)/float64(max(a.calibrate0.all, 1)) <= share
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
			if more.all++; top.client.fresh {
				more.fresh++
			}
		}
		if !within(more) {
			return top.score, a.bound(t)
		}
		t = more
	}
	return math.Inf(-1), a.bound(t)
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

// measure makes a decision of a score.
func (s *scorer) measure(m Measure, f *scored) Measure {
	a, c, sample := s.a, f.client, s.a.suspectSample
	share := float64(c.requests) * sample.scale() / max(sample.Requests, 1)
	m.Scope, m.Value = schemas.ScopeClient, clientText(c.addr)
	m.Stops = min(1, share/a.attackShare)
	m.Evidence = &schemas.Evidence{
		AttackShare: m.Stops, RiskRatio: math.Exp2(f.score),
		Traits: []schemas.TraitEvidence{s.evidence("conduct", f.conduct.String(), s.suspect.conducts[f.conduct], s.normal.conducts[f.conduct], s.ofConduct(f.conduct, 0))},
		SQL:    clientSQL(a.budget.Site, m.Value),
	}
	first := &sample.rows[c.head].traits
	for _, t := range scoredTraits {
		if value, ok := a.x.Name(t, first[t]); ok && s.ofTrait(t, first, 0) >= 1 {
			it := item{t, first[t]}
			m.Evidence.Traits = append(m.Evidence.Traits, s.evidence(t.String(), value, s.suspect.items[it], s.normal.items[it], s.ofTrait(t, first, 0)))
		}
	}
	if c.text >= 0 {
		m.Evidence.Samples = []string{sample.texts[c.text].String()}
	}
	return m
}

func (s *scorer) evidence(trait, value string, suspect, normal, bits float64) schemas.TraitEvidence {
	share := normal / max(s.normal.clients, 1)
	return schemas.TraitEvidence{
		Trait: trait, Value: value, Normal: share, Bits: bits,
		Attack: min(1, max(0, suspect/max(s.suspect.clients, 1)-(1-s.attack)*share)/s.attack),
	}
}

// clientSQL is a query that shows a client's requests to a site.
func clientSQL(site, client string) string {
	return "SELECT time, method, path, query, status, user_agent FROM requests WHERE site = " +
		Quote(site) + " AND client = toIPv6(" + Quote(client) + ") ORDER BY time LIMIT 100"
}
