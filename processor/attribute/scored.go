package attribute

import (
	"math"
	"net/netip"
	"slices"

	"github.com/weir-project/weir/schemas"
)

const (
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
	person  float64 // how much it counts as people, see Sample.persons; of a normal client
	score   float64 // log-likelihood ratio, attack : normal, in bits
	conduct conduct

	measured schemas.Action // that it is under already
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
	soft := charge{rows: a.charged, doubt: a.doubt}
	held, heldFailed := s.heldOut()
	block, blocked := a.threshold(held, hard, a.budget.Collateral)
	challenge, challenged := a.softThreshold(held, soft, a.budget.Soft*softForClients)
	challengeFailed, challengedFailed := a.softThreshold(heldFailed, soft, a.budget.Soft*softForClients)
	earlier, earlierFailed := s.earlier()
	block = max(block, a.earlier.threshold(earlier, a.budget.Collateral, false))
	challenge = max(challenge, a.earlier.threshold(earlier, a.budget.Soft*softForClients, true))
	challengeFailed = max(challengeFailed, a.earlier.threshold(earlierFailed, a.budget.Soft*softForClients, true))
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
		case f.conduct&failed == 0 && f.score > block && !f.missedOnce():
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

// missedOnce reports whether all that is known of a client is that the site has not got what it asked for once. So begins whoever follows
// a link to what is gone, and goes on or comes again; what looks for holes asks for more, challenged or not.
func (f *scored) missedOnce() bool {
	let := f.client.requests
	if f.client.stopped {
		let--
	}
	return f.conduct&getsNothing != 0 && let < 2
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
	sample, known, came := s.sample, s.a.normalSample.Guests(), s.a.earlier.guests()
	for i := range sample.clients {
		c := &sample.clients[i]
		if c.young || c.regular || c.head < 0 || !open[c.id] || known[c.id] || came[c.id] {
			continue
		}
		if spare := s.a.budget.Spare; spare != nil && spare(netip.AddrFrom16(c.addr).Unmap()) {
			continue
		}
		k := s.a.conductOf(sample, c, false)
		first := &sample.rows[c.head].traits
		if !k.mayBeMeasured() || k&saysMachine != 0 && s.ofTrait(schemas.TraitUserAgent, first, aSuspect) < leastOfProgram {
			continue
		}
		if score := s.score(k, first, aSuspect); score >= least {
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

// measure makes a decision of a score.
func (s *scorer) measure(m Measure, f *scored) Measure {
	a, c, sample := s.a, f.client, s.sample
	share := float64(c.requests) * sample.scale() / max(sample.Requests, 1)
	m.Scope, m.Value = schemas.ScopeClient, clientText(c.addr)
	m.Stops = min(1, share/a.attackShare)
	m.Evidence = &schemas.Evidence{
		AttackShare: m.Stops, RiskRatio: math.Exp2(f.score),
		Traits: []schemas.TraitEvidence{s.evidence("conduct", f.conduct.String(), s.suspect.conducts[f.conduct], s.normal.conducts[f.conduct], s.ofConduct(f.conduct, aSuspect))},
		SQL:    clientSQL(a.budget.Site, m.Value), Nearest: a.normalSample.nearestTo(&sample.rows[c.head].traits),
	}
	first := &sample.rows[c.head].traits
	for _, t := range scoredTraits {
		if value, ok := a.x.Name(t, first[t]); ok && s.ofTrait(t, first, aSuspect) >= 1 {
			it := item{t, first[t]}
			suspect, normal := s.suspect.items[it], s.normal.items[it]
			if s.isNovel(it, 0) {
				value, suspect, normal = "new here: "+value, s.suspect.novel[t], s.normal.novel[t]
			}
			m.Evidence.Traits = append(m.Evidence.Traits, s.evidence(t.String(), value, suspect, normal, s.ofTrait(t, first, aSuspect)))
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
