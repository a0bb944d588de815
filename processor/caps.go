package processor

import (
	"slices"
	"sort"
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

// maxEvidence is of how many decisions on clients, over all sites, the evidence is kept with the decision, some 1.3 KiB
// each: as many as five sites can have. It is told with the decision, and whoever reads events keeps it; of those
// beyond it is told that once, and not with what becomes of them.
const maxEvidence = 5 * maxScored

// evidence is of how many decisions on clients it is kept.
func (d *Detector) evidence() (n int) {
	for _, s := range d.sites {
		n += s.know.scored.told
	}
	return n
}

// roomForSignatures is which part of all decisions clients leave to signatures and prefixes.
const roomForSignatures = 8

// leaves reports whether one more decision on a client of the site leaves enough of what is free to the other sites: as
// much as the site has for itself, so that sites which are attacked first, as decoys, do not use up what one needs
// that is attacked later, and always some for signatures, of which one stops more than a thousand clients'.
func (s *site) leaves(free int) bool {
	return free > s.d.o.MaxDecisions/roomForSignatures && free > len(s.know.scored.list)
}

// Cap is a bound that kept weir from deciding more.
type Cap string

// The caps on the number of decisions.
const (
	CapAll        Cap = "decisions.max"                     // on all sites together
	CapSignatures Cap = "signatures and prefixes of a site" // maxDecisions
	CapClients    Cap = "clients of a site"                 // maxScored
)

// capOf is the cap that keeps a measure from being decided, where so many may be in force yet on all sites; "" for none.
func (s *site) capOf(m *attribute.Measure, free int) Cap {
	client := m.Scope == schemas.ScopeClient
	switch {
	case free <= 0 || client && !s.leaves(free):
		return CapAll
	case client && len(s.know.scored.list) >= maxScored:
		return CapClients
	case !client && len(s.know.decisions) >= maxDecisions:
		return CapSignatures
	}
	return ""
}

// tellCaps tells of measures that were left out.
func (s *site) tellCaps(left map[Cap]int) {
	for reached, n := range left {
		s.d.count.leftOut.WithLabelValues(string(reached)).Add(float64(n))
		if s.d.o.LeftOut != nil {
			s.d.o.LeftOut(s.name, reached, n)
		}
	}
}

// mayLast reports whether a decision may be renewed once more. After Longest a person must
// have said that the incident is an attack; without one, what goes on is decided anew from
// what is seen then.
func (s *site) mayLast(d *decision, second int64) bool {
	return s.incident.word && d.incident == s.incident.id || second-d.since < int64(s.d.o.Longest/time.Second)
}

// withinBudget tells which decisions may be renewed: all blocks together must not touch more
// of the people who are normal by now than the budget allows, and what asks no more than may be asked. Those that
// were taken last go first.
func (s *site) withinBudget(normal, suspect *attribute.Sample) func(*decision) bool {
	var signatures []schemas.Signature
	var blocks, asks []*decision
	for _, d := range s.know.decisions {
		switch {
		case d.signature != nil && d.Action == schemas.Block:
			signatures, blocks = append(signatures, d.signature), append(blocks, d)
		case d.signature != nil || d.score != nil:
			asks = append(asks, d)
		}
	}
	budget := attribute.Budget{Collateral: s.d.o.Collateral, Paths: s.resolver(), Browsers: s.incident != nil && s.incident.ofBrowsers()}
	fit := mostThatFit(len(blocks), func(n int) bool { return attribute.Fits(normal, suspect, signatures[:n], budget) })
	soft := mostThatFit(len(asks), func(n int) bool { return fitSoftly(normal, suspect, signatures[:fit], asks[:n], budget) })
	beyond := make(map[*decision]bool)
	for _, d := range slices.Concat(blocks[fit:], asks[soft:]) {
		beyond[d] = true
	}
	return func(d *decision) bool { return !beyond[d] }
}

// mostThatFit is how many of n fit, of which none always do, and fewer where more do: mostly all.
func mostThatFit(n int, fit func(int) bool) int {
	if n == 0 || fit(n) {
		return n
	}
	return sort.Search(n-1, func(i int) bool { return !fit(i + 1) })
}

// fitSoftly is attribute.FitsSoftly of decisions that ask.
func fitSoftly(normal, suspect *attribute.Sample, blocks []schemas.Signature, asks []*decision, budget attribute.Budget) bool {
	var softly []schemas.Signature
	var scores []attribute.ScoreInForce
	for _, d := range asks {
		if d.score != nil {
			scores = append(scores, d.inForce())
		} else {
			softly = append(softly, d.signature)
		}
	}
	return attribute.FitsSoftly(normal, suspect, blocks, softly, scores, budget)
}
