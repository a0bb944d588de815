package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// explain prints one incident or decision so that a tired person understands it.
func (s *sheet) explain(e schemas.Event, known map[string]*profile.Profile, done effects) {
	if e.Decision == nil || e.ID == "" {
		s.explainIncident(e)
		return
	}
	d := e.Decision
	s.head("Decision %s: %s %s %s", d.ID, d.Action, d.Scope, printable(d.Value, 160))
	sites := "every site"
	if len(e.Sites) > 0 {
		sites = printable(strings.Join(e.Sites, ", "), 80)
	}
	text := fmt.Sprintf("on %s, %s; by %s", sites, stateOf(e), printable(d.Origin, 40))
	if e.Incident != "" {
		text += ", for incident " + printable(e.Incident, 40)
	}
	s.say(2, "%s", text)
	if d.Reason != "" {
		s.say(2, "%s", printable(d.Reason, 800))
	}
	if d.Origin == schemas.OriginWeir {
		s.say(2, "Would touch at most %s of the site's visitors (%.1f an hour), measured on %s of normal traffic.",
			atMost(d.Collateral), d.CollateralPerHour, plural(d.CollateralClients, "held-out client"))
		if d.Evidence != nil && d.Evidence.Together > 0 {
			s.say(2, "With all that was in force when it was taken: at most %s.", atMost(d.Evidence.Together))
		}
	}
	s.notEnforced(e)
	s.did(done[d.ID], done != nil)
	s.live(d)
	s.asked(s.requestsOf[d.ID])
	var app *profile.Profile
	if len(e.Sites) == 1 {
		app = known[e.Sites[0]]
	}
	if d.Scope == schemas.ScopeScore {
		s.networks(d.Value)
	}
	s.evidence(d.Evidence, d.Scope, app)
}

// notEnforced says so of a decision that no edge holds, because of its site's mode.
func (s *sheet) notEnforced(e schemas.Event) {
	if s.modes == nil {
		return
	}
	alike := []schemas.Event{e}
	for _, o := range s.events {
		if o.Decision != nil && o.ID != e.ID && o.Origin != schemas.OriginWeir && holderOf(&o) == holderOf(&e) {
			alike = append(alike, o)
		}
	}
	waiting := unenforcedOf(each(alike), s.modes, time.Now())
	if len(waiting.incidents) > 0 {
		waiting.incidents = []string{e.ID}
	}
	for _, line := range waiting.lines() {
		s.say(2, "%s", line)
	}
}

// stateOf says whether a decision holds, and until when.
func stateOf(e schemas.Event) string {
	d := e.Decision
	if e.Type != schemas.DecisionRemoved {
		return "until " + d.Expires.UTC().Format(time.DateTime) + " UTC"
	}
	state := "removed " + e.Time.UTC().Format(time.DateTime) + " UTC"
	if !d.Armed.IsZero() {
		state += ", armed until " + d.Armed.UTC().Format(time.DateOnly)
	}
	return state
}

// did says what the edges did for a decision; asked is false where nobody could be asked.
func (s *sheet) did(e *effect, asked bool) {
	if !asked {
		return
	}
	if e == nil || len(e.Actions) == 0 {
		s.say(2, "Did nothing so far: no edge has logged a request for it.")
		return
	}
	for _, a := range e.Actions {
		what := "Did so far: " + printable(string(a.Action), 20)
		if a.Action == schemas.Allow {
			what = "Let through to see who it is"
		}
		s.say(2, "%s: %s of %s, %s to %s UTC.", what, plural(int(a.Requests), "request"), plural(int(a.Clients), "client"),
			a.First.Format(time.DateTime), a.Last.Format(time.TimeOnly))
	}
	if requests, _, _ := e.stopped(); requests > 0 {
		s.say(2, "Of those it stopped, the site had answered %s well on the day before.", plural(int(e.Known), "client"))
	}
}

// live says what probes have shown.
func (s *sheet) live(d *schemas.Decision) {
	l := d.Live
	switch {
	case l == nil:
	case d.Scope == schemas.ScopeClient: // challenged, it came again
		s.say(2, "It came again after it was challenged, and did nothing that people's browsers do.")
	default:
		s.say(2, "%s let through to see, %d of them like people: of the clients that it matches at most %.0f %% are.",
			plural(l.Probes, "probe"), l.People, 100*l.Upper)
	}
}

func (s *sheet) explainIncident(e schemas.Event) {
	s.head("Incident %s: %s on %s, %s", printable(e.Incident, 40), e.Kind, printable(strings.Join(e.Sites, ", "), 80), openState(e))
	if e.Cause != "" {
		s.say(2, "%s", printable(e.Cause, 300))
	}
	for _, line := range undecidedLines(&e) {
		s.say(2, "%s", line)
	}
	s.signals(e.Signals)
	s.gap()
}

