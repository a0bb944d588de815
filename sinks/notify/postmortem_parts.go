package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// line is the timeline, to the second.
func (d *draft) line() {
	add := func(at time.Time, format string, args ...any) {
		d.timeline = append(d.timeline, moment{at, fmt.Sprintf(format, args...)})
	}
	for i, e := range d.incidents {
		switch e.Type {
		case schemas.IncidentOpened:
			add(e.Time, "weir opened the incident: %s", kindText(e.Kind))
		case schemas.IncidentUpdated:
			if i == 0 || d.incidents[i-1].Kind != e.Kind {
				add(e.Time, "weir took it for a %s", kindText(e.Kind))
			}
		case schemas.IncidentClosed:
			if by, ok := strings.CutPrefix(e.Cause, schemas.ClosedAsNormal); ok {
				by, _, _ = strings.Cut(by, ": ")
				add(e.Time, "%s (a person) closed it: normal traffic", cell(by, 60))
				break
			}
			add(e.Time, "weir closed it: quiet for two minutes")
		}
	}
	renewed, ended := make(map[string]int), make(map[moment]int)
	for _, e := range d.Events {
		if e.Decision == nil || e.ID == "" {
			continue
		}
		what := fmt.Sprintf("%s: %s of a %s", cell(e.ID, schemas.MaxID), actionText(e.Action), scopeText(e.Scope))
		switch e.Type {
		case schemas.DecisionAdded:
			add(e.Time, "%s decided %s%s", who(&e), what, d.force(&e))
		case schemas.DecisionRenewed:
			renewed[e.ID]++
		case schemas.DecisionRemoved:
			end := moment{e.Time, whyEnded(&e)}
			if ended[end]++; ended[end] <= shownEnds {
				add(e.Time, "%s ended: %s", cell(e.ID, schemas.MaxID), end.text)
			}
		}
	}
	for end, n := range ended {
		if n > shownEnds {
			add(end.at, "%d more decisions ended: %s", n-shownEnds, end.text)
		}
	}
	for _, told := range d.Public {
		add(told.Time, "%s on the status page: %s", told.who(), told.what())
	}
	if least, at, ok := d.worst(); ok {
		add(at, "fewest visitors served: %s", percent(least))
	}
	if at, ok := d.recovered(); ok {
		add(at, "visitors are served again (%s or more)", percent(wellServed))
	}
	slices.SortStableFunc(d.timeline, func(a, b moment) int { return a.at.Compare(b.at) })
	more := max(0, len(d.timeline)-maxTimeline)
	d.timeline = d.timeline[:len(d.timeline)-more]
	d.say("\n## Timeline\n\nAll times UTC, to the second, as the edges' logs have them.\n\n| time | since | what |\n|---|---|---|\n")
	for _, m := range d.timeline {
		since := m.at.Sub(d.began()).Round(time.Second)
		d.say("| %s | %+d s | %s |\n", m.at.UTC().Format("2006-01-02 15:04:05"), int(since.Seconds()), m.text)
	}
	total := 0
	for _, n := range renewed {
		total += n
	}
	if total > 0 {
		d.say("\nRenewals of decisions, left out above: %d.\n", total)
	}
	if more > 0 {
		d.say("\nThe last %d are left out.\n", more)
	}
}

func actionText(a schemas.Action) string {
	switch a {
	case schemas.Block, schemas.Challenge, schemas.Throttle:
		return string(a)
	}
	return "a measure"
}

func scopeText(s schemas.Scope) string {
	switch s {
	case schemas.ScopeClient, schemas.ScopePrefix, schemas.ScopeSignature, schemas.ScopeScore, schemas.ScopeSite:
		return string(s)
	}
	return "something"
}

// who is weir, or the person that a decision names.
func who(e *schemas.Event) string {
	if e.Origin == "weir" || e.Origin == "" {
		return "weir"
	}
	return cell(e.Origin, 60) + " (a person)"
}

// who told it.
func (t *Told) who() string {
	if t.By == "weir" {
		return "weir"
	}
	return cell(t.By, 60) + " (a person)"
}

