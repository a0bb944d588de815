package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// drillCount are the attack's requests, and what was done to them.
type drillCount struct {
	Requests int `json:"requests"`
	Stopped  int `json:"stopped"`
	Blocked  int `json:"blocked"`
}

func (n *drillCount) add(a schemas.Action) {
	n.Requests++
	if a.Severity() > 0 {
		n.Stopped++
	}
	if a == schemas.Block {
		n.Blocked++
	}
}

func (n drillCount) share() float64 { return float64(n.Stopped) / float64(max(n.Requests, 1)) }

// readiness asks who would be told, and the edges how they are.
func (d *drill) readiness() error {
	told, err := checkNotify(d.config)
	if err != nil {
		return err
	}
	d.report.Told = append(d.report.Told, told...)
	body, err := newControlClient(d.config.Data).do(d.ctx, http.MethodGet, "/api/edges", nil)
	if errors.Is(err, errNotRunning) {
		d.report.Edges = append(d.report.Edges, "weir run is not running on "+d.config.Data+": nothing is known of its edges")
		return nil
	}
	if err != nil {
		return err
	}
	var edges []*edgeSeen
	if err := json.Unmarshal(body, &edges); err != nil {
		return fmt.Errorf("drill: what the edges report: %w", err)
	}
	d.edges(edges, time.Now())
	return nil
}

// edges says of each whether it would hold what is decided.
func (d *drill) edges(edges []*edgeSeen, now time.Time) {
	ready, enforce := 0, d.config.ModeOf(d.report.Site) == config.Enforce
	fail := func(what string) {
		d.report.Edges = append(d.report.Edges, "NOT READY: "+what)
		if enforce {
			d.report.Failures = append(d.report.Failures, what)
		}
	}
	for _, e := range edges {
		name := "edge " + printable(e.Edge, 60)
		switch age := now.Sub(e.Received); {
		case age > edgeSilent:
			fail(fmt.Sprintf("%s has not reported for %s", name, short(age)))
			continue
		case e.Off:
			fail(name + " enforces nothing: weir panic off")
			continue
		}
		for _, p := range e.Parts {
			if p.Error != "" || p.Loaded+p.Refused < p.Intended {
				fail(fmt.Sprintf("%s, %s holds %d of %d: %s", name, p.Name, p.Loaded, p.Intended, printable(p.Error, 200)))
				continue
			}
			ready++
			d.report.Edges = append(d.report.Edges, fmt.Sprintf("%s, %s is ready: it holds %d of %d", name, p.Name, p.Loaded, p.Intended))
		}
		for _, b := range e.Bouncers {
			ready++
			d.report.Edges = append(d.report.Edges, fmt.Sprintf("%s, bouncer %s asked %s ago", name, printable(b.Name, 60), short(now.Sub(b.LastPull))))
		}
	}
	if ready == 0 && enforce && len(d.report.Failures) == 0 {
		fail("no edge is there to enforce anything")
	}
}

// judge says what would not have worked.
func (d *drill) judge() {
	r := &d.report
	for _, stopped := range d.touched {
		r.People++
		if stopped {
			r.Touched++
		}
	}
	fail := func(format string, args ...any) { r.Failures = append(r.Failures, fmt.Sprintf(format, args...)) }
	switch {
	case r.Noticed == nil:
		fail("the attack was not noticed")
	case r.Decided == nil:
		fail("it was noticed, and nothing was decided%s", because(d.undecided))
	case r.Late.share() < drillStopped:
		fail("after a minute %.0f %% of it was stopped, less than %.0f %%", 100*r.Late.share(), 100*drillStopped)
	}
	if share := float64(r.Touched) / float64(max(r.People, 1)); share > drillTouched {
		fail("%.1f %% of everybody else would have been stopped, more than %.0f %%", 100*share, 100*drillTouched)
	}
}

// drillDecisions is how many decisions a drill prints.
const drillDecisions = 10

func (d *drill) print(w io.Writer) {
	r := &d.report
	fmt.Fprintf(w, "A DRILL: nothing of this has happened, and no edge was told.\n\n")
	fmt.Fprintf(w, "%-22s %s on %s, mode %s\n", "scenario", r.Scenario, printable(r.Site, 100), r.Mode)
	fmt.Fprintf(w, "%-22s %s\n%-22s %s\n", "ordinary traffic", r.Base, "what is known", r.State)
	fmt.Fprintf(w, "%-22s %s in %s\n", "the attack", plural(r.Attack.Requests, "request"), short(d.command.For))
	moment := func(name string, s *float64) {
		if s == nil {
			fmt.Fprintf(w, "%-22s never\n", name)
		} else {
			fmt.Fprintf(w, "%-22s after %.1f s\n", name, *s)
		}
	}
	moment("noticed", r.Noticed)
	moment("decided", r.Decided)
	if r.Decided != nil {
		fmt.Fprintf(w, "%-22s %.1f s after that\n", "in force", d.config.Decisions.Propagation.Seconds())
	}
	fmt.Fprintf(w, "%-22s %.1f %% of its requests; later than a minute %.1f %%, blocked %.1f %%\n", "stopped", 100*r.Attack.share(), 100*r.Late.share(),
		100*float64(r.Late.Blocked)/float64(max(r.Late.Requests, 1)))
	fmt.Fprintf(w, "%-22s %d of %d who were there\n", "others stopped", r.Touched, r.People)
	table := newSheet(w)
	for i, e := range r.Decisions {
		if i == drillDecisions {
			fmt.Fprintf(w, "  ... and %d more\n", len(r.Decisions)-i)
			break
		}
		table.line("  %-26s %-9s %s", e.ID, e.Action, printable(e.Value, 110))
	}
	list := func(name string, lines []string, none string) {
		if len(lines) == 0 {
			lines = []string{none}
		}
		for _, line := range lines {
			fmt.Fprintf(w, "%-22s %s\n", name, printable(line, 300))
			name = ""
		}
	}
	list("would be told", r.Told, "nobody: there is no channel under notify.channels")
	list("edges", r.Edges, "none reports")
	if len(r.Failures) == 0 {
		fmt.Fprintln(w, "\nThe chain works. That messages arrive: weir notify test.")
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "\nWOULD NOT HAVE WORKED: %s\n", printable(f, 300))
	}
}