func openState(e schemas.Event) string {
	if e.Type != schemas.IncidentClosed {
		return "still open"
	}
	state := "closed " + e.Closed.UTC().Format(time.DateTime) + " UTC"
	if !e.Opened.IsZero() {
		state += " after " + short(e.Closed.Sub(e.Opened))
	}
	return state
}

// signals are what departs most first.
func (s *sheet) signals(signals []schemas.Signal) {
	signals = slices.Clone(signals)
	slices.SortStableFunc(signals, func(a, b schemas.Signal) int { return cmp.Compare(b.Score, a.Score) })
	for _, g := range signals {
		s.line("  %-22s %10s   normal %10s   score %.1f", printable(g.Name, 22), figure(g.Value), figure(g.Normal), g.Score)
	}
}

func (s *sheet) evidence(e *schemas.Evidence, scope schemas.Scope, app *profile.Profile) {
	if e == nil {
		s.gap()
		return
	}
	if e.AttackShare == 0 && len(e.Traits)+len(e.Samples) == 0 { // of weir's own, which somebody accepted
		s.gap()
		return
	}
	if scope == schemas.ScopeClient {
		s.say(2, "It alone sends %s of the attack's requests; at least %s times likelier one of the attack's than a normal client.", finely(e.AttackShare), figure(e.RiskRatio))
	} else {
		s.matches(e)
	}
	if scope == schemas.ScopeScore {
		s.say(2, "No one trait decides: what they say is added up, and it matches what comes to enough. Those that say most:")
	}
	s.traits(e.Traits)
	if len(e.Samples) == 0 && e.SQL != "" { // of few clients the first request is kept as an example
		s.say(2, "It matches none of the requests that were kept as examples; the query below shows those that it does.")
	}
	s.requests("Requests that it matches", e.Samples, app)
	s.requests("The nearest normal requests", e.Nearest, app)
	if e.SQL != "" {
		s.sql(e.SQL)
	}
	s.gap()
}

func (s *sheet) matches(e *schemas.Evidence) {
	s.say(2, "Matches %s of the attack's requests and %s of normal clients (at least %s times as likely in the attack).",
		finely(e.AttackShare), finely(e.NormalShare), figure(e.RiskRatio))
}

func (s *sheet) traits(traits []schemas.TraitEvidence) {
	if len(traits) == 0 {
		return
	}
	s.line("  %-16s %8s %8s %6s  %s", "trait", "attack", "normal", "bits", "value")
	for _, t := range traits {
		s.line("  %-16s %6.1f %% %6.1f %% %6.1f  %s", printable(t.Trait, 16), 100*t.Attack, 100*t.Normal, t.Bits, printable(fmt.Sprintf("%q", t.Value), 120))
	}
}

// requests lists some, each once.
func (s *sheet) requests(title string, lines []string, app *profile.Profile) {
	if len(lines) == 0 {
		return
	}
	s.say(2, "%s:%s", title, dearOf(lines, app))
	for _, line := range distinct(lines) {
		kind := ""
		if kind = kindOf(app, targetOf(line.text)); kind != "" {
			kind = "(" + kind + ") "
		}
		times := ""
		if line.times > 1 {
			times = fmt.Sprintf("%d x ", line.times)
		}
		s.line("    %s%s%s", times, kind, printable(line.text, 140))
	}
}

type repeated struct {
	text  string
	times int
}

// distinct is each text once, with how often it stands there.
func distinct(lines []string) (list []repeated) {
	for _, text := range lines {
		if i := slices.IndexFunc(list, func(r repeated) bool { return r.text == text }); i >= 0 {
			list[i].times++
		} else {
			list = append(list, repeated{text, 1})
		}
	}
	return list
}

// sql is on one line, however long: it is to be copied.
func (s *sheet) sql(query string) {
	s.say(2, "To see for yourself, in weir sql:")
	fmt.Fprintf(s.w, "    %s\n", printable(query, 1500))
}

// atMost is a share as an upper bound.
func atMost(share float64) string { return strings.TrimPrefix(finely(share), "less than ") }

// finely writes a share with two digits that say something.
func finely(share float64) string {
	switch percent := 100 * share; {
	case percent == 0:
		return "0 %"
	case percent < 0.001:
		return "less than 0.001 %"
	case percent < 0.1:
		return fmt.Sprintf("%.3f %%", percent)
	case percent < 10:
		return fmt.Sprintf("%.2f %%", percent)
	default:
		return fmt.Sprintf("%.0f %%", percent)
	}
}
