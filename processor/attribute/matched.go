package attribute

import (
	"math"
	"net/netip"
	"slices"

	"github.com/weir-project/weir/schemas"
)

// Matched is the name in evidence of what it says of a client that a signature has matched it.
const Matched = "matched"

// leftShare is the least share of what clients whom signatures match ask for besides that signatures must leave, for
// those to be measured for all else that they ask for. Each has sent one request that is matched, or nothing would be known of it; of
// a flood's first minute most have sent no other, and how much of all they leave says nothing.
const leftShare = 0.03

// matchedClients are those of whom a signature that blocks, or one at all, has matched a request, where those
// leave a part of the attack: botnets ask for pages that are there now and then, as visitors do, and a client
// that has sent what is the attack's is stopped with that, too. Whom that costs anything is stopped by the
// signature already, so that nobody else is touched; and where a client's other traits speak for a visitor,
// or the site knows it, it is left alone. So are probes: what they do once they are let through is to be seen; and
// addresses among which several visitors have come, as those behind which a provider's customers are all together.
// Those whom rules match are looked for among Budget.Whole: of a large botnet the suspects are a draw.
func (a *analysis) matchedClients(by charge, rules []Rule, action schemas.Action) (measures []Measure) {
	if a.budget.MaxMatched <= 0 {
		return nil
	}
	matched, left := a.matched(by.open, rules)
	if left < leftShare {
		return nil
	}
	s := a.scorer()
	if s == nil {
		return nil
	}
	said := s.ofMatched(matched, by, action)
	rivals := max(float64(len(matched))-a.normalClients, 0)
	if whole := a.budget.Whole; whole != nil {
		s.sample, matched = whole, a.matchedOf(whole, rules)
	}
	found := s.suspects(matched, max(leastBits, math.Log2(minOdds*(a.normalClients+1)/(rivals+1)))-said.Bits)
	touched := a.beside(a.normal.clientsOf(by.rows), a.normal.touched(by.rows, true), action == schemas.Block)
	visited := a.normalSample.networks()
	for i := range found {
		f := &found[i]
		f.score += said.Bits
		if f.measured.Severity() >= action.Severity() || f.client.seen&sawAsset != 0 || a.probe(f.client) || a.within(f.client) || visited[network(f.client.addr)] {
			continue
		}
		m := s.measure(Measure{Action: action, Collateral: a.bound(touched), CollateralClients: a.calibrate0.all}, f)
		m.Evidence.Traits = slices.Insert(m.Evidence.Traits, 0, said)
		if measures = append(measures, m); len(measures) == a.budget.MaxMatched {
			break
		}
	}
	a.shareOut(measures, map[schemas.Action]int{action: len(found)})
	return measures
}

// within reports whether a client is in a prefix in force: all that it sends is stopped, and by a client's decision it would be for less.
func (a *analysis) within(c *client) bool {
	addr := netip.AddrFrom16(c.addr).Unmap()
	return slices.ContainsFunc(a.budget.Prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// probe reports whether a client is one that edges let through.
func (a *analysis) probe(c *client) bool {
	return a.budget.Probe != nil && a.budget.Probe(netip.AddrFrom16(c.addr).Unmap())
}

// network is the /24 or /48 of a client.
func network(addr [16]byte) (n [6]byte) {
	if [12]byte(addr[:12]) == v4Mapped {
		copy(n[:], []byte{4, 0, 0, addr[12], addr[13], addr[14]}) // no /48 begins so
		return n
	}
	copy(n[:], addr[:6])
	return n
}

// networks are those that several of a sample's Guests came from, kept as long as it stands still. One alone
// may be the bot itself, which came before; and bots that came the days before, several from a network, have shown no more than that
// they come from there.
func (s *Sample) networks() map[[6]byte]bool {
	if s.nets == nil {
		first := make(map[[6]byte]uint64, len(s.clients))
		s.nets = make(map[[6]byte]bool)
		guests := s.Guests()
		for i := range s.clients {
			n, id := network(s.clients[i].addr), s.clients[i].id
			if !guests[id] {
				continue
			}
			if was, ok := first[n]; ok && was != id {
				s.nets[n] = true
			} else {
				first[n] = id
			}
		}
	}
	return s.nets
}

// matched are the hashes of the suspect clients with a request that one of the rules matches, and the share that is open of
// their requests but for one each; of fewer than minSupport, none.
func (a *analysis) matched(open []uint64, rules []Rule) (of map[uint64]bool, left float64) {
	of = a.matchedOf(a.suspectSample, rules)
	besides, rows := -float64(len(of)), 0
	for i, weight := range a.suspect.weight {
		if of[a.suspect.hashes[a.suspect.owner[i]]] {
			if besides += weight; open[i/64]>>(i%64)&1 == 1 {
				left, rows = left+weight, rows+1
			}
		}
	}
	if rows < minSupport {
		return of, 0
	}
	return of, left / max(besides, 1)
}

// matchedOf are the hashes of a sample's clients with a request that one of the rules matches.
func (a *analysis) matchedOf(sample *Sample, rules []Rule) map[uint64]bool {
	m := newMatrix(sample, a.suspect.known, a.budget.Paths, false)
	rows := make([]uint64, m.words)
	for _, r := range rules {
		rows = or(rows, m.match(a.items(r.Signature)))
	}
	of := make(map[uint64]bool)
	for i, owner := range m.owner {
		if rows[i/64]>>(i%64)&1 == 1 {
			of[m.hashes[owner]] = true
		}
	}
	return of
}

// rules are the signatures that block, of those in force and of measures, and those that do anything. What a score adds up matches
// whoever is like the attack in many small things, as a person may be whom an attacker imitates: it says nothing of the rest that one sends.
func (a *analysis) rules(measures []Measure) (block, all []Rule) {
	for _, s := range a.budget.InForce {
		block = append(block, Rule{Signature: s})
	}
	for _, s := range a.budget.Softly {
		all = append(all, Rule{Signature: s})
	}
	for i := range measures {
		switch m := &measures[i]; {
		case m.Signature == nil:
		case m.Action == schemas.Block:
			block = append(block, Rule{Signature: m.Signature})
		default:
			all = append(all, Rule{Signature: m.Signature})
		}
	}
	return block, slices.Concat(block, all)
}

// ofMatched is what it says of a client that a signature has matched it.
func (s *scorer) ofMatched(matched map[uint64]bool, by charge, action schemas.Action) schemas.TraitEvidence {
	normal := float64(len(s.a.normal.clientsOf(by.rows))) + by.doubt
	bits := s.bits(float64(len(matched)), float64(len(s.a.suspect.clients)), normal*s.normal.clients/max(float64(s.a.choose0.all+s.a.calibrate0.all), 1), 0)
	return s.evidence(Matched, "has sent what a signature of this attack is to "+string(action), float64(len(matched)), normal, bits)
}
