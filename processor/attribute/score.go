package attribute

import (
	"math"

	"github.com/weir-project/weir/schemas"
)

const (
	// mostBits bounds what one fact may say, for or against: a count of zero is no proof.
	mostBits = 6
)

// scorer holds what clients of the attack and normal ones are like, each client counted once.
type scorer struct {
	a       *analysis
	sample  *Sample // whose clients may be measured
	attack  float64 // share of the suspect clients
	suspect tally
	normal  tally // all of them, and those who came earlier; who is scored himself is left out

	// but is how much somebody counts among the normal clients himself, by who it is.
	but [3]float64
	// What ofTrait and ofConduct said, by who was asked about: few facts, very often.
	told         [3]map[itemKey]float64
	toldConducts [3][conducts]struct {
		bits  float64
		known bool
	}
}

// who is scored.
type who int

const (
	aSuspect who = iota
	aNormal
	anEarlier
)

// scorer counts clients; nil where next to none is the attack's.
func (a *analysis) scorer() *scorer {
	s := &scorer{a: a, sample: a.suspectSample, suspect: newTally(), normal: *a.visitors(), but: [3]float64{0, 1, 1}}
	if e := a.earlier; e != nil {
		s.but[anEarlier] = e.weigh(s.normal.clients)
		s.normal = s.normal.plus(e.sample, a.conducts(e.sample, e.rows), s.but[anEarlier])
	}
	for i := range s.told {
		s.told[i] = make(map[itemKey]float64)
	}
	for i := range a.suspectSample.clients {
		c := &a.suspectSample.clients[i]
		if c.head < 0 || c.young {
			continue
		}
		s.suspect.add(a.conductOf(a.suspectSample, c, false), &a.suspectSample.rows[c.head].traits, 1)
	}
	s.countNovel()
	s.attack = 1 - a.normalClients/max(float64(len(a.suspectSample.clients)), 1)
	if s.attack*s.suspect.clients < 2*minSupport || 4*s.normal.clients < 3*float64(a.budget.MinClients) {
		return nil
	}
	return s
}

// bits is what a fact says for the attack, which so many of a number of suspects and so many normal
// clients show. Subtracting the normal part of the suspects leaves the attack's. Of a normal client
// that is scored himself the others are counted: but is then 1, else 0.
func (s *scorer) bits(suspect, of, normal, but float64) float64 {
	share := (normal - but + 0.5) / (s.normal.clients - but + 1)
	attack := (max(suspect-(1-s.attack)*of*share, 0) + 0.5) / (s.attack*of + 1)
	return min(max(math.Log2(attack/share), -mostBits), mostBits)
}

func (s *scorer) ofConduct(k conduct, by who) float64 {
	told := &s.toldConducts[by][k]
	if !told.known {
		told.bits, told.known = s.conductBits(k, s.but[by]), true
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

func (s *scorer) ofTrait(t schemas.Trait, first *Traits, by who) float64 {
	it := item{t, first[t]}
	if it.hash == 0 {
		return 0
	}
	told := s.told[by]
	bits, known := told[it.key()]
	if !known {
		bits = s.traitBits(it, s.but[by])
		told[it.key()] = bits
	}
	return bits
}

// traitBits is what a value says. One that few suspects have says no more for the attack than that it is
// new: servers that name themselves in their agent all have one of their own, and that each of them is one
// in a thousand suspects and none of a few hundred normal clients makes it no bot. How many normal
// clients have something new those tell that have a value alone (Good 1953).
func (s *scorer) traitBits(it item, but float64) float64 {
	suspect, normal := s.suspect.items[it], s.normal.items[it]
	bits := s.bits(suspect, s.suspect.clients, normal, but)
	if suspect > minSupport {
		return bits
	}
	novel := s.bits(s.suspect.novel[it.trait], s.suspect.clients, s.normal.novel[it.trait], 0)
	if s.isNovel(it, but) {
		return novel
	}
	return min(bits, novel)
}

// isNovel reports whether a value is new to the site and rare.
func (s *scorer) isNovel(it item, but float64) bool {
	return s.normal.items[it] <= but && s.suspect.items[it] <= minSupport
}

// score adds up what a client is and does. Agent, encodings, TLS and protocol are one program's,
// and nearly one fact: the agent counts and, where it speaks for the attack, the most telling of
// the others; a search engine's program has a library's encodings, and is none of the attack's. What it
// does is counted together, and only what it asked for first tells as little as half.
func (s *scorer) score(k conduct, first *Traits, by who) float64 {
	return s.first(first, by).score(s.ofConduct(k, by))
}

// firstBits are what a client's first request says, apart from what it does.
type firstBits struct{ program, language, shape float64 }

func (b firstBits) score(conduct float64) float64 {
	return conduct + b.program + b.language + b.shape/2
}

func (s *scorer) first(first *Traits, by who) firstBits {
	program := s.ofTrait(schemas.TraitUserAgent, first, by)
	if others := max(s.ofTrait(schemas.TraitAcceptEncoding, first, by), s.ofTrait(schemas.TraitTLS, first, by),
		s.ofTrait(schemas.TraitProtocol, first, by)); program > -1 || others < 0 {
		program += others
	}
	return firstBits{program, s.ofTrait(schemas.TraitAcceptLanguage, first, by), s.ofTrait(schemas.TraitPathShape, first, by)}
}