// what was told.
func (t *Told) what() string {
	title := cell(t.Title, 200)
	switch t.Step {
	case "update":
		return "said more of " + title
	case "resolve":
		return "said that " + title + " is over"
	}
	return "published " + title
}

// public is what was said outside.
func (d *draft) public() {
	d.say("\n## What the public was told\n\n")
	if d.PublicUnknown != "" {
		d.say("What the status page said is not wholly known: %s.\n\n", code(d.PublicUnknown, 300))
	}
	if len(d.Public) == 0 && d.PublicUnknown == "" {
		d.say("Nothing, on weir's status page, until %s.\n", instant(d.Written))
	}
	if len(d.Public) == 0 {
		return
	}
	d.say("| time | by | what | words |\n|---|---|---|---|\n")
	for _, told := range d.Public[:min(len(d.Public), maxDecisions)] {
		d.say("| %s | %s | %s | %s |\n", told.Time.UTC().Format("2006-01-02 15:04:05"), told.who(), told.what(), cell(told.Text, 400))
	}
	if more := len(d.Public) - maxDecisions; more > 0 {
		d.say("\nAnd %d more.\n", more)
	}
}

// force says whether a decision of weir's was enforced.
func (d *draft) force(e *schemas.Event) string {
	if e.Origin != "weir" {
		return ""
	}
	for _, site := range e.Sites {
		if mode := d.Mode(site); mode != "enforce" {
			return " (not enforced: mode " + mode + ")"
		}
	}
	return ""
}

func whyEnded(e *schemas.Event) string {
	switch {
	case strings.HasPrefix(e.Reason, lifted):
		return "weir lifted it, because it matched visitors that the site knows"
	case !e.Time.Before(e.Expires.Add(-time.Second)):
		return "it expired"
	}
	if by, ok := strings.CutPrefix(e.Reason, schemas.RemovedBy); ok && by != "" {
		return cell(by, 60) + " (a person) lifted it before its time"
	}
	return "it was lifted before its time"
}

// apart is what set the attack's requests apart.
func (d *draft) apart() {
	d.say("\n## What set it apart\n\n")
	shown := 0
	for i := range d.decisions {
		e := &d.decisions[i]
		if e.Evidence == nil || shown >= maxDecisions {
			continue
		}
		shown++
		v := e.Evidence
		d.say("### %s\n\n%s of a %s: %s\n\n", code(e.ID, schemas.MaxID), upperFirst(actionText(e.Action)), scopeText(e.Scope), code(e.Value, 400))
		d.say("Matched %s of the attack's requests and %s of normal clients; at least %s times as likely in the attack.\n", percent(v.AttackShare), fine(v.NormalShare), figure(v.RiskRatio))
		if len(v.Traits) > 0 {
			d.say("\n| trait | value | in the attack | normally | bits |\n|---|---|---|---|---|\n")
			for _, t := range v.Traits {
				d.say("| %s | %s | %.1f %% | %.1f %% | %.1f |\n", cell(t.Trait, 40), cell(t.Value, 120), 100*t.Attack, 100*t.Normal, t.Bits)
			}
		}
		for _, list := range []struct {
			title string
			lines []string
		}{{"Requests that it matches", v.Samples}, {"The nearest normal requests", v.Nearest}} {
			if len(list.lines) > 0 {
				d.say("\n%s:\n\n", list.title)
			}
			for _, s := range list.lines[:min(len(list.lines), maxSamples)] {
				d.say("- %s\n", code(s, 200))
			}
		}
		d.say("\n")
	}
	if shown == 0 {
		d.say("No decision has evidence: nothing was found that many of these requests share and visitors do not, or nothing was looked for.\n")
	}
}

