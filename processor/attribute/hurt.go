package attribute

import "github.com/weir-project/weir/schemas"

// Hurt is what signatures were lifted for that had stopped people: the signatures, and those people of
// whom the sample tells what they sent. They are few: of a hundred who were stopped one was let through
// and watched.
type Hurt struct {
	Signatures []schemas.Signature
	People     *Sample // nil for nobody
}

// leastHurt is how many of the people must be known for what matches none of them to be taken for something
// else than what hurt.
const leastHurt = 2

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

// Touched is how many of the people a signature matches. paths says which paths are known, nil of none.
func (h *Hurt) Touched(signature schemas.Signature, paths *Resolver) int {
	if h.People == nil {
		return 0
	}
	return h.People.touchedBy(h.People.x.items(signature), paths)
}

// touchedBy is how many clients of a sample sent a request that has all the items.
func (s *Sample) touchedBy(items []item, paths *Resolver) (clients int) {
	for i := range s.clients {
		c := &s.clients[i]
		for at := c.head; at >= 0; at = s.rows[at].next {
			traits := s.rows[at].traits
			if s.x.resolve(&traits, paths, c.id); hasAll(&traits, items) {
				clients++
				break
			}
		}
	}
	return clients
}

// hurts reports whether a signature would do again what others were lifted for: it matches one of the people
// whom those stopped, or mostly the same suspects, of whom hardly anybody knows who are people.
// rows are the suspects' that it matches.
func (a *analysis) hurts(items []item, rows []uint64) bool {
	h := &a.budget.Hurt
	if h.People != nil && h.People.touchedBy(items, a.budget.Paths) > 0 {
		return true
	}
	if h.People != nil && h.People.Len() >= leastHurt {
		return false
	}
	all, _ := a.suspect.count(rows)
	for _, s := range h.Signatures {
		if same, _ := a.suspect.count(and(rows, a.suspect.match(a.items(s)))); 2*same > all {
			return true
		}
	}
	return false
}
