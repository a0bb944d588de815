package attribute

import "github.com/weir-project/weir/schemas"

const (
	// nearestShown is how many of the nearest normal requests the evidence of a client has: there are thousands of them.
	nearestShown = 2
	// maxNear bounds the ways to speak for which they are kept.
	maxNear = 64
)

// spoken are the traits by which a client's nearest normal ones are found: how it speaks, and how what it asks for looks.
var spoken = [...]schemas.Trait{
	schemas.TraitAcceptLanguage, schemas.TraitAcceptEncoding, schemas.TraitTLS, schemas.TraitProtocol, schemas.TraitAgentFamily, schemas.TraitPathShape,
}

// nearestTo are the first requests of normal clients that share most with a client's first. They are looked for once
// for each way to speak, while the sample stands still; of more of these than are kept nothing is shown.
func (s *Sample) nearestTo(first *Traits) []string {
	var key [len(spoken)]uint32
	for i, t := range spoken {
		key[i] = first[t]
	}
	texts, known := s.near[key]
	if known || len(s.near) >= maxNear {
		return texts
	}
	var best [nearestShown]struct{ n, text int }
	for i := range s.clients {
		c := &s.clients[i]
		if c.text < 0 || c.head < 0 {
			continue
		}
		n, other := 0, &s.rows[c.head].traits
		for j, t := range spoken {
			if other[t] == key[j] {
				n++
			}
		}
		for j := range best {
			if n > best[j].n {
				copy(best[j+1:], best[j:])
				best[j].n, best[j].text = n, int(c.text)
				break
			}
		}
	}
	for _, b := range best {
		if b.n > 0 {
			texts = append(texts, s.texts[b.text].String())
		}
	}
	if s.near == nil {
		s.near = make(map[[len(spoken)]uint32][]string)
	}
	s.near[key] = texts
	return texts
}
