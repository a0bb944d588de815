package attribute

import (
	"net/netip"
	"slices"

	"github.com/weir-project/weir/schemas"
)

// Names calls yield with each trait's value of each request kept, more than once where it
// is there more than once, and with what tells its text, if that is known. Values whose
// hash says it all (no referer, some cookie) are left out.
func (s *Sample) Names(yield func(t schemas.Trait, hash uint32, text func() (string, bool))) {
	s.eachValue(func(t schemas.Trait, hash uint32) {
		yield(t, hash, func() (string, bool) { return s.x.Name(t, hash) })
	})
}

// Touch counts the values of the requests kept as seen, so that their names stay: to be
// called of a sample that was read and not added to.
func (s *Sample) Touch() {
	s.eachValue(func(t schemas.Trait, hash uint32) { s.x.names.touch(t, hash) })
}

// hashTells are the traits whose values have no text but what their hashes are known by.
var hashTells = [schemas.NumTraits]bool{
	schemas.TraitReferer: true, schemas.TraitCookie: true,
	schemas.TraitPathKnown: true, schemas.TraitAgentKnown: true, schemas.TraitQueryKnown: true,
}

func (s *Sample) eachValue(do func(t schemas.Trait, hash uint32)) {
	for i := range s.clients {
		for at := s.clients[i].head; at >= 0; at = s.rows[at].next {
			for t, hash := range s.rows[at].traits {
				if t := schemas.Trait(t); hash != 0 && !hashTells[t] {
					do(t, hash)
				}
			}
		}
	}
}

// Programs calls yield with the client and the program of each request kept that the
// site served, of clients that are visitors and of which no edge stopped a request.
func (s *Sample) Programs(yield func(client, program uint64)) {
	for i := range s.clients {
		c := &s.clients[i]
		if c.stopped || !s.visitor(c) {
			continue
		}
		for at := c.head; at >= 0; at = s.rows[at].next {
			if s.rows[at].served > 0 {
				yield(c.id, s.rows[at].traits.Program())
			}
		}
	}
}

// visitor reports whether the site served at least half of what the client asked
// for. The rest is the background noise of scanners, which nobody would miss.
func (s *Sample) visitor(c *client) bool {
	var served, all uint32
	for at := c.head; at >= 0; at = s.rows[at].next {
		served += s.rows[at].served
		all += s.rows[at].count
	}
	return 2*served >= all
}

// IDs are the hashes of the clients in the sample, each once.
func (s *Sample) IDs() map[uint64]bool {
	ids := make(map[uint64]bool, len(s.clients))
	for i := range s.clients {
		ids[s.clients[i].id] = true
	}
	return ids
}

// Distinct is how many of them there are, counted once while the sample stands still.
func (s *Sample) Distinct() int {
	if s.ids == 0 {
		s.ids = len(s.IDs())
	}
	return s.ids
}

// Len is how many clients the sample holds, each counted in every period.
func (s *Sample) Len() int { return len(s.clients) }

// Clients is how many clients the span had, each counted in every period, estimated
// from the sample.
func (s *Sample) Clients() float64 { return float64(len(s.clients)) * s.scale() }

// Visits is how many clients there were, each counted once in every sample that
// was merged into this one: beside Span it gives clients per span of a sample.
func (s *Sample) Visits() float64 {
	if s.visits > 0 {
		return s.visits
	}
	return s.Clients()
}

func (s *Sample) scale() float64 { return float64(uint64(1) << s.level) }

// Has reports whether a client is in the sample.
func (s *Sample) Has(address netip.Addr) bool {
	addr := schemas.ClientOf(address).As16()
	return slices.ContainsFunc(s.clients, func(c client) bool { return c.addr == addr })
}
