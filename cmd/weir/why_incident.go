package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// What one page says of an incident.
const (
	pageTraits    = 6
	pageRequests  = 4
	pageSignals   = 5
	pageDecisions = 6
	leastTold     = 0.5 // bits; what says less sets nothing apart
)

// incidentPage tells of an incident on one screen: what the attack is, what sets it apart, what is
// done and whom that touches, requests to look at. found is the incident and its decisions.
func (s *sheet) incidentPage(found []schemas.Event, known map[string]*profile.Profile, done effects) {
	var decisions []schemas.Event
	for _, e := range found {
		if decisionOf(e) != "" {
			decisions = append(decisions, e)
			continue
		}
		signals := slices.Clone(e.Signals)
		slices.SortStableFunc(signals, func(a, b schemas.Signal) int { return cmp.Compare(b.Score, a.Score) })
		e.Signals = signals[:min(len(signals), pageSignals)]
		s.explainIncident(e)
	}
	rank(decisions, done)
	s.apart(decisions, known)
	s.whatIsDone(decisions, done, time.Now())
	s.gap()
	narrow := s.narrow()
	value := "value"
	if narrow {
		value = ""
	}
	s.line("  %-22s %-9s %-9s %9s %8s  %s", "decision", "action", "scope", "requests", "clients", value)
	for i, e := range decisions {
		if i == pageDecisions {
			s.say(2, "... and %d more: weir why DECISION, or with --all every one.", len(decisions)-i)
			break
		}
		requests, clients, _ := done[e.ID].stopped()
		if value = printable(e.Value, 160); narrow {
			value = ""
		}
		s.line("  %-22s %-9s %-9s %9s %8s  %s", printable(e.ID, 22), e.Action, e.Scope, count(requests), count(clients), value)
		if narrow {
			s.line("    %s", printable(e.Value, 160))
		}
	}
}

// rank puts what stopped most first, and before anything is stopped what is expected to.
func rank(decisions []schemas.Event, done effects) {
	weight := func(e *schemas.Event) (stopped uint64, expected float64) {
		stopped, _, _ = done[e.ID].stopped()
		if e.Evidence != nil {
			expected = e.Evidence.AttackShare
		}
		return stopped, expected
	}
	slices.SortStableFunc(decisions, func(a, b schemas.Event) int {
		x, px := weight(&a)
		y, py := weight(&b)
		return cmp.Or(cmp.Compare(y, x), cmp.Compare(py, px))
	})
}

// ofRequests reports whether decisions of a scope go by what a request is.
func ofRequests(scope schemas.Scope) bool {
	return scope == schemas.ScopeSignature || scope == schemas.ScopeScore
}

// apart is what sets the attack apart: the traits of what stops most, each once, the strongest first,
// some of its requests and the normal ones that come closest.
func (s *sheet) apart(decisions []schemas.Event, known map[string]*profile.Profile) {
	var best *schemas.Event
	var traits []schemas.TraitEvidence
	looked := 0
	for i := range decisions {
		e := &decisions[i]
		if e.Evidence == nil || len(e.Evidence.Traits) == 0 || best != nil && !ofRequests(e.Scope) {
			continue
		}
		if best == nil || !ofRequests(best.Scope) && ofRequests(e.Scope) {
			best, traits = e, nil
		}
		if looked++; looked > pageTraits {
			break
		}
		for _, t := range e.Evidence.Traits {
			if t.Bits >= leastTold && !slices.ContainsFunc(traits, func(o schemas.TraitEvidence) bool { return o.Trait == t.Trait && o.Value == t.Value }) {
				traits = append(traits, t)
			}
		}
	}
	if best == nil {
		s.say(2, "Nothing that sets it apart is known.")
		return
	}
	slices.SortStableFunc(traits, func(a, b schemas.TraitEvidence) int { return cmp.Compare(b.Attack*b.Bits, a.Attack*a.Bits) })
	s.say(0, "%s", s.strong("What sets it apart"))
	s.traits(traits[:min(len(traits), pageTraits)])
	var app *profile.Profile
	if len(best.Sites) == 1 {
		app = known[best.Sites[0]]
	}
	e := best.Evidence
	s.requests("Requests of it", e.Samples[:min(len(e.Samples), pageRequests)], app)
	s.requests("The nearest normal requests", e.Nearest[:min(len(e.Nearest), pageRequests)], app)
	if e.SQL != "" {
		s.sql(e.SQL)
	}
	s.gap()
}

// whatIsDone says what was decided, what that stopped, and whom it touches: as promised and as seen.
func (s *sheet) whatIsDone(decisions []schemas.Event, done effects, now time.Time) {
	inForce, by, probes, people := 0, map[schemas.Action]int{}, 0, 0
	clients, accepted, lost := 0, 0, 0
	for i := range decisions {
		d := decisions[i].Decision
		if d.Origin != schemas.OriginWeir { // the same once more, as a person's own
			if _, nowhere := s.edges.lacks(&decisions[i]); nowhere {
				lost++
			} else if !ended(&decisions[i], now) {
				accepted++
			}
			continue
		}
		by[d.Action]++
		if decisions[i].Type != schemas.DecisionRemoved && d.Expires.After(now) {
			inForce++
		}
		if d.Live != nil && d.Scope != schemas.ScopeClient {
			probes, people = probes+d.Live.Probes, people+d.Live.People
		}
		clients = max(clients, d.CollateralClients)
	}
	text := ""
	for _, a := range []schemas.Action{schemas.Block, schemas.Challenge, schemas.Throttle} {
		if by[a] > 0 {
			text += fmt.Sprintf(", %s %s", count(by[a]), a)
		}
	}
	s.say(0, "%s", s.strong("What is done"))
	own := slices.DeleteFunc(slices.Clone(decisions), func(e schemas.Event) bool { return e.Origin != schemas.OriginWeir })
	nowhere := s.edges.nowhere(own)
	s.item("  Decided   ", "%s%s; in force now: %s", plural(len(own), "decision"), text, count(inForce-nowhere))
	if accepted > 0 {
		s.item("            ", "accepted by a person, and enforced whatever the mode: %s", count(accepted))
	}
	if nowhere+lost > 0 {
		s.item("            ", "%s more that no edge holds, and so stop nothing: weir decisions list says why", count(nowhere+lost))
	}
	if s.cap != "" {
		s.item("            ", "%s", s.cap)
	}
	if s.modes != nil {
		waiting := unenforcedOf(each(decisions), s.modes, now)
		for _, line := range waiting.lines() {
			s.item("            ", "%s", line)
		}
	}
	if s.open != "" {
		s.item("  Passes    ", "at nginx, whatever matches (allow_paths): %s", s.open)
	}
	if all := done[""]; all != nil {
		requests, stopped, probed := all.stopped()
		s.item("  Stopped   ", "%s of %s; %s let through as probes", plural(int(requests), "request"), plural(int(stopped), "client"), plural(int(probed), "request"))
	}
	share, perHour := schemas.Promised(decisions)
	s.item("  Touches   ", "at most %s of the site's people, %s an hour, all together (95 %% bound, %s)",
		atMost(share), figure(perHour), plural(clients, "held-out client"))
	if all := done[""]; all != nil {
		s.item("  Touched   ", "%s that it stopped had been answered well on the day before; of %s %d behaved like people",
			plural(int(all.Known), "client"), plural(probes, "probe"), people)
	}
}
