package processor

import (
	"fmt"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

const (
	// restMuch is the share of the attack's requests that what is in force must leave for it to be said why, and restLittle the one
	// from which down that is taken back.
	restMuch, restLittle = 0.2, 0.1
	// restStops is the least share that a measure must stop for it to be worth a person's time, and restFewer the one below which
	// what was told of one is taken back.
	restStops, restFewer = 0.1, 0.05
)

// lookAtRest looks at what the decisions in force leave of the attack, every undecidedTold seconds, and oftener until it is told.
func (s *site) lookAtRest(second int64, emit func(schemas.Event)) {
	u := &s.incident.undecided
	bare := len(s.know.decisions) == 0 // but for single addresses that come again
	if u.Told != nil && (bare || u.Told.Left == 0) {
		s.tellDecided(second, emit)
	}
	if u.Next = second + undecidedTold; bare {
		u.Rest = 0
		return
	}
	why := s.undecidedRest(second)
	switch {
	case why.Cap == "" && restLittle < why.Left && why.Left < restMuch && u.Told != nil: // between the two it stays as it is
		return
	case why.Cap == "":
		u.Rest = 0
		s.tellDecided(second, emit)
		return
	case u.Rest == 0:
		u.Rest = second
	}
	if u.Told == nil && u.mayTell(second) {
		u.Next = second + undecidedLook
	}
	if second-u.Rest >= undecidedAfter && u.mayTell(second) {
		s.tellWhy(why, second, emit)
	}
}

// undecidedRest is why no more is decided though what is in force leaves much, and more is known that would stop some of it; no cap
// where that is not so.
func (s *site) undecidedRest(second int64) schemas.Undecided {
	i, o := s.incident, &s.d.o
	u := schemas.Undecided{Site: s.name}
	budget := s.budget(second, i.suspectsFrom())
	budget.Measured = s.measured
	r := attribute.RefuseMore(s.normalSample(), s.suspects(second, i.suspectsFrom()), budget)
	if u.Left = r.Left; r.Left < restMuch {
		return u
	}
	reached := i.undecided.reached
	if len(s.know.decisions) >= maxDecisions {
		reached = CapSignatures
	}
	switch {
	case reached == CapAll:
		u.Cap, u.Setting, u.Stops = capDecisions, string(CapAll), i.undecided.beyond
		u.Why = fmt.Sprintf("as many decisions are in force on all sites as may be, %d (decisions.max)%s", o.MaxDecisions, wouldStop(u.Stops))
	case reached == CapSignatures:
		u.Cap, u.Stops = capDecisions, i.undecided.beyond
		u.Why = fmt.Sprintf("as many signatures and prefixes are in force on this site as may be, %d%s", maxDecisions, wouldStop(u.Stops))
	case i.lapsed:
		u.Cap, u.Setting = capProbation, "decisions.probation"
		u.Why = fmt.Sprintf("what weir decided by itself lapsed after %s (decisions.probation), as nothing had shown that it was right; if this is an attack: weir incidents confirm %s", plainly(o.Probation), i.id)
	case i.undecided.worthTelling(r.Stops) && (r.Obstacle == attribute.TooManyHurt || r.Obstacle == attribute.HasHurt || r.Obstacle == attribute.EarlierHurt):
		s.refused(&u, &r)
	}
	return u
}

// worthTelling reports whether a measure that would stop a share is worth to be told of, or to be told of still: the best that is found is
// another at each look, and stops a little more or less.
func (u *undecided) worthTelling(stops float64) bool {
	if u.Told != nil && u.Told.Left > 0 {
		return stops >= restFewer
	}
	return stops >= restStops
}

// wouldStop is what is said of what was left out.
func wouldStop(share float64) string {
	if share < restStops {
		return ""
	}
	return fmt.Sprintf("; what was left out would stop %.0f %% of the attack's requests", 100*share)
}
