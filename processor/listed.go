package processor

import (
	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/schemas"
)

// linkKeys are schemas.LinkKeys as they stand in a set.
func linkKeys(seed uint64) (links pathSet) {
	for _, key := range schemas.LinkKeys {
		links.add(keyHash(seed, []byte(key)))
	}
	return links
}

// keyHash is what a query's key is told apart by.
func keyHash(seed uint64, key []byte) uint32 {
	return pathHash(xxh3.HashSeed(key, seed+uint64(asQuery)))
}

// agentOf is what the agent of a row is told apart by; 0 where it is neither known nor unknown.
func (c *Counter) agentOf(row int) uint32 {
	index := c.strings.agent[row]
	h := &c.strings.seen[index]
	if h.use != asAgent {
		*h = hashedString{use: asAgent}
		var ok bool
		if c.key, ok = schemas.KnownAgent(c.key[:0], c.strings.texts[index]); ok {
			h.hash = uint64(pathHash(xxh3.HashSeed(c.key, c.seed+uint64(asAgent))))
		}
	}
	return uint32(h.hash)
}

// queryOf is what one of those keys of a request's query is told apart by that are not sure to be known: 0 where
// all are (sure is then true), and where the request is neither known nor unknown by its query. Of several it is any of
// the first schemas.MaxQueryKeys, drawn by the secret for each client: were it the first, a key that one client has
// made known, put before those that are made up, would hide them all.
func (c *Counter) queryOf(known *siteKnowledge, r *schemas.Request, client uint64) (hash uint32, sure bool) {
	switch {
	case !schemas.QueryListed(r):
		return 0, false
	case len(r.Query) == 0 || schemas.AssetPath(r.Path):
		return 0, true
	}
	first := uint32(0)
	for n, rest := 0, r.Query; n < schemas.MaxQueryKeys && len(rest) > 0; n++ {
		var key []byte
		if key, rest = schemas.NextQueryKey(rest); len(key) == 0 {
			continue
		}
		var ok bool
		if c.key, ok = schemas.KnownQuery(c.key[:0], key); !ok {
			return 0, false
		}
		h := keyHash(c.seed, c.key)
		if known.sure.has(h) || c.links.has(h) {
			continue
		}
		if place := (h ^ uint32(client)) * 0x9E3779B1; hash == 0 || place < first || place == first && h < hash {
			hash, first = h, place
		}
	}
	return hash, hash == 0
}

// findOthers notes the agent and the keys of the query that the site served and does not know for sure.
func (s *countedSite) findOthers(p *Pane, r *schemas.Request, row int, client uint32, by uint8) {
	c, ok := s.c, false
	if agent := c.agentOf(row); agent != 0 && r.Fields.Has(schemas.FieldUserAgent) && !s.known.sure.has(agent) {
		if c.key, ok = schemas.KnownAgent(c.key[:0], r.UserAgent); ok {
			p.Found.add(foundPath{hash: agent, client: client, by: by, of: schemas.ListedAgents}, c.key, paneFound, paneFoundBytes)
		}
	}
	if len(r.Query) == 0 || !schemas.QueryListed(r) || schemas.AssetPath(r.Path) {
		return
	}
	for n, rest := 0, r.Query; n < schemas.MaxQueryKeys && len(rest) > 0; n++ {
		var key []byte
		key, rest = schemas.NextQueryKey(rest)
		if c.key, ok = schemas.KnownQuery(c.key[:0], key); !ok {
			continue
		}
		if h := keyHash(c.seed, c.key); !s.known.sure.has(h) && !c.links.has(h) {
			p.Found.add(foundPath{hash: h, client: client, by: by, of: schemas.ListedQueries}, c.key, paneFound, paneFoundBytes)
		}
	}
}

// said is what a list would say of a row, as far as is known here: what two clients were served is known, and
// so is an asset; anything else is taken for unknown. "" is neither.
func (c *Counter) said(of schemas.Listed, known *siteKnowledge, r *schemas.Request, row int) string {
	hash, sure := uint32(0), false
	switch of {
	case schemas.ListedAgents:
		if hash = c.agentOf(row); !r.Fields.Has(schemas.FieldUserAgent) {
			hash = 0
		}
		sure = known.sure.has(hash)
	case schemas.ListedQueries:
		hash, sure = c.queryOf(known, r, c.strings.clients[row])
	default:
		hash = pathHash(c.hashOf(c.strings.path[row], asPath))
		sure = known.sure.has(hash) || schemas.AssetPath(r.Path)
	}
	switch {
	case sure:
		return schemas.PathKnown
	case hash == 0:
		return ""
	}
	return schemas.PathUnknown
}
