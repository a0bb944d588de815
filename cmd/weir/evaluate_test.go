package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/schemas"
)

// evaluated are the results of a few runs.
func evaluated(t *testing.T, args ...string) (results []simulate.Result) {
	t.Helper()
	out := weirRun(t, append([]string{"evaluate", "--output", "json", "--quiet"}, args...)...)
	for line := range strings.Lines(out) {
		var r simulate.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	return results
}

// TestEvaluate holds a small part of the scorecard: an attack is noticed and stopped, and
// what is none is left alone.
func TestEvaluate(t *testing.T) {
	t.Parallel()
	for _, r := range evaluated(t, "--estate", "tuning", "--seeds", "1", "--first", "7", "--base", "40m", "--size", "1", "--strength", "1",
		"--format", "json", "--scenario", "opening", "--scenario", "frontpage") {
		switch {
		case r.Attacks && (r.Noticed == nil || *r.Noticed > 20 || r.Late.BlockShare() < .85 || r.Late.Requests < 5000):
			t.Errorf("%s: noticed %v, of %d late requests %d blocked", r.Scenario, r.Noticed, r.Late.Requests, r.Late.Block)
		case r.Visitors.BlockedShare() > .01 || r.Visitors.Actors < 500:
			t.Errorf("%s: %d of %d visitors blocked", r.Scenario, r.Visitors.Blocked, r.Visitors.Actors)
		case !r.Attacks && (r.Decisions > 0 || len(r.False) > 0):
			t.Errorf("%s: %d decisions, false incidents %v, kinds %v", r.Scenario, r.Decisions, r.False, r.Kinds)
		}
	}
}

// TestEvaluateSilentAttacks: what no log shows is noticed by the vitals, and nothing is decided on it;
// a crowd is not silent.
func TestEvaluateSilentAttacks(t *testing.T) {
	t.Parallel()
	results := evaluated(t, "--estate", "tuning", "--seeds", "1", "--first", "7", "--base", "30m",
		"--scenario", "slowloris", "--scenario", "synflood", "--scenario", "packets", "--scenario", "frontpage")
	for _, r := range results {
		switch {
		case r.Decisions > 0 || r.Incidents > 0:
			t.Errorf("%s: %d decisions, %d incidents of an attack kind", r.Scenario, r.Decisions, r.Incidents)
		case r.Silent && (r.Noticed == nil || *r.Noticed > 30 || r.Kinds[schemas.Silent] != 1):
			t.Errorf("%s: noticed %v, kinds %v", r.Scenario, r.Noticed, r.Kinds)
		case !r.Silent && r.Kinds[schemas.Silent] > 0:
			t.Errorf("%s was taken for silent", r.Scenario)
		}
	}
	if len(results) != 5 { // a crowd in both formats
		t.Errorf("%d results", len(results))
	}
	if card := printed(t, results); !strings.Contains(card, "| synflood | 1 |") || strings.Contains(card, "| synflood | json") {
		t.Errorf("the scorecard is\n%s", card)
	}
}

// printed is the scorecard as Markdown.
func printed(t *testing.T, results []simulate.Result) string {
	t.Helper()
	var b strings.Builder
	if err := scorecard(&printedTable{w: &b, markdown: true}, results); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestEvaluateIsReproducible: cores do not change a result, another seed does.
func TestEvaluateIsReproducible(t *testing.T) {
	t.Parallel()
	play := func(seed, jobs string) []simulate.Result {
		return evaluated(t, "--estate", "tuning", "--seeds", "1", "--first", seed, "--base", "20m", "--size", ".5", "--strength", ".1",
			"--jobs", jobs, "--scenario", "adaptive", "--scenario", "search")
	}
	text := func(r []simulate.Result) string { b, _ := json.Marshal(r); return string(b) }
	one, two, other := play("3", "1"), play("3", "4"), play("4", "1")
	if text(one) != text(two) || len(one) != 4 {
		t.Errorf("%d and %d results of one seed differ", len(one), len(two))
	}
	if slices.Equal([]string{text(one)}, []string{text(other)}) {
		t.Error("two seeds give the same results")
	}
}

// TestEvaluateWritesItsReport puts the table between the marks and keeps the rest.
func TestEvaluateWritesItsReport(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "quality.md")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"evaluate", "--quiet", "--estate", "tuning", "--seeds", "1", "--base", "10m", "--size", ".5", "--strength", ".1",
		"--format", "json", "--scenario", "webhooks", "--report", path}
	write("before\n<!-- scorecard -->\nstale\n<!-- end -->\nafter\n")
	weirRun(t, args...)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	if !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "after\n") || strings.Contains(text, "stale") || !strings.Contains(text, "| webhooks | json | 1 |") {
		t.Errorf("the report is\n%s", text)
	}
	write("no marks\n")
	var out, errs bytes.Buffer
	if code := run(context.Background(), args, screen{strings.NewReader(""), &out, &errs}); code != exitUsage || !strings.Contains(errs.String(), "scorecard") {
		t.Errorf("without marks: exit code %d, %s", code, errs.String())
	}
}
