package attribute

import "github.com/weir-project/weir/schemas"

// Resolver says of a path, by its keyed hash, whether the site is known to have it, as if a
// client (by its keyed hash; 0 is nobody) had never been there: what one has made known is
// not known when he comes for the first time. A Version has the same answers for ever.
type Resolver struct {
	Version uint64
	Known   func(path uint32, client uint64) bool
}

// NoPath fills the trait of a path that is neither known nor unknown (see schemas.KnownPath): no edge tells one from
// the other, so that nothing can be decided on it, and what its request has besides counts all the same.
func (x *Extractor) NoPath(t *Traits) { t[schemas.TraitPathKnown] = x.neither }

// Path fills the trait of the path. Whether it is known is asked when it matters, and not
// when it is noted: a site's pages become known as it is learned, and what was unknown in
// its first minutes says nothing of now. So one that is not sure to be known stands by its
// hash until then.
func (x *Extractor) Path(t *Traits, sure bool, hash uint32) {
	t[schemas.TraitPathKnown] = hash
	if sure {
		t[schemas.TraitPathKnown] = x.known[0]
	}
}

// resolve replaces a path's hash by what is known of it; by nothing without a Resolver.
func (x *Extractor) resolve(t *Traits, paths *Resolver, client uint64) {
	switch path := t[schemas.TraitPathKnown]; {
	case path == 0 || path == x.known[0] || path == x.neither:
		if paths == nil {
			t[schemas.TraitPathKnown] = 0
		}
	case paths == nil:
		t[schemas.TraitPathKnown] = 0
	case paths.Known(path, client):
		t[schemas.TraitPathKnown] = x.known[0]
	default:
		t[schemas.TraitPathKnown] = x.known[1]
	}
}

// unresolved reports whether the trait is a path's hash.
func (x *Extractor) unresolved(t *Traits) bool {
	path := t[schemas.TraitPathKnown]
	return path != 0 && path != x.known[0] && path != x.neither
}

// fold counts a request in a row that differs by its path alone, and reports whether there
// is one: a client with many paths keeps the number of its requests.
func (s *Sample) fold(c *client, t *Traits, count, served uint32) bool {
	if !s.x.unresolved(t) {
		return false
	}
	like := *t
	for i := c.head; i >= 0; i = s.rows[i].next {
		r := &s.rows[i]
		if !s.x.unresolved(&r.traits) {
			continue
		}
		like[schemas.TraitPathKnown] = r.traits[schemas.TraitPathKnown]
		if r.traits == like {
			r.count += count
			r.served += served
			return true
		}
	}
	return false
}
