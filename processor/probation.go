package processor

import (
	"fmt"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// The first enforcement on a site is on probation: it lapses after Options.Probation unless
// its probes are clean or a person confirms it. From then on the site is trusted with what
// is decided there.

// enforced reports whether decisions on the site are enforced without a person.
func (s *site) enforced() bool { return s.d.o.Enforced == nil || s.d.o.Enforced(s.name) }

// beginProbation notes the first decision of an incident on a site that is not trusted yet.
func (s *site) beginProbation(second int64) {
	if i := s.incident; i.began == 0 && !s.trusted && s.d.o.Probation > 0 && s.enforced() {
		i.began = second
	}
}

// becomesEnforced begins the probation of what was decided while nothing was enforced, and is from
// now on: it ends with the probation, and nobody stays blocked by its address meanwhile.
func (s *site) becomesEnforced(second int64, emit func(schemas.Event)) {
	i := s.incident
	if i == nil || i.began != 0 || i.number == 0 || s.trusted {
		return
	}
	s.beginProbation(second)
	end, ok := s.probationEnds()
	if !ok {
		return
	}
	now := s.d.knownAt(second)
	s.keepDecisions(func(d *decision) bool {
		switch {
		case d.incident != i.id:
			return true
		case (d.Scope == schemas.ScopeClient || d.Scope == schemas.ScopePrefix) && d.Action == schemas.Block:
			d.Reason = "it is enforced from now on, for the first time on this site: nobody is blocked by an address until that has proved right"
			s.tell(schemas.DecisionRemoved, d, now, emit)
			return false
		case d.Expires.After(end):
			d.Expires = end
		}
		d.Reason = shorten(d.Reason, schemas.MaxSentence/2) + s.onProbation()
		s.tell(schemas.DecisionRenewed, d, now, emit)
		return true
	})
}

// probationEnds is when the open incident's probation does; ok is false where there is none.
func (s *site) probationEnds() (end time.Time, ok bool) {
	if i := s.incident; i != nil && i.began != 0 && !s.trusted {
		return s.d.knownAt(i.began).Add(s.d.o.Probation), true
	}
	return time.Time{}, false
}

// until is when a decision that is taken or renewed now ends.
func (s *site) until(d *decision, now time.Time) time.Time {
	until := now.Add(s.d.o.TTL)
	if d.Scope == schemas.ScopeClient {
		until = now.Add(scoredLives * s.d.o.TTL)
	}
	if end, ok := s.probationEnds(); ok && d.incident == s.incident.id && end.Before(until) {
		return end
	}
	return until
}

// onProbation is what a decision's reason says of it.
func (s *site) onProbation() string {
	end, ok := s.probationEnds()
	if !ok {
		return ""
	}
	return fmt.Sprintf("; the first enforcement on this site, so it lapses at %s UTC unless its probes are clean or a person confirms it: weir incidents confirm %s",
		end.Format(time.TimeOnly), s.incident.id)
}

// probation ends it once probes are clean, or its time is over.
func (s *site) probation(second int64, emit func(schemas.Event)) {
	s.becomesEnforced(second, emit)
	end, ok := s.probationEnds()
	if !ok || s.incident.lapsed {
		return
	}
	live := s.incidentLive()
	if attribute.UpperShare(live.People, live.Probes) < strayShare {
		s.trust(second, emit)
	} else if now := s.d.knownAt(second); !now.Before(end) {
		s.incident.lapsed = true
	}
}

// incidentLive sums what the probes of the incident's decisions have shown.
func (s *site) incidentLive() (sum schemas.Live) {
	for _, list := range [][]*decision{s.know.decisions, s.know.scored.list} {
		for _, d := range list {
			if d.incident == s.incident.id {
				sum.Probes, sum.People = sum.Probes+d.live.Probes, sum.People+d.live.People
			}
		}
	}
	sum.Probes, sum.People = sum.Probes+s.incident.solved, sum.People+s.incident.solved
	return sum
}

// trust ends the site's probation for good; what was to lapse is renewed as any other.
func (s *site) trust(second int64, emit func(schemas.Event)) {
	s.trusted = true
	if s.incident == nil {
		return
	}
	s.incident.lapsed = false
	now := s.d.knownAt(second)
	for _, list := range [][]*decision{s.know.decisions, s.know.scored.list} {
		for _, d := range list {
			if d.incident == s.incident.id && now.Before(d.Expires) {
				s.renew(d, now, emit)
			}
		}
	}
}

// lapses reports whether a decision ends because its probation does.
func (s *site) lapses(d *decision) bool {
	end, ok := s.probationEnds()
	return ok && d.incident == s.incident.id && !d.Expires.Before(end)
}

func (s *site) lapsed(d *decision) string {
	return fmt.Sprintf("lapsed: it was the first enforcement on this site, and neither its probes (%d seen, %d of them like people) nor a person has shown within %s that it is right; if it is: weir incidents confirm %s",
		d.live.Probes, d.live.People, s.d.o.Probation, s.incident.id)
}

// confirm takes a person's word that an incident is an attack: its decisions are no longer
// on probation, on this site never again, and may last beyond Options.Longest.
func (s *site) confirm(second int64, emit func(schemas.Event)) {
	if !s.incident.word {
		s.incident.word = true
		s.trust(second, emit)
	}
}
