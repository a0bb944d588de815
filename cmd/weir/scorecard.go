package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// group is the runs of one scenario in one format.
type group struct {
	name   string
	format simulate.Format
	runs   []*simulate.Result
}

// grouped are the attacks that a log shows, or the innocent; attacks that people join stand in a table of their own.
func grouped(results []simulate.Result, attacks bool) (all []*group) {
	return groupsOf(results, func(r *simulate.Result) bool { return !r.Silent && r.Joined == nil && r.Attacks == attacks })
}

func groupsOf(results []simulate.Result, of func(*simulate.Result) bool) (all []*group) {
	at := map[string]*group{}
	order := map[string]int{}
	for i, s := range simulate.Scenarios() {
		order[s.Name] = i
	}
	for i := range results {
		r := &results[i]
		if !of(r) {
			continue
		}
		key := r.Scenario + string(r.Format)
		if at[key] == nil {
			at[key] = &group{name: r.Scenario, format: r.Format}
			all = append(all, at[key])
		}
		at[key].runs = append(at[key].runs, r)
	}
	slices.SortStableFunc(all, func(a, b *group) int {
		if a.format != b.format {
			return strings.Compare(string(b.format), string(a.format))
		}
		return order[a.name] - order[b.name]
	})
	return all
}

// scorecard is the results as Markdown tables.
func scorecard(results []simulate.Result) string {
	var b strings.Builder
	attackTable(&b, grouped(results, true))
	joinedTable(&b, groupsOf(results, func(r *simulate.Result) bool { return r.Joined != nil }))
	silentTable(&b, results)
	innocentTable(&b, grouped(results, false))
	return b.String()
}

