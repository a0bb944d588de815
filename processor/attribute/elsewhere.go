package attribute

import "github.com/weir-project/weir/schemas"

// saysOfClient are the traits that tell what a client is, on whatever site it comes to.
var saysOfClient = [schemas.NumTraits]bool{
	schemas.TraitUserAgent: true, schemas.TraitAcceptLanguage: true, schemas.TraitAcceptEncoding: true, schemas.TraitTLS: true,
	schemas.TraitProtocol: true, schemas.TraitMethod: true, schemas.TraitReferer: true, schemas.TraitAgentFamily: true,
}

// mayBlock reports whether there are clients enough, here or elsewhere, for any block.
func (a *analysis) mayBlock() bool {
	n := 0
	for _, s := range a.budget.Elsewhere {
		n += s.Len()
	}
	return UpperShare(0, a.calibrate0.all) <= a.budget.Collateral || UpperShare(0, n) <= a.budget.Collateral
}

// elsewhereNobody reports whether no visitor of the estate's other sites is what the items say
// of a client, and there are visitors enough for that to certify the budget. What a signature
// says of paths is left out: without it, it matches more.
func (a *analysis) elsewhereNobody(items []item) bool {
	var of []item
	for _, it := range items {
		if saysOfClient[it.trait] {
			of = append(of, it)
		}
	}
	if len(of) == 0 {
		return false
	}
	n := 0
	for _, s := range a.budget.Elsewhere {
		for i := range s.clients {
			c := &s.clients[i]
			if !s.visitor(c) {
				continue
			}
			if s.shows(c, of) {
				return false
			}
			n++
		}
	}
	return UpperShare(0, n) <= a.budget.Collateral
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
