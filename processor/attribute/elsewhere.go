package attribute

import "github.com/weir-project/weir/schemas"

// saysOfClient are the traits that tell what a client is, on whatever site it comes to.
var saysOfClient = [schemas.NumTraits]bool{
	schemas.TraitUserAgent: true, schemas.TraitAcceptLanguage: true, schemas.TraitAcceptEncoding: true, schemas.TraitTLS: true,
	schemas.TraitProtocol: true, schemas.TraitMethod: true, schemas.TraitReferer: true, schemas.TraitAgentFamily: true,
}

// mayBlock reports whether there are clients enough, here or elsewhere, for any block: of a young
// site, whose own few certify nothing, what is known of programs everywhere tells. What clients of an attack by browsers have in common some
// of the people have, too, each of whom a block locks out and a challenge does not: it asks.
func (a *analysis) mayBlock() bool {
	if a.budget.Browsers {
		return false
	}
	n := 0
	for _, s := range a.budget.Elsewhere {
		n += s.Len()
	}
	return !a.young || UpperShare(0, n) <= a.budget.Collateral || a.enoughHeld()
}

// elsewhere is how many visitors of the estate's other sites were asked whether they are what the
// items say of a client, and whether one of them is. What a signature says of paths is left out:
// without it, it matches more.
func (a *analysis) elsewhere(items []item) (asked int, somebody bool) {
	var of []item
	for _, it := range items {
		if saysOfClient[it.trait] {
			of = append(of, it)
		}
	}
	if len(of) == 0 {
		return 0, false
	}
	for _, s := range a.budget.Elsewhere {
		for i := range s.clients {
			c := &s.clients[i]
			if !s.visitor(c) {
				continue
			}
			if s.shows(c, of) {
				return asked, true
			}
			asked++
		}
	}
	return asked, false
}

// shows reports whether a client was served a request with all the items.
func (s *Sample) shows(c *client, items []item) bool {
	for at := c.head; at >= 0; at = s.rows[at].next {
		if r := &s.rows[at]; r.served > 0 && hasAll(&r.traits, items) {
			return true
		}
	}
	return false
}
