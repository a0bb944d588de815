package attribute

import (
	"math"
	"net/netip"
	"slices"

	"github.com/weir-project/weir/schemas"
)

// leftShare is the least share of the attack's requests that signatures must leave, for the clients that
// they match to be measured for all else that they ask for.
const leftShare = 0.03

// matchedClients are those of whom a signature that blocks has matched a request, where signatures
// leave a part of the attack: botnets ask for pages that are there now and then, as visitors do, and a client
// that has sent what is the attack's is stopped with that, too. Whom that costs anything is blocked by the
// signature already, so that nobody else is touched; and where a client's other traits speak for a visitor,
// or the site knows it, it is left alone. So are probes: what they do once they are let through is to be seen; and
// addresses among which several visitors have come, as those behind which a provider's customers are all together.
func (a *analysis) matchedClients(hard charge) (measures []Measure) {
	_, left := a.suspect.count(hard.open)
	if a.budget.MaxClients <= 0 || len(hard.open) == 0 || a.attackOf(left/max(a.suspect.total, 1), 1) < leftShare {
		return nil
	}
	s := a.scorer()
	if s == nil {
		return nil
	}
	matched := a.matched(hard.open)
	said := s.ofMatched(matched, hard)
	rivals := max(float64(len(matched))-a.normalClients, 0)
	found := s.suspects(matched, max(leastBits, math.Log2(minOdds*(a.normalClients+1)/(rivals+1)))-said.Bits)
	touched := a.beside(a.normal.clientsOf(hard.rows), a.normal.touched(hard.rows, true), true)
	visited := a.normalSample.networks()
	for i := range found {
		f := &found[i]
		f.score += said.Bits
		if f.measured.Severity() >= schemas.Block.Severity() || f.client.seen&sawAsset != 0 || a.probe(f.client) || visited[network(f.client.addr)] {
			continue
		}
		m := s.measure(Measure{Action: schemas.Block, Collateral: a.bound(touched), CollateralClients: a.calibrate0.all}, f)
		m.Evidence.Traits = slices.Insert(m.Evidence.Traits, 0, said)
		if measures = append(measures, m); len(measures) == a.budget.MaxClients {
			break
		}
	}
	a.shareOut(measures, map[schemas.Action]int{schemas.Block: len(found)})
	return measures
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

// networks are those that several of a sample's clients came from, kept as long as it stands still. One alone
// may be the bot itself, which came before.
func (s *Sample) networks() map[[6]byte]bool {
	if s.nets == nil {
		first := make(map[[6]byte]uint64, len(s.clients))
		s.nets = make(map[[6]byte]bool)
		for i := range s.clients {
			n, id := network(s.clients[i].addr), s.clients[i].id
			if was, ok := first[n]; ok && was != id {
				s.nets[n] = true
			} else {
				first[n] = id
			}
		}
	}
	return s.nets
}

// matched are the hashes of the suspect clients with a request outside the open rows.
func (a *analysis) matched(open []uint64) map[uint64]bool {
	of := make(map[uint64]bool)
	for i := range a.suspect.rows {
		if open[i/64]>>(i%64)&1 == 0 {
			of[a.suspect.hashes[a.suspect.owner[i]]] = true
		}
	}
	return of
}

// ofMatched is what it says of a client that a signature has matched it.
func (s *scorer) ofMatched(matched map[uint64]bool, hard charge) schemas.TraitEvidence {
	normal := float64(len(s.a.normal.clientsOf(hard.rows))) + hard.doubt
	bits := s.bits(float64(len(matched)), float64(len(s.a.suspect.clients)), normal*s.normal.clients/max(float64(s.a.choose0.all+s.a.calibrate0.all), 1), 0)
	return s.evidence("matched", "has sent what a signature of this attack blocks", float64(len(matched)), normal, bits)
}
