package attribute

import "github.com/weir-project/weir/schemas"

// Live is what a signature does now.
type Live struct {
	Clients  int     // suspect clients that it matches
	Requests float64 // their requests that it matches, in the sample
	// Regulars are the suspect clients that the normal sample knows, or that the site
	// knows from an earlier day; Touched those of them that the signature matches.
	Regulars, Touched int
}

// Look tells what the signature matches among the suspects. regulars are the Guests of
// the normal sample; paths says which paths are known, nil of none.
func Look(regulars map[uint64]bool, suspect *Sample, signature schemas.Signature, paths *Resolver) (live Live) {
	items := make([]item, len(signature))
	for i, t := range signature {
		items[i] = item{t.Trait, suspect.x.hash(t.Trait, []byte(t.Value))}
	}
	for i := range suspect.clients {
		c, matched := &suspect.clients[i], false
		for at := c.head; at >= 0; at = suspect.rows[at].next {
			traits := suspect.rows[at].traits
			if suspect.x.resolve(&traits, paths, 0); hasAll(&traits, items) {
				matched = true
				live.Requests += float64(suspect.rows[at].count)
			}
		}
		regular := c.regular || regulars[c.id]
		if regular {
			live.Regulars++
		}
		if matched {
			live.Clients++
			if regular {
				live.Touched++
			}
		}
	}
	return live
}