func attackTable(b *strings.Builder, groups []*group) {
	if len(groups) == 0 {
		return
	}
	fmt.Fprintln(b, "| attack | format | runs | noticed s, median / worst (never) | traffic then, worst | incidents, median / worst | blocked, median / worst | stopped, median / worst | reachable blocked / stopped, median | ceiling, median | people blocked, pooled (worst) | slowed, pooled | behind bots' addresses, blocked | verified crawlers' requests stopped | other crawlers' requests stopped | other sites' or earlier incidents |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	var people, shared pool
	for _, g := range groups {
		g.attackRow(b, &people, &shared)
	}
	fmt.Fprintf(b, "\nAll attacks together: %s of the people there had a request blocked that would have succeeded, %s one challenged or throttled; of those behind addresses that bots use too %s and %s.\n",
		people.bound(people.blocked), people.bound(people.slowed), shared.bound(shared.blocked), shared.bound(shared.slowed))
	crawlersLine(b, groups)
}

func (g *group) attackRow(b *strings.Builder, people, shared *pool) {
	var factors, incidents, noticed, blocked, stopped, ceiling, reachableBlock, reachable []float64
	var own, behind pool
	never, wrong := 0, 0
	var verified, others simulate.Stopped
	for _, r := range g.runs {
		if r.Noticed == nil {
			never++
		} else {
			noticed = append(noticed, *r.Noticed)
			factors = append(factors, r.Factor)
		}
		incidents = append(incidents, float64(r.Incidents))
		blocked = append(blocked, r.Late.BlockShare())
		stopped = append(stopped, r.Late.Share())
		ceiling = append(ceiling, r.Ceiling)
		reachableBlock, reachable = append(reachableBlock, r.ReachableBlock), append(reachable, r.Reachable)
		own.add(r.Visitors)
		behind.add(r.Shared)
		verified.Join(r.Verified)
		others.Join(r.Unverified)
		wrong += len(r.False)
	}
	*people, *shared = people.with(own), shared.with(behind)
	fmt.Fprintf(b, "| %s | %s | %d | %s (%d) | %s | %.3g / %.3g | %s / %s | %s / %s | %s / %s | %s | %s (%s) | %s | %d of %d | %d of %d | %d of %d | %d |\n", g.name, g.format, len(g.runs),
		medianAndWorst(noticed), never, times(factors), median(incidents), highest(incidents), percent(median(blocked)), percent(lowest(blocked)), percent(median(stopped)), percent(lowest(stopped)),
		percent(median(reachableBlock)), percent(median(reachable)), percent(median(ceiling)), own.bound(own.blocked), percent(own.worst), percent(own.share(own.slowed)), behind.blocked, behind.all,
		verified.Any(), verified.Requests, others.Any(), others.Requests, wrong)
}

// joinedTable is of the attacks whose traits people begin to share midway: what is in force begins to hurt, and is
// to be lifted.
func joinedTable(b *strings.Builder, groups []*group) {
	if len(groups) == 0 {
		return
	}
	if b.Len() > 0 {
		fmt.Fprintln(b)
	}
	fmt.Fprintln(b, "| attack that people join | format | runs | stopped, median / worst | others blocked, pooled (worst) | others slowed, pooled | who joined | blocked | slowed | runs in which somebody was | with a lifting | s until the first lifting, median / worst | s until nobody more was stopped, median / worst | came later | of them blocked | slowed |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, g := range groups {
		var stopped, first, last []float64
		var own, joined, after pool
		lifted := 0
		for _, r := range g.runs {
			stopped = append(stopped, r.Late.Share())
			own.add(r.Visitors)
			joined.add(r.Joined.People)
			after.add(r.Joined.After)
			if r.Joined.First != nil {
				first = append(first, *r.Joined.First)
			}
			if r.Joined.Last != nil {
				last = append(last, *r.Joined.Last)
			}
			if r.Joined.Lifted > 0 {
				lifted++
			}
		}
		fmt.Fprintf(b, "| %s | %s | %d | %s / %s | %s (%s) | %s | %d | %d | %d | %d | %d | %s | %s | %d | %d | %d |\n", g.name, g.format, len(g.runs),
			percent(median(stopped)), percent(lowest(stopped)), own.bound(own.blocked), percent(own.worst), percent(own.share(own.slowed)),
			joined.all, joined.blocked, joined.slowed, len(last), lifted, medianAndWorst(first), medianAndWorst(last), after.all, after.blocked, after.slowed)
	}
}

// silentTable is of the attacks that no log shows.
func silentTable(b *strings.Builder, results []simulate.Result) {
	var groups []*group
	for i := range results {
		r := &results[i]
		if !r.Silent {
			continue
		}
		at := slices.IndexFunc(groups, func(g *group) bool { return g.name == r.Scenario })
		if at < 0 {
			at, groups = len(groups), append(groups, &group{name: r.Scenario})
		}
		groups[at].runs = append(groups[at].runs, r)
	}
	if len(groups) == 0 {
		return
	}
	if b.Len() > 0 {
		fmt.Fprintln(b)
	}
	fmt.Fprintln(b, "| silent attack | runs | noticed by the vitals s, median / worst (never) | incidents of an attack kind | decisions |")
	fmt.Fprintln(b, "|---|---|---|---|---|")
	for _, g := range groups {
		var noticed []float64
		attacks, decisions := int64(0), int64(0)
		for _, r := range g.runs {
			if r.Noticed != nil {
				noticed = append(noticed, *r.Noticed)
			}
			attacks, decisions = attacks+r.Incidents, decisions+r.Decisions
		}
		fmt.Fprintf(b, "| %s | %d | %s (%d) | %d | %d |\n", g.name, len(g.runs), medianAndWorst(noticed), len(g.runs)-len(noticed), attacks, decisions)
	}
}

func innocentTable(b *strings.Builder, groups []*group) {
	if len(groups) == 0 {
		return
	}
	if b.Len() > 0 {
		fmt.Fprintln(b)
	}
	fmt.Fprintln(b, "| innocent | format | runs | with an incident of an attack kind | decisions | blocked | slowed | people | incidents |")
	fmt.Fprintln(b, "|---|---|---|---|---|---|---|---|---|")
	var people pool
	for _, g := range groups {
		var own pool
		attacked, decisions, kinds := 0, int64(0), map[schemas.Kind]int64{}
		for _, r := range g.runs {
			own.add(r.Visitors)
			own.add(r.Shared)
			decisions += r.Decisions
			for k, n := range r.Kinds {
				kinds[k] += n
			}
			if len(r.False) > 0 {
				attacked++
			}
		}
		people = people.with(own)
		var list []string
		for _, k := range slices.Sorted(maps.Keys(kinds)) {
			list = append(list, fmt.Sprintf("%s %d", k, kinds[k]))
		}
		fmt.Fprintf(b, "| %s | %s | %d | %d | %d | %d | %d | %d | %s |\n", g.name, g.format, len(g.runs), attacked, decisions,
			own.blocked, own.slowed, own.all, strings.Join(list, ", "))
	}
	fmt.Fprintf(b, "\nAll innocent scenarios together: %s of the people blocked, %s challenged or throttled.\n", people.bound(people.blocked), people.bound(people.slowed))
	crawlersLine(b, groups)
}

// crawlersLine says what was done to crawlers' requests: to those at the addresses that their
// operators publish nothing may be.
func crawlersLine(b *strings.Builder, groups []*group) {
	var verified, others simulate.Stopped
	for _, g := range groups {
		for _, r := range g.runs {
			verified.Join(r.Verified)
			others.Join(r.Unverified)
		}
	}
	if verified.Requests+others.Requests > 0 {
		fmt.Fprintf(b, "\nVerified crawlers: %d of %d requests blocked, %d challenged or throttled. Other crawlers, which nothing shows to be what they say: %d of %d blocked, %d challenged or throttled.\n",
			verified.Block, verified.Requests, verified.Any()-verified.Block, others.Block, others.Requests, others.Any()-others.Block)
	}
}

// pool is people of several runs together.
type pool struct {
	all, blocked, slowed int64
	worst                float64
}

func (p *pool) add(t simulate.Touched) {
	p.all += t.Actors
	p.blocked += t.Blocked
	p.slowed += t.Slowed
	p.worst = max(p.worst, t.BlockedShare())
}

func (p pool) with(o pool) pool {
	return pool{p.all + o.all, p.blocked + o.blocked, p.slowed + o.slowed, max(p.worst, o.worst)}
}

func (p *pool) share(n int64) float64 { return float64(n) / float64(max(p.all, 1)) }

// bound is a share with its bounds, each of 95 % (Clopper and Pearson).
func (p *pool) bound(n int64) string {
	low := 1 - attribute.UpperShare(int(p.all-n), int(p.all))
	if n == 0 {
		low = 0
	}
	return fmt.Sprintf("%s [%s, %s]", percent(p.share(n)), percent(low), percent(attribute.UpperShare(int(n), int(p.all))))
}

func percent(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) }

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func lowest(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return slices.Min(v)
}

func highest(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return slices.Max(v)
}

// times is how many times the ordinary traffic there was at the most.
func times(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f x", slices.Max(v))
}

func medianAndWorst(v []float64) string {
	if len(v) == 0 {
		return "never"
	}
	return fmt.Sprintf("%.1f / %.1f", median(v), slices.Max(v))
}

// editFile replaces a file by what edit makes of its content.
func editFile(path string, edit func(string) (string, error)) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return usagef("read %s: %w", path, unwrapPath(err))
	}
	text, err := edit(string(old))
	if err != nil {
		return err
	}
	return writeFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}
