package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// played is a result of which a test changes what it is about.
func played(scenario string, seed uint64, edit func(*simulate.Result)) simulate.Result {
	noticed := 8.0
	r := simulate.Result{Scenario: scenario, Attacks: true, Format: simulate.FormatJSON, Seed: seed, Base: simulate.Duration(30 * time.Minute),
		Noticed: &noticed, Factor: 4, Late: simulate.Stopped{Requests: 1000, Block: 970, Challenge: 20}, Reachable: 1, ReachableBlock: 1,
		Visitors: simulate.Touched{Actors: 1000}, Verified: simulate.Stopped{Requests: 50}, Incidents: 1}
	edit(&r)
	return r
}

// TestGoalsFail: each line of what is asked is held by a good result, and not by one that just misses it.
func TestGoalsFail(t *testing.T) {
	late := 31.0
	good := func(*simulate.Result) {}
	for _, c := range []struct {
		line     string // the beginning of the row that is not to hold any more
		scenario string
		edit     func(*simulate.Result)
	}{
		{"every attack is noticed", "opening", func(r *simulate.Result) { r.Noticed = nil }},
		{"the last after 30 s", "opening", func(r *simulate.Result) { r.Noticed = &late }},
		{"a ramp before it doubles", "ramp", func(r *simulate.Result) { r.Hard, r.Factor = true, 2.1 }},
		{"what no log shows", "synflood", func(r *simulate.Result) { *r = simulate.Result{Scenario: "synflood", Silent: true} }},
		{"json: 95 % stopped in the worst run", "opening", func(r *simulate.Result) { r.Late.Block = 929 }},
		{"where much is shared", "referer", func(r *simulate.Result) { r.Hard, r.Late.Block = true, 829 }},
		{"people blocked 0.2 %", "opening", func(r *simulate.Result) { r.Visitors.Blocked = 9 }},
		{"people blocked 1 % in the worst run", "opening", func(r *simulate.Result) { r.Visitors.Blocked = 11 }},
		{"people slowed 2 %", "opening", func(r *simulate.Result) { r.Visitors.Slowed = 90 }},
		{"no request of a verified crawler", "opening", func(r *simulate.Result) { r.Verified.Challenge = 1 }},
		{"nothing innocent is taken", "frontpage", func(r *simulate.Result) { r.Attacks, r.False = false, []string{"i-1"} }},
		{"nobody is stopped where nothing attacks", "frontpage", func(r *simulate.Result) { r.Attacks, r.Shared.Slowed = false, 1 }},
	} {
		first := []simulate.Result{played("opening", 1, good), played("opening", 2, good), played("opening", 3, good)}
		if row := goalRow(t, first, c.line); strings.HasSuffix(row, "| no |") {
			t.Errorf("good results do not hold %q", row)
		}
		if row := goalRow(t, append(first, played(c.scenario, 4, c.edit)), c.line); !strings.HasSuffix(row, "| no |") {
			t.Errorf("%s: a result that misses it has the row %q", c.line, row)
		}
	}
}

// TestGoalsAreMedians: 94.96 % is not shown as 95, nor taken for it.
func TestGoalsAreMedians(t *testing.T) {
	r := played("opening", 1, func(r *simulate.Result) { r.Late = simulate.Stopped{Requests: 10000, Block: 9496, Challenge: 400} })
	if got, want := goalRow(t, []simulate.Result{r}, "json: 95 % blocked, median"), "| json: 95 % blocked, median | 94.96 % | no |"; got != want {
		t.Errorf("the row is %s, want %s", got, want)
	}
}

// TestSilentAttacksAreNotInnocent: no log shows them, and they are no run of those that nothing attacks.
func TestSilentAttacksAreNotInnocent(t *testing.T) {
	silent := simulate.Result{Scenario: "synflood", Silent: true}
	innocent := played("frontpage", 1, func(r *simulate.Result) { r.Attacks = false })
	if got, want := goalRow(t, []simulate.Result{silent, innocent}, "nothing innocent"), "| nothing innocent is taken for an attack | 0 of 1 runs | yes |"; got != want {
		t.Errorf("the row is %s, want %s", got, want)
	}
}

// goalRow is the row of the scorecard that begins so; empty where there is none.
func goalRow(t *testing.T, results []simulate.Result, begin string) string {
	t.Helper()
	for line := range strings.Lines(printed(t, results)) {
		if strings.HasPrefix(line, "| "+begin) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// TestScorecardFitsATerminal: of tables as of many runs none is wider than most terminals.
func TestScorecardFitsATerminal(t *testing.T) {
	var results []simulate.Result
	for _, s := range simulate.Scenarios() {
		results = append(results, played(s.Name, 5099, func(r *simulate.Result) {
			r.Attacks, r.Silent, r.Visitors = s.Attack, s.Silent, simulate.Touched{Actors: 123456, Blocked: 1234, Slowed: 5678}
			r.Verified, r.Unverified = simulate.Stopped{Requests: 18112}, simulate.Stopped{Requests: 9822, Block: 74}
		}))
	}
	var b strings.Builder
	if err := scorecard(&printedTable{w: &b}, results); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "  ") && len(line) > 130 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

// TestScorecardPicture: it is well formed, has a dot for each run, and no dot outside of its panel.
func TestScorecardPicture(t *testing.T) {
	results := []simulate.Result{
		played("opening", 1, func(*simulate.Result) {}),
		played("opening", 2, func(r *simulate.Result) { r.Base = simulate.Duration(72 * time.Hour); r.Late = simulate.Stopped{} }),
		played("forge", 3, func(r *simulate.Result) { r.Format = simulate.FormatCombined; r.Visitors.Blocked = 500 }),
	}
	var b strings.Builder
	if err := scorecardPicture(&b, results); err != nil {
		t.Fatal(err)
	}
	in, dots := xml.NewDecoder(strings.NewReader(b.String())), 0
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "title" {
			dots++
		}
	}
	if dots != len(results)+2 { // and one of the people of each attack
		t.Errorf("%d dots:\n%s", dots, b.String())
	}
	for _, want := range []string{"3 days", "30 minutes", "forge, seed 3: 99 %"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q", want)
		}
	}
}
