package processor

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/schemas"
)

const (
	// firstLook and nextLook are the seconds between attributions before and after
	// the first decision.
	firstLook = 2
	nextLook  = 10
	// before is how many seconds before the incident opened the suspects begin: what
	// opened it had been going on.
	before = 10
	// maxDecisions bounds the decisions in force of one site.
	maxDecisions = 256
	// hurtShare and hurtClients: a decision that matches so many of the regulars that
	// are here now is lifted.
	hurtShare   = 0.02
	hurtClients = 3
)

// incident is an open one.
type incident struct {
	id      string
	opened  time.Time
	second  int64 // in which it opened
	next    int64 // second of the next attribution
	number  int   // decisions so far
	refused []schemas.Signature
	last    schemas.Event
	peak    detect.Peak
}

// decision is one in force.
type decision struct {
	schemas.Decision
	incident  string
	signature schemas.Signature // nil for a client
	matched   int64             // second in which it was last seen to stop something
}

// incidentIDs makes ids from event time.
type incidentIDs struct {
	last   string
	number int
}

func (n *incidentIDs) next(t time.Time) string {
	id := t.UTC().Format("i060102-150405")
	if id != n.last {
		n.last, n.number = id, 1
		return id
	}
	n.number++
	return fmt.Sprintf("%s-%d", id, n.number)
}

// change emits what a step did to the incident.
func (s *site) change(c detect.Change, second int64, emit func(schemas.Event)) {
	now := s.d.knownAt(second)
	switch c {
	case detect.Opened:
		s.incident = &incident{id: s.d.ids.next(now), opened: now, second: second, next: second}
		s.incident.peak.Note(&s.reading, &s.scores)
		s.taint()
		s.know.troubled, s.know.news.decided = second, true
		emit(s.event(schemas.IncidentOpened, now))
		s.d.count.incidents.WithLabelValues(string(s.state.Kind)).Inc()
	case detect.Updated:
		s.incident.next = second
		emit(s.event(schemas.IncidentUpdated, now))
	case detect.Closed:
		s.closed(now, emit)
		s.taint()
	}
}

// closed emits the end of the incident.
func (s *site) closed(now time.Time, emit func(schemas.Event)) {
	was := s.incident.last
	e := s.event(schemas.IncidentClosed, now)
	e.Kind, e.Closed, e.Cause = was.Kind, now, shorten(was.Cause, schemas.MaxSentence)
	s.past = &past{ID: s.incident.id, Peak: s.incident.peak}
	s.incident, s.know.troubled, s.know.news.decided = nil, 0, true
	emit(e)
}

// shorten cuts a text to so many bytes, between two characters.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

func (s *site) event(t schemas.EventType, now time.Time) schemas.Event {
	e := schemas.Event{
		Type: t, Time: now, Sites: []string{s.name}, Incident: s.incident.id, Kind: s.state.Kind, Opened: s.incident.opened,
		Signals: detect.Signals(&s.reading, &s.scores),
		Cause:   detect.Cause(s.state.Kind, &s.reading, &s.scores),
	}
	s.incident.last = e
	return e
}

// decide keeps the decisions: lets go what has expired, and in an attack renews
// what still matches, lifts what hurts and adds what stops more.
func (s *site) decide(second int64, emit func(schemas.Event)) {
	s.expire(second, emit)
	if second%stepSeconds == s.phase {
		s.keepTold(second, emit)
	}
	i := s.incident
	if i == nil || !s.state.Kind.Attack() || second < i.next {
		return
	}
	i.next = second + firstLook
	if i.number > 0 {
		i.next = second + nextLook
	}
	if s.d.o.LearnOnly || s.learned() < s.d.o.MinBaseline {
		return
	}
	normal := s.normalSample()
	suspect := s.suspects(second, i.second-before)
	s.review(second, normal, suspect, emit)
	s.add(second, normal, suspect, emit)
	if i.number > 0 {
		i.next = second + nextLook
	}
}

func (s *site) expire(second int64, emit func(schemas.Event)) {
	if len(s.know.decisions) == 0 {
		return
	}
	now, kept := s.d.knownAt(second), s.know.decisions[:0]
	for _, d := range s.know.decisions {
		if now.Before(d.Expires) {
			kept = append(kept, d)
			continue
		}
		s.tell(schemas.DecisionRemoved, d, now, emit)
	}
	clear(s.know.decisions[len(kept):])
	s.know.decisions = kept
}

