package attribute

import (
	"net/netip"

	"github.com/weir-project/weir/schemas"
)

const (
	// minRefused is how many requests the site must have refused a client before it is measured for
	// that alone, and refusedShare what share of all; or refusedPart, where so large a share of the paths that
	// it began with is unknown to the site: one that is overwhelmed fails what it would refuse.
	minRefused, refusedShare, refusedPart, unknownShare = 12, 0.9, 0.25, 0.85
	// leastToRefuse is how many visitors must be known for it.
	leastToRefuse = 50
)

// refusedClients are those whom the site itself has refused what they asked for, far more often than
// any visitor, and who ask for next to nothing that there is: who tries names by the thousand is stopped
// by its address, however few there are of it and however little is known of the site. Counts of errors are heavy-tailed, so
// that a client beyond the largest count seen is believed rarer by no more than it is beyond (a Pareto
// tail of index one; a count with a mean falls off faster).
func refusedClients(normal, suspect *Sample, budget Budget) (measures []Measure) {
	visitors := normal.refusedVisitors()
	most, known := visitors.most, visitors.known
	if len(known) < leastToRefuse {
		return nil
	}
	bound := UpperShare(0, len(known))
	for i := range suspect.clients {
		c := &suspect.clients[i]
		refused := suspect.refusals(c)
		if refused < minRefused || !suspect.guesses(c, refused, budget.Paths) || c.seen&sawAsset != 0 || c.regular || known[c.id] || suspect.brings(c) {
			continue
		}
		m := Measure{Action: schemas.Block, Scope: schemas.ScopeClient, Value: clientText(c.addr), CollateralClients: len(known)}
		if m.Collateral = bound * (most + 1) / refused; m.Collateral > budget.Collateral {
			continue
		}
		addr := netip.AddrFrom16(c.addr).Unmap()
		if budget.Spare != nil && budget.Spare(addr) || budget.Measured != nil && budget.Measured(addr).Severity() >= m.Action.Severity() {
			continue
		}
		m.Together = m.Collateral // until those of all are known
		if normal.Span > 0 {
			m.CollateralPerHour = m.Collateral * normal.Clients() / normal.Span.Hours()
		}
		m.Stops = min(1, float64(c.requests)*suspect.scale()/max(suspect.Requests, 1))
		m.Evidence = &schemas.Evidence{AttackShare: m.Stops, RiskRatio: refused / (most + 1), Together: m.Together, SQL: clientSQL(budget.Site, m.Value)}
		if c.head >= 0 {
			m.Evidence.Nearest = normal.nearestTo(&suspect.rows[c.head].traits)
		}
		if c.text >= 0 {
			m.Evidence.Samples = []string{suspect.texts[c.text].String()}
		}
		if measures = append(measures, m); len(measures) == budget.MaxMeasures {
			break
		}
	}
	return measures
}

// refusedVisitors are a sample's visitors, and how many requests the site refused that one whom it
// refused most.
type refusedVisitors struct {
	known map[uint64]bool
	most  float64
}

// refusedVisitors are worked out once while the sample stands still, as the normal one does in an incident,
// in which they are asked for every few seconds.
func (s *Sample) refusedVisitors() *refusedVisitors {
	if s.refused != nil {
		return s.refused
	}
	s.refused = &refusedVisitors{known: make(map[uint64]bool, len(s.clients))}
	for i := range s.clients {
		c := &s.clients[i]
		if c.head < 0 || !s.visitor(c) {
			continue
		}
		s.refused.known[c.id] = true
		s.refused.most = max(s.refused.most, s.refusals(c))
	}
	return s.refused
}

// refusals are how many of a client's requests the site refused.
func (s *Sample) refusals(c *client) float64 {
	var served, all uint32
	for at := c.head; at >= 0; at = s.rows[at].next {
		served += s.rows[at].served
		all += s.rows[at].count
	}
	return float64(all-served) / float64(max(all, 1)) * float64(c.requests)
}

// guesses reports whether a client that was refused so often asks for what there is not. What a row
// says of paths is about the first of them alone, see fold, so that rows are counted, not requests.
func (s *Sample) guesses(c *client, refused float64, paths *Resolver) bool {
	unknown, rows := 0, 0
	for at := c.head; at >= 0; at = s.rows[at].next {
		t := s.rows[at].traits
		if s.x.resolve(&t, paths, 0); t[schemas.TraitPathKnown] == s.x.listed[schemas.ListedPaths][isUnknown] {
			unknown++
		}
		rows++
	}
	of := float64(c.requests)
	return refused >= refusedShare*of || refused >= refusedPart*of && float64(unknown) >= unknownShare*float64(rows)
}

// brings reports whether a client came with a cookie.
func (s *Sample) brings(c *client) bool {
	for at := c.head; at >= 0; at = s.rows[at].next {
		if s.rows[at].traits[schemas.TraitCookie] == s.x.some {
			return true
		}
	}
	return false
}
