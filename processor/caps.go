package processor

import (
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// What weir by itself cannot exceed, whatever it sees: decisions in force on a site
// (maxDecisions) and on all (Options.MaxDecisions), the share of a site's people
// (Options.Collateral), and how long one lasts without a person (Options.Longest).

// inForce is how many decisions are in force, over all sites.
func (d *Detector) inForce() (n int) {
	for _, s := range d.sites {
		n += s.know.inForce()
	}
	return n
}

// mayLast reports whether a decision may be renewed once more. After Longest a person must
// have said that the incident is an attack; without one, what goes on is decided anew from
// what is seen then.
func (s *site) mayLast(d *decision, second int64) bool {
	return s.incident.word && d.incident == s.incident.id || second-d.since < int64(s.d.o.Longest/time.Second)
}

// withinBudget tells which decisions may be renewed: all blocks together must not touch more
// of the people who are normal by now than the budget allows. Those that were taken last
// go first.
func (s *site) withinBudget(normal, suspect *attribute.Sample) func(*decision) bool {
	var signatures []schemas.Signature
	place := make(map[*decision]int)
	for _, d := range s.know.decisions {
		if d.signature != nil && d.Action == schemas.Block {
			place[d] = len(signatures)
			signatures = append(signatures, d.signature)
		}
	}
	budget := attribute.Budget{Collateral: s.d.o.Collateral, Paths: s.resolver()}
	for !attribute.Fits(normal, suspect, signatures, budget) {
		signatures = signatures[:len(signatures)-1]
	}
	return func(d *decision) bool {
		at, blocks := place[d]
		return !blocks || at < len(signatures)
	}
}
