package attribute

import (
	"maps"

	"github.com/weir-project/weir/schemas"
)

// tally counts clients. A normal one has two conducts: its own, and the one that it would have
// if the site had failed it.
type tally struct {
	clients, failed float64 // all, and those whom the site failed
	conducts        map[conduct]float64
	items           map[item]float64
	novel           [schemas.NumTraits]float64 // clients with a value that the others, or the normal ones, do not have
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

// add counts a client as so many.
func (t *tally) add(k conduct, first *Traits, weight float64) {
	t.clients += weight
	if k&failed != 0 {
		t.failed += weight
	}
	t.conducts[k] += weight
	for _, trait := range scoredTraits {
		if hash := first[trait]; hash != 0 {
			t.items[item{trait, hash}] += weight
		}
	}
}

// addAll counts normal clients, each as so many.
func (t *tally) addAll(s *Sample, known []knownConduct, weight float64) {
	for i, k := range known {
		if k.visitor {
			t.add(k.own, &s.rows[s.clients[i].head].traits, weight)
			t.conducts[k.failing] += weight
		}
	}
}

// plus is a tally of both.
func (t *tally) plus(s *Sample, known []knownConduct, weight float64) tally {
	sum := *t
	sum.conducts, sum.items = maps.Clone(t.conducts), maps.Clone(t.items)
	sum.addAll(s, known, weight)
	return sum
}

// countNovel counts the clients with values that are new to the site and rare: of suspects those that no
// normal client has and few suspects, of normal clients those that no other has.
func (s *scorer) countNovel() {
	for it, n := range s.suspect.items {
		if s.normal.items[it] == 0 && n <= minSupport {
			s.suspect.novel[it.trait] += n
		}
	}
	for it, n := range s.normal.items {
		if n == s.but[aNormal] || n == s.but[anEarlier] {
			s.normal.novel[it.trait] += n
		}
	}
}

// knownConduct is what a normal client does, and what it would have shown had the site failed it.
type knownConduct struct {
	own, failing conduct
	visitor      bool // of which something can be said
}

// conducts are those of a normal sample's clients, kept as long as it stands still.
func (a *analysis) conducts(s *Sample, laid *matrix) []knownConduct {
	if laid.conducts == nil {
		laid.conducts = make([]knownConduct, len(s.clients))
		for i := range s.clients {
			c := &s.clients[i]
			if c.head < 0 || !s.visitor(c) {
				continue
			}
			if own := a.conductOf(s, c, true); own&failed == 0 {
				laid.conducts[i] = knownConduct{own, a.conductAt(s, c, true, true) | failed, true}
			}
		}
	}
	return laid.conducts
}

// visitors counts the normal sample's clients, kept like their conducts.
func (a *analysis) visitors() *tally {
	if a.normal.visitors == nil {
		t := newTally()
		t.addAll(a.normalSample, a.conducts(a.normalSample, a.normal), 1)
		a.normal.visitors = &t
	}
	return a.normal.visitors
}