// review renews and lifts.
func (s *site) review(second int64, normal, suspect *attribute.Sample, emit func(schemas.Event)) {
	now, kept, regulars := s.d.knownAt(second), s.know.decisions[:0], normal.IDs()
	for _, d := range s.know.decisions {
		hurts := false
		if d.signature != nil {
			live := attribute.Look(regulars, suspect, d.signature, s.resolver())
			if live.Clients > 0 {
				d.matched = second
			}
			hurts = live.Touched >= hurtClients && float64(live.Touched) > hurtShare*float64(live.Regulars)
		} else if attribute.LookClient(suspect, d.Value) > 0 {
			d.matched = second
		}
		if hurts {
			s.incident.refused = append(s.incident.refused, d.signature)
			d.Reason = "lifted: it matched visitors that this site knows"
			s.tell(schemas.DecisionRemoved, d, now, emit)
			continue
		}
		if d.Expires.Sub(now) < s.d.o.TTL/2 && d.matched == second {
			d.Expires = now.Add(s.d.o.TTL)
			s.tell(schemas.DecisionRenewed, d, now, emit)
		}
		kept = append(kept, d)
	}
	clear(s.know.decisions[len(kept):])
	s.know.decisions = kept
}

// add decides what stops more than the decisions in force.
func (s *site) add(second int64, normal, suspect *attribute.Sample, emit func(schemas.Event)) {
	i, now := s.incident, s.d.knownAt(second)
	rate := s.normalRate(second)
	budget := attribute.Budget{
		Collateral: s.d.o.Collateral, MinClients: s.d.o.MinClients, NormalRate: rate,
		MaxMeasures: maxDecisions - len(s.know.decisions), Refused: i.refused, Site: s.name, Since: (i.second - before) * 1000,
		Spare: s.d.spare, Paths: s.resolver(),
	}
	held := make(map[string]int)
	for _, d := range s.know.decisions {
		held[d.Value] = max(held[d.Value], d.Action.Severity())
		if d.signature != nil && d.Action != schemas.Block {
			budget.Softly = append(budget.Softly, d.signature)
		} else if d.signature != nil {
			budget.InForce = append(budget.InForce, d.signature)
		}
	}
	if budget.MaxMeasures <= 0 {
		return
	}
	for _, m := range attribute.Analyse(normal, suspect, budget) {
		if held[m.Value] >= m.Action.Severity() {
			continue
		}
		i.number++
		d := &decision{incident: i.id, signature: m.Signature, matched: second, Decision: schemas.Decision{
			ID: fmt.Sprintf("%s-%d", i.id, i.number), Action: m.Action, Scope: m.Scope, Value: m.Value,
			Expires: now.Add(s.d.o.TTL), Collateral: m.Collateral, CollateralPerHour: m.CollateralPerHour,
			CollateralClients: m.CollateralClients, Origin: "weir", Evidence: m.Evidence, Reason: reason(m),
		}}
		s.know.decisions = append(s.know.decisions, d)
		if wantsPaths(d.signature) {
			s.tellPaths(second)
		}
		s.tell(schemas.DecisionAdded, d, now, emit)
	}
}

// normalRate is the requests a second that the site would have at this hour, a
// spread above the level, so that the attack is not made out larger than it is.
func (s *site) normalRate(second int64) float64 {
	level, spread := s.base.Normal(detect.RequestRate, hourOf(second))
	return math.Expm1(level+spread) / stepSeconds
}

func reason(m attribute.Measure) string {
	return fmt.Sprintf("stops %.0f %% of the attack's requests that nothing else stops; touches at most %.2f %% of this site's people (%d looked at)",
		100*m.Stops, 100*m.Collateral, m.CollateralClients)
}

// tell emits a decision's event with a copy of the decision.
func (s *site) tell(t schemas.EventType, d *decision, now time.Time, emit func(schemas.Event)) {
	c := d.Decision
	s.know.news.decided = true
	emit(schemas.Event{Type: t, Time: now, Sites: []string{s.name}, Incident: d.incident, Decision: &c})
	s.d.count.decisions.WithLabelValues(string(t), string(d.Action)).Inc()
}
