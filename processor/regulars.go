package processor

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weir-project/weir/schemas"
)

// A client is told to the edges as a regular when it has come to the site for so many whole
// days, and was known as one for so long while nothing was wrong there: an attack that has
// not been noticed yet makes nobody a regular.
const (
	regularDays  = 2
	regularRipen = 600 // seconds
)

// RegularsBook is what a Counter remembers of the regulars that it tells the edges of. The
// zero value has told of none. Not for concurrent use.
type RegularsBook struct {
	ripe map[string]map[netip.Addr]int64 // by site: since when, in unix seconds; 0 is told
}

// Told notes what an earlier counter told.
func (b *RegularsBook) Told(sites []schemas.SiteRegulars) {
	b.ripe = make(map[string]map[netip.Addr]int64, len(sites))
	for _, s := range sites {
		b.ripe[s.Site] = make(map[netip.Addr]int64, len(s.Clients))
		for _, client := range s.Clients {
			b.ripe[s.Site][client] = 0
		}
	}
}

// regularVisits are how often a client was at a site.
type regularVisits struct {
	client         netip.Addr
	days, requests int
}

// Regulars are the most regular clients of each site, as an edge may know them: at most
// schemas.MaxSiteRegulars of one and schemas.MaxRegulars of all. While an incident is open
// on a site nobody joins its list, and who attacks leaves it.
func (c *Counter) Regulars(b *RegularsBook) []schemas.SiteRegulars {
	if c.shared {
		c.know.data.RLock()
		defer c.know.data.RUnlock()
	}
	index, visits := make(map[uint32]int, len(c.sites)), make([]map[netip.Addr]regularVisits, len(c.sites))
	for i, s := range c.sites {
		if s.name != Other {
			index[uint32(s.salt>>32)], visits[i] = i, make(map[netip.Addr]regularVisits)
		}
	}
	c.clients.EachRegular(func(client netip.Addr, site uint32, days, requests int) {
		i, ok := index[site]
		if !ok || days < regularDays {
			return
		}
		v := visits[i][client]
		visits[i][client] = regularVisits{client, max(v.days, days), v.requests + requests}
	})
	var told []schemas.SiteRegulars
	for i, s := range c.sites {
		if list := b.choose(s.name, visits[i], c.latest/1000, s.known.troubled != 0); len(list) > 0 {
			told = append(told, schemas.SiteRegulars{Site: s.name, Clients: list})
		}
	}
	for site := range b.ripe {
		if _, ok := c.index[site]; !ok {
			delete(b.ripe, site)
		}
	}
	slices.SortFunc(told, func(a, b schemas.SiteRegulars) int { return cmp.Compare(a.Site, b.Site) })
	return fairly(told, schemas.MaxRegulars)
}

// choose takes the most regular of a site, and gives those that are ripe by address.
func (b *RegularsBook) choose(site string, visits map[netip.Addr]regularVisits, now int64, troubled bool) []netip.Addr {
	order := make([]regularVisits, 0, len(visits))
	for _, v := range visits {
		order = append(order, v)
	}
	slices.SortFunc(order, func(a, b regularVisits) int {
		return cmp.Or(b.days-a.days, b.requests-a.requests, a.client.Compare(b.client))
	})
	before, after := b.ripe[site], make(map[netip.Addr]int64)
	var list []netip.Addr
	for _, v := range order[:min(len(order), schemas.MaxSiteRegulars)] {
		since, known := before[v.client]
		if !known || troubled && since != 0 {
			since = now
		}
		if since != 0 && !troubled && now-since >= regularRipen {
			since = 0
		}
		if after[v.client] = since; since == 0 {
			list = append(list, v.client)
		}
	}
	if b.ripe == nil {
		b.ripe = make(map[string]map[netip.Addr]int64)
	}
	b.ripe[site] = after
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// fairly cuts the longest lists so that all together have at most so many.
func fairly(sites []schemas.SiteRegulars, most int) []schemas.SiteRegulars {
	total, cut := 0, schemas.MaxSiteRegulars
	for _, s := range sites {
		total += len(s.Clients)
	}
	for ; total > most; cut = cut * 3 / 4 {
		total = 0
		for i := range sites {
			sites[i].Clients = sites[i].Clients[:min(len(sites[i].Clients), cut)]
			total += len(sites[i].Clients)
		}
	}
	return slices.DeleteFunc(sites, func(s schemas.SiteRegulars) bool { return len(s.Clients) == 0 })
}
