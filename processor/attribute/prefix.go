package attribute

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weir-project/weir/schemas"
)

const (
	// minDense is how many of the attack's clients a prefix must have: fewer are decided on one by one. Whether so
	// many visitors can be there by chance is asked beside.
	minDense = 6
	// maxPrefixes bounds the prefixes in force on a site.
	maxPrefixes = 64
)

// prefixLevels are the prefixes that are decided on, the wide before the narrow: a provider's block, a quarter of it
// for where somebody is known from the rest, and a customer's part, of IPv4 and of IPv6, where a client is a /64 of its own. Of
// a level's parts, customers', so many must have a client of the attack's: else the narrower ones within are meant.
var prefixLevels = [...]struct{ v4, v6, filled int }{{20, 48, 4}, {22, 52, 3}, {24, 56, 1}}

// levels are the prefixes that an address is in, the wide before the narrow.
type levels [len(prefixLevels)]netip.Prefix

func (l *levels) narrow() netip.Prefix { return l[len(l)-1] }

// dense is a prefix and what of the suspects is in it.
type dense struct {
	prefix  netip.Prefix
	clients []int32               // of the suspect matrix
	parts   map[netip.Prefix]bool // narrow ones with a client
}

// densePrefixes are measures on prefixes that the attack's clients fill and nobody else comes from: an address of
// theirs that was never seen before is stopped at its first request. None is taken that a client is known from who
// came in normal times, on an earlier day, or before the attack, here or on the estate's other sites; nor one
// that somebody in it loads assets from or brings a cookie from now; nor a proxy's. Of so many clients as it has hardly one
// can be normal, by what share of the site's clients may come from where none of those known is from. It costs what
// a signature costs that no normal client shows, so that the budget bounds how many there can be: where that of blocks is spent, or the site
// knows too few people for it, they are challenged, and cost of what challenges may.
func (a *analysis) densePrefixes() (measures []Measure) {
	a.coverPrefixes()
	if len(a.budget.Prefixes) >= maxPrefixes || !a.enoughHeld() {
		return nil
	}
	found := a.dense()
	if len(found) == 0 {
		return nil
	}
	a.dropKnown(found)
	blocks := a.mayBlock() && UpperShare(0, a.calibrate0.all) <= a.budget.Collateral
	for _, d := range a.choosePrefixes(found) {
		action, doubt := schemas.Challenge, &a.later
		if blocks && a.expected(a.charged, a.doubt+leastDoubt) <= a.budget.Collateral {
			action, doubt = schemas.Block, &a.doubt
		} else if a.expected(a.charged, a.doubt+a.later+leastDoubt) > a.budget.Soft {
			break
		}
		if m := a.prefixMeasure(d, action); m.Stops > 0 {
			measures = append(measures, m)
		}
		*doubt += leastDoubt
	}
	return measures
}

// coverPrefixes takes out what prefixes in force match.
func (a *analysis) coverPrefixes() {
	if len(a.budget.Prefixes) == 0 {
		return
	}
	a.doubt += leastDoubt * float64(len(a.budget.Prefixes)-a.budget.Asked)
	a.later += leastDoubt * float64(a.budget.Asked)
	rows := make([]uint64, a.suspect.words)
	for i := range a.suspect.rows {
		if addr := a.addrOf(a.suspect.owner[i]); slices.ContainsFunc(a.budget.Prefixes, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			rows[i/64] |= 1 << (i % 64)
		}
	}
	a.take(rows, make([]uint64, a.normal.words))
}

// addrOf is the address of a client of the suspect matrix.
func (a *analysis) addrOf(owner int32) netip.Addr {
	return netip.AddrFrom16(a.suspect.addrs[owner]).Unmap()
}

// dense are the prefixes that suspects with an open request fill.
func (a *analysis) dense() map[netip.Prefix]*dense {
	count, found := make(map[netip.Prefix]int, len(a.suspect.clients)), make(map[netip.Prefix]*dense)
	a.eachOpenClient(func(_ int32, in *levels) {
		for _, p := range in {
			count[p]++
		}
	})
	for p, n := range count {
		if n >= minDense {
			found[p] = &dense{prefix: p, clients: make([]int32, 0, n), parts: make(map[netip.Prefix]bool)}
		}
	}
	if len(found) == 0 {
		return nil
	}
	a.eachOpenClient(func(client int32, in *levels) {
		for _, p := range in {
			if d := found[p]; d != nil {
				d.clients = append(d.clients, client)
				d.parts[in.narrow()] = true
			}
		}
	})
	return found
}

// eachOpenClient calls do with the suspects that have an open request, and the prefixes that each is in.
func (a *analysis) eachOpenClient(do func(client int32, in *levels)) {
	last := int32(-1)
	for i := range a.suspect.rows {
		if a.open[i/64]>>(i%64)&1 == 0 || a.suspect.owner[i] == last {
			continue
		}
		last = a.suspect.owner[i]
		in := prefixesOf(a.addrOf(last))
		do(last, &in)
	}
}

// prefixesOf are those that a client is in.
func prefixesOf(addr netip.Addr) (in levels) {
	for i, of := range prefixLevels {
		bits := of.v4
		if addr.Is6() {
			bits = of.v6
		}
		in[i], _ = addr.Prefix(bits) // which is in range
	}
	return in
}

