package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/axiomhq/hyperloglog"
	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// summary gathers what a replay's report says: what happened, what was decided
// and whom it touched. It is bounded by the number of incidents and decisions,
// which the processor bounds.
type summary struct {
	started     time.Time // the clock's, for the speed
	first, last int64     // event time, unix milliseconds
	requests    uint64
	incidents   []*incidentSummary // in the order of opening
	byIncident  map[string]*incidentSummary
	byDecision  map[string]*decisionSummary
	open        map[string][]*incidentSummary // by site, the open ones
}

type incidentSummary struct {
	event          schemas.Event // the latest
	opened, closed time.Time
	decisions      []*decisionSummary
	requests       uint64 // at its sites while it was open
	stopped        uint64
}

type decisionSummary struct {
	schemas.Decision
	added    time.Time
	requests uint64
	clients  *hyperloglog.Sketch
}

func newSummary() *summary {
	return &summary{
		started:    time.Now(),
		byIncident: make(map[string]*incidentSummary),
		byDecision: make(map[string]*decisionSummary),
		open:       make(map[string][]*incidentSummary),
	}
}

func (s *summary) request(r *schemas.Request, action schemas.Action, decision string) {
	if s.requests == 0 || r.Time < s.first {
		s.first = r.Time
	}
	s.last = max(s.last, r.Time)
	s.requests++
	if len(s.open) > 0 {
		for _, i := range s.open[string(r.Site)] {
			i.requests++
			if action != schemas.Allow {
				i.stopped++
			}
		}
	}
	if decision != "" && action != schemas.Allow {
		if d := s.byDecision[decision]; d != nil {
			d.requests++
			client := schemas.ClientOf(r.Client).As16()
			d.clients.InsertHash(xxh3.Hash(client[:]))
		}
	}
}

func (s *summary) event(e schemas.Event) {
	if e.Decision != nil && e.ID != "" {
		s.decision(e)
		return
	}
	i := s.byIncident[e.Incident]
	if i == nil {
		i = &incidentSummary{opened: e.Time}
		s.byIncident[e.Incident] = i
		s.incidents = append(s.incidents, i)
	}
	before := i.event.Sites
	keepPeak(&e, &i.event)
	i.event = e
	for _, site := range before {
		s.open[site] = slices.DeleteFunc(s.open[site], func(x *incidentSummary) bool { return x == i })
		if len(s.open[site]) == 0 {
			delete(s.open, site)
		}
	}
	if e.Type == schemas.IncidentClosed {
		i.closed = e.Time
		return
	}
	for _, site := range e.Sites {
		s.open[site] = append(s.open[site], i)
	}
}

// worst is the greatest score among the signals.
func worst(signals []schemas.Signal) (score float64) {
	for _, g := range signals {
		score = max(score, g.Score)
	}
	return score
}

func (s *summary) decision(e schemas.Event) {
	d := s.byDecision[e.ID]
	if d == nil {
		sketch, err := hyperloglog.NewSketch(14, true)
		if err != nil { // 14 is a valid precision
			panic(err)
		}
		d = &decisionSummary{added: e.Time, clients: sketch}
		s.byDecision[e.ID] = d
		if i := s.byIncident[e.Incident]; i != nil {
			i.decisions = append(i.decisions, d)
		}
	}
	d.Decision = *e.Decision
}

// shownDecisions bounds the list of one incident; what is left out is counted.
const shownDecisions = 12

func (s *summary) print(w io.Writer, stats tail.Stats, sites []processor.SiteStatus) {
	took := time.Since(s.started)
	fmt.Fprintf(w, "\nRead      %s lines in %s (%s a second): %s requests, %s refused\n",
		count(stats.Lines()), short(took), count(uint64(float64(stats.Lines())/max(took.Seconds(), 1e-3))),
		count(stats.Parsed()), count(stats.Lines()-stats.Parsed()))
	printRefused(w, stats)
	if s.requests > 0 {
		from, to := time.UnixMilli(s.first).UTC(), time.UnixMilli(s.last).UTC()
		fmt.Fprintf(w, "Covered   %s to %s UTC (%s), %s\n",
			from.Format(time.DateTime), to.Format(time.DateTime), short(to.Sub(from)), plural(len(sites), "site"))
	}
	if len(s.incidents) == 0 {
		fmt.Fprintln(w, "\nNo incident, no decision.")
		return
	}
	for _, i := range s.incidents {
		i.print(w)
	}
}

func (i *incidentSummary) print(w io.Writer) {
	end, lasted := "still open", ""
	if !i.closed.IsZero() {
		end, lasted = "to "+i.closed.UTC().Format(time.TimeOnly), " ("+short(i.closed.Sub(i.opened))+")"
	}
	fmt.Fprintf(w, "\nIncident %s: %s on %s\n  %s %s%s\n", i.event.Incident, i.event.Kind,
		printable(strings.Join(i.event.Sites, ", "), 60), i.opened.UTC().Format(time.DateTime), end, lasted)
	if i.event.Cause != "" {
		fmt.Fprintf(w, "  %s\n", printable(i.event.Cause, 200))
	}
	for _, line := range undecidedLines(&i.event) {
		fmt.Fprintf(w, "  %s\n", line)
	}
	for _, g := range i.event.Signals {
		fmt.Fprintf(w, "  %-22s %10s   normal %10s   score %.1f\n", g.Name, figure(g.Value), figure(g.Normal), g.Score)
	}
	if i.requests > 0 {
		fmt.Fprintf(w, "  Of %s requests while it was open an edge would have stopped %s (%.1f %%).\n",
			count(i.requests), count(i.stopped), 100*float64(i.stopped)/float64(i.requests))
	}
	if len(i.decisions) == 0 {
		fmt.Fprintln(w, "  No decision.")
		return
	}
	shown := slices.Clone(i.decisions)
	slices.SortStableFunc(shown, func(a, b *decisionSummary) int { return int(int64(b.requests) - int64(a.requests)) })
	fmt.Fprintf(w, "  %s, the first %s after the incident opened; those that matched most:\n",
		plural(len(i.decisions), "decision"), short(i.decisions[0].added.Sub(i.opened)))
	for _, d := range shown[:min(len(shown), shownDecisions)] {
		fmt.Fprintf(w, "    %-9s %-9s %s\n", d.Action, d.Scope, printable(d.Value, 100))
		fmt.Fprintf(w, "              matched %s requests of %s clients; would touch at most %.2f %% of visitors (%.1f an hour)\n",
			count(d.requests), count(d.clients.Estimate()), 100*d.Collateral, d.CollateralPerHour)
	}
	if n := len(shown) - shownDecisions; n > 0 {
		fmt.Fprintf(w, "    and %d more\n", n)
	}
}
