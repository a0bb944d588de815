package attribute

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weir-project/weir/schemas"
)

// Obstacle is what keeps a measure from being taken.
type Obstacle string

// The obstacles.
const (
	TooFewKnown  Obstacle = "clients"    // too few normal clients are known for anything
	TooLittle    Obstacle = "share"      // too small a share of the requests is the attack's
	NothingApart Obstacle = "alike"      // nothing is far more frequent in the attack than among visitors
	TooManyHurt  Obstacle = "collateral" // it might touch more people than the budget allows
	HasHurt      Obstacle = "hurt"       // it would touch people for whom another was lifted
	EarlierHurt  Obstacle = "earlier"    // it would touch those who came while the incident was no attack
	MayBeChance  Obstacle = "chance"     // it stops so little that it may be chance, or no good bargain
)

// refuseItems bounds the traits that are tried together: twelve make some 300 conjunctions.
const refuseItems = 12

// Refusal is the measure that would stop most of an attack for the people whom it touches, and what stands against it.
type Refusal struct {
	Obstacle  Obstacle
	Signature schemas.Signature // nil where nothing is worth naming
	Stops     float64           // share of the attack's requests
	Touches   float64           // upper 95 % bound of the share of people touched
	Clients   int               // normal clients that are known
	Left      float64           // share of the attack's requests that nothing in force matches
}

// Refuse says why Analyse proposes nothing, where nothing is in force. It looks at single signatures only, and is for a
// person: Analyse weighs far more. The samples must come from the same Extractor.
func Refuse(normal, suspect *Sample, budget Budget) Refusal {
	return refuse(normal, suspect, budget, false)
}

// RefuseMore is Refuse of what the measures in force leave: what would stop more of it, and what stands against that beside them.
func RefuseMore(normal, suspect *Sample, budget Budget) Refusal {
	return refuse(normal, suspect, budget, true)
}

func refuse(normal, suspect *Sample, budget Budget, more bool) Refusal {
	budget = budget.withDefaults()
	r := Refusal{Clients: normal.Distinct()}
	if r.Clients < budget.MinClients {
		r.Obstacle = TooFewKnown
		return r
	}
	a := newAnalysis(normal, suspect, budget)
	if suspect.Len() < minSupport || a.attackShare < minAttackShare || len(a.suspect.rows) == 0 {
		r.Obstacle = TooLittle
		return r
	}
	if more {
		a.coverBlocks()
	}
	a.share, a.soft = budget.Soft, true
	if more {
		a.coverRest()
	}
	r.Left = max(0, a.left())
	best, ok := a.bestApart()
	if !ok {
		r.Obstacle = NothingApart
		return r
	}
	r.Signature, r.Stops, r.Touches = best.signature, best.stops, best.touches
	r.Obstacle = a.obstacle(&best)
	return r
}

// apart is a conjunction, with what it would stop and touch.
type apart struct {
	candidate
	signature      schemas.Signature
	known          []uint64 // normal rows
	stops, touches float64
	worth          float64 // what it stops less whom it would touch (Youden's J)
}

// bestApart is the best conjunction of core items, whatever it touches.
func (a *analysis) bestApart() (best apart, ok bool) {
	items := a.frequent()
	core := a.markCore(items)
	a.frequentItems = items
	a.findStrong(core)
	var single []apart
	for _, it := range core {
		if one, named := a.apart([]item{it}); named {
			single = append(single, one)
		}
	}
	slices.SortStableFunc(single, func(x, y apart) int { return cmp.Compare(y.worth, x.worth) })
	single = single[:min(len(single), refuseItems)]
	level := single
	for len(level) > 0 {
		var deeper []apart
		for i := range level {
			one := &level[i]
			if !ok || one.worth > best.worth {
				best, ok = *one, true
			}
			for j := range single {
				if it := single[j].items[0]; len(one.items) < schemas.MaxSignatureTraits && it.trait > one.items[len(one.items)-1].trait {
					if more, named := a.apart(with(one.items, it)); named {
						deeper = append(deeper, more)
					}
				}
			}
		}
		level = deeper
	}
	return best, ok
}

func (a *analysis) apart(items []item) (one apart, ok bool) {
	if one.signature, ok = a.signature(items); !ok {
		return one, false
	}
	one.items, one.rows, one.known = items, a.suspect.match(items), a.normal.match(items)
	_, one.gain = a.suspect.count(one.rows)
	_, usual := a.normal.count(one.known)
	own, all := a.touchedAll(one.known), a.everybody()
	one.normal = a.normal.touched(one.known, false)
	one.share = usual / max(a.normal.total, 1)
	_, open := a.suspect.countBoth(one.rows, a.open)
	one.stops = a.attackOf(open/max(a.suspect.total, 1), one.share)
	one.touches = a.boundOf(own, all)
	one.worth = one.stops - own.people/max(all.people, 1)
	return one, true
}

func (a *analysis) coverBlocks() {
	a.cover(a.budget.InForce)
	a.coverPrefixes()
}

// coverRest takes out what asks, and clients under a decision of their own that came again, and were stopped: of the others it is not known
// that they do.
func (a *analysis) coverRest() {
	a.doubt += a.later
	a.cover(a.budget.Softly)
	a.coverScores(a.budget.Scores)
	if a.budget.Measured == nil {
		return
	}
	stopped := make(map[uint64]bool)
	for i := range a.suspectSample.clients {
		if c := &a.suspectSample.clients[i]; c.stopped && a.budget.Measured(netip.AddrFrom16(c.addr).Unmap()) != schemas.Allow {
			stopped[c.id] = true
		}
	}
	rows := make([]uint64, a.suspect.words)
	for i, owner := range a.suspect.owner {
		if stopped[a.suspect.hashes[owner]] {
			rows[i/64] |= 1 << (i % 64)
		}
	}
	a.take(rows, make([]uint64, a.normal.words))
}

// obstacle is the first thing that stands against asking for something whoever it matches.
func (a *analysis) obstacle(one *apart) Obstacle {
	clients, _ := a.suspect.count(one.rows)
	switch _, _, affordable := a.action(one.items, one.rows, or(a.charged, one.known), one.known); {
	case a.refused(one.signature) || a.hurts(ofItems(one.items), one.rows):
		return HasHurt
	case !a.earlier.allows(one.items, a.share, true):
		return EarlierHurt
	case clients < minSupport || affordable && !a.stands(&one.candidate, clients):
		return MayBeChance
	case !affordable:
		return TooManyHurt
	}
	return MayBeChance
}
