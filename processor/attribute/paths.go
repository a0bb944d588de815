package attribute

import "github.com/weir-project/weir/schemas"

// Resolver says of paths, agents and query keys, by their keyed hashes, whether the site knows them, as if a
// client (by its keyed hash; 0 is nobody) had never been there: what one has made known is
// not known when he comes for the first time. So how many normal clients are found to bring what is unknown
// is how many of the next ones will (Good 1953). A Version has the same answers for ever.
type Resolver struct {
	Version uint64
	// Known is by what the list is of; nil says nothing of any.
	Known [schemas.NumListed]func(hash uint32, client uint64) bool
}

// on is what the lists say that say something of a normal sample: else what it does not tell of would seem to be
// what no normal client brings.
func (r *Resolver) on(normal *Sample) *Resolver {
	if r == nil {
		return nil
	}
	told, fit := normal.told(), *r
	for of := range told {
		if !told[of] && fit.Known[of] != nil {
			fit.Known[of] = nil
			fit.Version ^= 1 << (63 - of) // other answers
		}
	}
	return &fit
}

// What a list says of a request.
const (
	isKnown = iota
	isUnknown
	isNeither
	numSaid
)

// Listed fills the trait that a list says: hash is what is asked for, 0 for what is neither known nor unknown.
// Whether it is known is asked when it matters, and not when it is noted: a site's pages become known as it
// is learned, and what was unknown in its first minutes says nothing of now. So one that is not sure to be
// known stands by its hash until then.
func (x *Extractor) Listed(t *Traits, of schemas.Listed, sure bool, hash uint32) {
	said := &t[of.Trait()]
	switch *said = hash; {
	case sure:
		*said = x.listed[of][isKnown]
	case hash == 0:
		*said = x.listed[of][isNeither]
	}
}

// resolve replaces hashes by what is known of them; by nothing where no list is.
func (x *Extractor) resolve(t *Traits, lists *Resolver, client uint64) {
	for of := range schemas.NumListed {
		said := &t[of.Trait()]
		switch {
		case lists == nil || lists.Known[of] == nil:
			*said = 0
		case !x.unresolved(of, *said):
		case lists.Known[of](*said, client):
			*said = x.listed[of][isKnown]
		default:
			*said = x.listed[of][isUnknown]
		}
	}
}

// unresolved reports whether the trait is what is asked for, and not what is said of it.
func (x *Extractor) unresolved(of schemas.Listed, said uint32) bool {
	return said != 0 && said != x.listed[of][isKnown] && said != x.listed[of][isNeither]
}

// like reports whether two requests are one as a sample has it: whether an agent and a query's keys are known
// follows from what they are, and from when it was asked.
func (t *Traits) like(other *Traits) bool {
	const told = schemas.TraitAgentKnown
	return [told]uint32(t[:told]) == [told]uint32(other[:told])
}

// settle is what is known of the agent and the keys of two like requests, in any order: what is sure to be known
// by now is.
func (x *Extractor) settle(t, other *Traits) {
	for of := schemas.ListedAgents; of < schemas.NumListed; of++ {
		said, known := &t[of.Trait()], x.listed[of][isKnown]
		switch now := other[of.Trait()]; {
		case *said == known || now == known:
			*said = known
		default:
			*said = max(*said, now)
		}
	}
}

// fold counts a request in a row that differs by its path alone, and reports whether there
// is one: a client with many paths keeps the number of its requests.
func (s *Sample) fold(c *client, t *Traits, count, served uint32) bool {
	if !s.x.unresolved(schemas.ListedPaths, t[schemas.TraitPathKnown]) {
		return false
	}
	like := *t
	for i := c.head; i >= 0; i = s.rows[i].next {
		r := &s.rows[i]
		if !s.x.unresolved(schemas.ListedPaths, r.traits[schemas.TraitPathKnown]) {
			continue
		}
		like[schemas.TraitPathKnown] = r.traits[schemas.TraitPathKnown]
		if r.traits.like(&like) {
			s.x.settle(&r.traits, t)
			r.count += count
			r.served += served
			return true
		}
	}
	return false
}

// mostlyTold is the share of the normal requests that a list must say something of for it to say something of
// now: a sample that was begun before weir knew agents and query keys tells nothing of who brings unknown ones.
const mostlyTold = 0.98

// told are the lists that say something of most of a sample's requests, worked out once while it stands still.
func (s *Sample) told() [schemas.NumListed]bool {
	if s.tells != nil {
		return *s.tells
	}
	var count [schemas.NumListed]int
	n := 0
	for i := range s.clients {
		for at := s.clients[i].head; at >= 0; at = s.rows[at].next {
			n++
			for of := range schemas.NumListed {
				if s.rows[at].traits[of.Trait()] != 0 {
					count[of]++
				}
			}
		}
	}
	s.tells = new([schemas.NumListed]bool)
	for of := range s.tells {
		s.tells[of] = float64(count[of]) >= mostlyTold*float64(n)
	}
	return *s.tells
}
