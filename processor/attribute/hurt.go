package attribute

import (
	"math"
	"slices"

	"github.com/weir-project/weir/schemas"
)

// Hurt is what signatures were lifted for that had stopped people: the signatures, and those people of
// whom the sample tells what they sent. They are few: of a hundred who were stopped one was let through
// and watched.
type Hurt struct {
	Signatures []schemas.Signature
	People     *Sample // nil for nobody
}

const (
	// leastHurt is how many of the people must be known for what matches none of them to be taken for something
	// else than what hurt.
	leastHurt = 2
	// luck is with what chance a part of what hurt may match none of the known people and yet as many of all of
	// them as the rest does.
	luck = 0.05
)

// Take adds those clients of another sample that are wanted, by their hashes, whatever the levels of the two.
func (s *Sample) Take(other *Sample, wanted map[uint64]bool) {
	for i := range other.clients {
		from := &other.clients[i]
		if !wanted[from.id] {
			continue
		}
		at := s.adopt(from, other)
		if at < 0 {
			continue
		}
		s.clients[at].requests += from.requests
		s.addRows(at, from, other)
		s.changed()
	}
}

// Touched is how many of the people a rule matches. paths says which paths are known, nil of none.
func (h *Hurt) Touched(rule Rule, paths *Resolver) int {
	if h.People == nil {
		return 0
	}
	return h.People.touchedBy(h.People.x.matcher(rule), paths)
}

// touchedBy is how many clients of a sample sent a request that matches.
func (s *Sample) touchedBy(match matcher, paths *Resolver) (clients int) {
	for i := range s.clients {
		c := &s.clients[i]
		from := networksOf(c.addr)
		for at := c.head; at >= 0; at = s.rows[at].next {
			traits := s.rows[at].traits
			if s.x.resolve(&traits, paths, c.id); match(&traits, &from) {
				clients++
				break
			}
		}
	}
	return clients
}

// hurts reports whether a rule would do again what others were lifted for: it matches one of the people
// whom those stopped, or it is a part of what hurt, one so small that by luck alone none of the few people who
// are known is in it. Otherwise what was lifted comes back in twenty parts, one for each agent. rows are the suspects' that it matches.
func (a *analysis) hurts(match matcher, rows []uint64) bool {
	h := &a.budget.Hurt
	if h.People != nil && h.People.touchedBy(match, a.budget.Paths) > 0 {
		return true
	}
	all, _ := a.suspect.count(rows)
	for _, s := range h.Signatures {
		of := a.suspect.match(a.items(s))
		same, _ := a.suspect.countBoth(rows, of)
		if 2*same <= all {
			continue
		}
		known := 0
		if h.People != nil {
			known = h.People.touchedBy(ofItems(a.items(s)), a.budget.Paths)
		}
		whole, _ := a.suspect.count(of)
		if known < leastHurt || math.Pow(1-float64(same)/float64(whole), float64(known)) > luck {
			return true
		}
	}
	return false
}

// hurtBefore reports whether a signature was lifted in an earlier incident, or stops one of the people for whom another was.
func (a *analysis) hurtBefore(signature schemas.Signature, items []item) bool {
	h := &a.budget.HurtBefore
	if h.People != nil && h.People.touchedBy(ofItems(items), a.budget.Paths) > 0 {
		return true
	}
	return len(h.Signatures) > 0 && slices.ContainsFunc(h.Signatures, func(s schemas.Signature) bool { return s.String() == signature.String() })
}