// dropKnown drops the prefixes that somebody is known from, or behaves like people in.
func (a *analysis) dropKnown(found map[netip.Prefix]*dense) {
	drop := func(addr [16]byte) {
		for _, p := range prefixesOf(netip.AddrFrom16(addr).Unmap()) {
			delete(found, p)
		}
	}
	known := slices.Concat([]*Sample{a.normalSample}, a.budget.Elsewhere)
	if a.earlier != nil {
		known = append(known, a.earlier.sample)
	}
	for _, s := range known {
		for i := range s.clients {
			if c := &s.clients[i]; !s.pretends(c) {
				drop(c.addr)
			}
		}
	}
	s := a.suspectSample
	for i := range s.clients {
		c := &s.clients[i]
		if c.regular || c.seen&sawAsset != 0 || s.brings(c) || a.budget.Spare != nil && a.budget.Spare(netip.AddrFrom16(c.addr).Unmap()) {
			drop(c.addr)
		}
	}
	for _, p := range a.budget.RefusedPrefixes {
		for q := range found {
			if p.Overlaps(q) {
				delete(found, q)
			}
		}
	}
}

// choosePrefixes are those that cannot be there by chance, the wide before the narrow, of which those with most of the attack's
// clients first; a narrow one only where none around it is taken.
func (a *analysis) choosePrefixes(found map[netip.Prefix]*dense) (chosen []*dense) {
	expected := a.normalClients * UpperShare(0, a.calibrate0.all)
	taken := make(map[netip.Prefix]bool)
	for level, of := range prefixLevels {
		var list []*dense
		for p, d := range found {
			around := prefixesOf(p.Addr())
			if p != around[level] || len(d.parts) < of.filled || slices.ContainsFunc(around[:level], func(w netip.Prefix) bool { return taken[w] }) {
				continue
			}
			if poissonAtLeast(len(d.clients), expected) <= chance {
				list = append(list, d)
			}
		}
		slices.SortFunc(list, func(x, y *dense) int {
			return cmp.Or(cmp.Compare(len(y.clients), len(x.clients)), x.prefix.Addr().Compare(y.prefix.Addr()))
		})
		for _, d := range list {
			taken[d.prefix] = true
		}
		chosen = append(chosen, list...)
	}
	return chosen[:min(len(chosen), maxPrefixes-len(a.budget.Prefixes))]
}

// prefixMeasure makes a measure of a prefix and takes out what it matches.
func (a *analysis) prefixMeasure(d *dense, action schemas.Action) Measure {
	rows, requests, at := make([]uint64, a.suspect.words), 0.0, 0
	for i := range a.suspect.rows {
		for at < len(d.clients) && d.clients[at] < a.suspect.owner[i] {
			at++
		}
		if at < len(d.clients) && d.clients[at] == a.suspect.owner[i] {
			rows[i/64] |= 1 << (i % 64)
			if a.open[i/64]>>(i%64)&1 == 1 {
				requests += a.suspect.weight[i]
			}
		}
	}
	share := requests / (a.attackShare * max(a.suspect.total, 1))
	bound := UpperShare(0, a.calibrate0.all)
	a.take(rows, make([]uint64, a.normal.words))
	m := Measure{
		Action: action, Scope: schemas.ScopePrefix, Value: d.prefix.String(), Stops: min(1, share),
		Collateral: bound, CollateralClients: a.calibrate0.all, CollateralPerHour: bound * a.clientsPerHour(), Clients: len(d.clients),
		Evidence: &schemas.Evidence{
			AttackShare: min(1, share), RiskRatio: LowerRiskRatio(float64(len(d.clients)), float64(len(a.suspect.clients)), 0, float64(a.choose0.all+a.calibrate0.all)),
			SQL: prefixSQL(a.budget.Site, d.prefix),
		},
	}
	for i := range a.suspectSample.clients {
		if c := &a.suspectSample.clients[i]; c.text >= 0 && len(m.Evidence.Samples) < 3 && d.prefix.Contains(netip.AddrFrom16(c.addr).Unmap()) {
			m.Evidence.Samples = append(m.Evidence.Samples, a.suspectSample.texts[c.text].String())
			if m.Evidence.Nearest == nil && c.head >= 0 {
				m.Evidence.Nearest = a.normalSample.nearestTo(&a.suspectSample.rows[c.head].traits)
			}
		}
	}
	return m
}

// prefixSQL is a query that shows who comes from a prefix to a site, those who came first at the top.
func prefixSQL(site string, prefix netip.Prefix) string {
	last := prefix.Addr().AsSlice()
	for bit := prefix.Bits(); bit < 8*len(last); bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	end, _ := netip.AddrFromSlice(last) // as long as the first
	return "SELECT client, min(time) AS first, count() AS requests, any(user_agent) AS agent FROM requests WHERE site = " +
		Quote(site) + " AND client BETWEEN toIPv6(" + Quote(prefix.Addr().String()) + ") AND toIPv6(" + Quote(end.String()) +
		") GROUP BY client ORDER BY first LIMIT 100"
}

// LookPrefix is what of the samples is in a prefix: suspects, and clients known from before.
func LookPrefix(normal, suspect *Sample, prefix netip.Prefix) (live LivePrefix) {
	for i := range suspect.clients {
		c := &suspect.clients[i]
		if !prefix.Contains(netip.AddrFrom16(c.addr).Unmap()) {
			continue
		}
		live.Clients++
		if c.regular || c.seen&sawAsset != 0 {
			live.People++
		}
	}
	for i := range normal.clients {
		if c := &normal.clients[i]; !normal.pretends(c) && prefix.Contains(netip.AddrFrom16(c.addr).Unmap()) {
			live.People++
		}
	}
	return live
}

// LivePrefix counts clients of a prefix: suspects, and those of them and of the normal ones who are people.
type LivePrefix struct{ Clients, People int }