// done is what was done and by whom.
func (d *draft) done() {
	d.say("## What was done, and by whom\n\n")
	if len(d.decisions) == 0 {
		d.say("Neither weir nor a person took a decision.\n")
		return
	}
	figures := make(map[string]DecisionFigures)
	if d.Figures != nil {
		for _, f := range d.Figures.Decisions {
			figures[f.Decision] = f
		}
	}
	d.say("| decision | by | what | requests stopped | clients | first | last |\n|---|---|---|---|---|---|---|\n")
	for _, e := range d.decisions[:min(len(d.decisions), maxDecisions)] {
		f, counted := figures[e.ID]
		requests, clients, first, last := "not known", "not known", "", ""
		if d.Figures != nil {
			requests, clients = fmt.Sprint(f.Requests), fmt.Sprint(f.Clients)
		}
		if counted {
			first, last = f.First.UTC().Format("15:04:05"), f.Last.UTC().Format("15:04:05")
		}
		d.say("| %s | %s | %s of a %s%s | %s | %s | %s | %s |\n", cell(e.ID, schemas.MaxID), who(&e), actionText(e.Action), scopeText(e.Scope), d.force(&e), requests, clients, first, last)
	}
	if more := len(d.decisions) - maxDecisions; more > 0 {
		d.say("\nAnd %d more.\n", more)
	}
}

// collateral is what it cost visitors, as promised and as measured.
func (d *draft) collateral() {
	d.say("\n## Collateral\n\n")
	promised, hour := schemas.Promised(d.decisions)
	d.say("- Promised: all of weir's decisions together would touch at most %s of a site's people, %s an hour.\n", fine(min(promised, 1)), figure(hour))
	if f := d.Figures; f == nil {
		d.say("- Measured: not known, the requests could not be counted.\n")
	} else if f.Known == 0 {
		d.say("- Measured: not known, nobody who came during the incident had been answered well on the day before and is stored.\n")
	} else {
		d.say("- Measured: of %d clients that the site had answered well on the day before and that came during the incident, edges stopped %d (%s); %d were answered well at least once.\n",
			f.Known, f.Touched, percent(share(f.Touched, f.Known)), f.Served)
	}
	n := 0
	for _, e := range d.Events {
		if e.Type == schemas.DecisionRemoved && e.Decision != nil && strings.HasPrefix(e.Reason, lifted) {
			n++
		}
	}
	d.say("- Decisions that weir lifted because they matched visitors: %d.\n", n)
}

// questions are what only people can answer.
func (d *draft) questions() {
	d.say("\n## Open questions\n\n")
	ask := func(format string, args ...any) { d.say("- [ ] "+format+"\n", args...) }
	var first time.Time
	for _, e := range d.decisions {
		if first.IsZero() || e.Time.Before(first) {
			first = e.Time
		}
	}
	if _, over := d.ended(); !over {
		ask("It is still open: draft this again when it has closed.")
	}
	ask("When did it really begin? weir opened it at %s.", instant(d.began()))
	if first.IsZero() {
		ask("No decision was taken: what else kept visitors served, or should have?")
	} else if wait := first.Sub(d.began()); wait > 30*time.Second {
		ask("The first decision came %s after the opening: what kept it?", duration(wait))
	}
	for _, site := range d.opened.Sites[:min(len(d.opened.Sites), 3)] {
		if mode := d.Mode(site); mode != "enforce" && len(d.decisions) > 0 {
			ask("%s is in mode %s: should its decisions be enforced at once the next time?", code(site, siteWidth), mode)
		}
	}
	if least, _, ok := d.worst(); ok && least < illServed {
		if at, ok := d.recovered(); ok {
			ask("Visitors were badly served from about the opening to %s: what made it so long?", instant(at))
		} else {
			ask("Visitors were badly served, and no half minute shows that it ended within the incident: why?")
		}
	}
	if f := d.Figures; f != nil {
		if f.Touched > 0 {
			ask("%d known clients were stopped: were they visitors? `weir sql` finds them by `action != 'allow'`.", f.Touched)
		}
		if through := f.Requests - min(f.Stopped, f.Requests); f.Stopped > 0 && share(f.Stopped, f.Requests) < 0.9 {
			ask("%d requests were let through: how many of them were the attack's?", through)
		}
	}
	if len(d.Public) == 0 {
		ask("Who was told, when, and what did the public read?")
	} else if wait := d.Public[0].Time.Sub(d.began()); wait > 10*time.Minute {
		ask("The public first read of it %s after the opening: what kept it?", duration(wait))
	}
	ask("What would have made it shorter, or unnoticed by visitors?")
	d.say("\n## What we change\n\n- [ ] \n")
}
