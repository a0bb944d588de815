package processor

import (
	"fmt"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

const (
	// fellSpan is how many seconds of regulars' requests are held against each other, before
	// a decision was taken and after it has come into force, for which fellDelay allows.
	fellSpan, fellDelay = 120, 10
	// fellRequests is the least number of regulars' requests on each side.
	fellRequests = 30
	// fellBy is how far the share that is served must have fallen beside its bounds, which
	// count every pageful of requests as one.
	fellBy, pageful = 0.05, 3
)

// regularPast is what regulars met in the last minutes, second by second.
type regularPast struct {
	seconds [2 * fellSpan]regularSecond
}

type regularSecond struct {
	second int64
	passed uint64 // requests of everybody that were let through
	regularCounts
}

func (p *regularPast) take(second int64, c *regularCounts, passed uint64) {
	at := &p.seconds[second%int64(len(p.seconds))]
	if at.second != second {
		*at = regularSecond{second: second}
	}
	at.add(c)
	at.passed += passed
}

// between sums the seconds after one and up to another; passed is the mean of a second.
func (p *regularPast) between(after, until int64) (sum regularCounts, passed float64) {
	for i := range p.seconds {
		if at := &p.seconds[i]; at.second > after && at.second <= until {
			sum.add(&at.regularCounts)
			passed += float64(at.passed)
		}
	}
	return sum, passed / float64(max(until-after, 1))
}

// fell says by how much the regulars' successes have fallen since decisions of a second came
// into force; "" where they have not. What it is held against is the incident before these,
// not a quiet time: a site that drowns serves few in any case.
func (s *site) fell(since, second int64) string {
	if second < since+2*fellDelay {
		return ""
	}
	before, load := s.regulars.between(max(since-fellSpan, s.incident.suspectsFrom()), since)
	after, now := s.regulars.between(since+fellDelay, min(second, since+fellDelay+fellSpan))
	if before.Requests < fellRequests || after.Requests < fellRequests || now > load {
		return "" // more is let through than before: that is what the site suffers from
	}
	if attribute.LowerShare(int(before.Served)/pageful, int(before.Requests)/pageful) <=
		attribute.UpperShare(int(after.Served)/pageful, int(after.Requests)/pageful)+fellBy {
		return ""
	}
	share := func(c *regularCounts) float64 { return 100 * float64(c.Served) / float64(c.Requests) }
	return fmt.Sprintf("lifted: of what the site's regulars asked for %.0f %% was served before it came into force, and %.0f %% since", share(&before), share(&after))
}

// breaker lifts what hurts: what probes or the regulars' successes say.
func (s *site) breaker(second int64, emit func(schemas.Event)) {
	fell := make(map[int64]string)
	var hurt []*decision
	s.keepDecisions(func(d *decision) bool {
		why := s.probesHurt(d, second)
		if why != "" {
			hurt = append(hurt, d)
		} else if s.incident != nil && d.incident == s.incident.id {
			if _, known := fell[d.since]; !known {
				fell[d.since] = s.fell(d.since, second)
			}
			why = fell[d.since]
		}
		if why != "" {
			s.lift(d, why, second, emit)
		}
		return why == ""
	})
	for _, d := range hurt {
		s.sparePeople(d, second, emit)
	}
}

// lift takes back what hurts; it is refused for the rest of the incident, remembered after it, and not kept
// armed.
func (s *site) lift(d *decision, why string, second int64, emit func(schemas.Event)) {
	s.refuse(d)
	s.remember(d, second, "")
	d.hurt, d.Reason, d.Live = true, why, d.judged()
	now := s.d.knownAt(second)
	s.tell(schemas.DecisionRemoved, d, now, emit)
	s.disarm(now, "disarmed: it hurt", func(a *armed) bool { return a.Value == d.Value }, emit)
}

func (p *regularPast) save() (list []savedSecond) {
	for i := range p.seconds {
		if at := &p.seconds[i]; at.second != 0 {
			list = append(list, savedSecond{at.second, at.passed, at.regularCounts})
		}
	}
	return list
}

func (p *regularPast) load(list []savedSecond) {
	for _, at := range list {
		if at.Second > 0 {
			p.take(at.Second, &at.regularCounts, at.Passed)
		}
	}
}
