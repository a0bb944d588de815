package processor

import (
	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// attackConduct is what the attack's clients did before anything stopped them.
type attackConduct uint8

const (
	unseen     attackConduct = iota // too few of them were seen
	ofPrograms                      // hardly any behaved as people do
	ofBrowsers                      // most did: each loads what its pages bring with them, and brings the site's cookie
)

const (
	// leastShown is of how many of those whom a decision matches it must be seen what they do, and showsAfter for how many seconds after
	// the incident's first one on requests: whoever of the attack's comes later is stopped before it does anything, and those whom
	// a later decision matches are more and more the visitors.
	leastShown, showsAfter = 5, 60
	// browsersShare is what share of them must behave as people do.
	browsersShare = 0.5
)

// seeConduct notes what the attack's clients do, by those whom its first decision on requests matched before it was in force, or the next
// within a minute of it: they were chosen for what sets them apart from all who are normal, so that they are hardly anybody else. Once
// it is seen it is known for the whole incident; where too few show anything in that minute it never is, and whatever
// behaves like people is then taken for people.
func (s *site) seeConduct(d *decision, live *attribute.Live, second int64) {
	i := s.incident
	if i == nil || i.conduct != unseen || d.incident != i.id || second-i.first > showsAfter || live.Shown < leastShown {
		return
	}
	if i.conduct = ofPrograms; float64(live.People) >= browsersShare*float64(live.Shown) {
		i.conduct = ofBrowsers
	}
}

// ofBrowsers reports whether the attack's clients behave as people do. Where a crowd was there before the attack it is
// taken for nothing of the kind: what looks like one may be the other.
func (i *incident) ofBrowsers() bool {
	return i.conduct == ofBrowsers && !i.among && i.earlier == nil
}

// letIn ends what blocks by what a request is, once it is seen that the attack's clients are browsers: the people who are like them, who are no
// more than may be but are there, are asked from then on, and nobody of them locked out.
func (s *site) letIn(second int64, emit func(schemas.Event)) {
	if s.incident == nil || !s.incident.ofBrowsers() {
		return
	}
	now := s.d.knownAt(second)
	s.keepDecisions(func(d *decision) bool {
		if d.incident != s.incident.id || d.Action != schemas.Block || d.signature == nil {
			return true
		}
		d.Live, d.Reason = d.judged(), "the attack's clients are browsers, so that what they have in common only asks"
		s.tell(schemas.DecisionRemoved, d, now, emit)
		return false
	})
}

// saysNothing reports whether it is no news that a decision's probes behave like people: all whom it is for do. What blocks is lifted all
// the same, as it may be people whom it locks out; what asks is solved by a person's browser, and still held against the people who are
// normal (withinBudget), those whom the site knows (Look) and how its regulars fare (fell).
func (s *site) saysNothing(d *decision) bool {
	return s.incident != nil && d.incident == s.incident.id && d.Action != schemas.Block && s.incident.ofBrowsers()
}
