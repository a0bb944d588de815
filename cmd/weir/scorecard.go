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

// scorecard writes the results as tables: what was asked for and whether it holds, then each scenario.
func scorecard(t *printedTable, results []simulate.Result) error {
	attacks, joined := grouped(results, true), groupsOf(results, func(r *simulate.Result) bool { return r.Joined != nil })
	goalTable(t, results)
	baseTable(t, attacks)
	stoppedTable(t, attacks)
	peopleTable(t, attacks)
	joinedTable(t, joined)
	joinedAfterTable(t, joined)
	silentTable(t, results)
	innocentTable(t, grouped(results, false))
	return t.flush()
}

// stoppedTable is what was noticed and stopped of each attack.
func stoppedTable(t *printedTable, groups []*group) {
	if len(groups) == 0 {
		return
	}
	t.row("attack", "format", "runs", "noticed s (never)", "traffic then", "incidents", "blocked", "stopped", "reachable", "by sums", "ceiling")
	for _, g := range groups {
		var factors, incidents, noticed, blocked, stopped, ceiling, reachableBlock, reachable, sums []float64
		for _, r := range g.runs {
			if r.Noticed != nil {
				noticed = append(noticed, *r.Noticed)
				factors = append(factors, r.Factor)
			}
			incidents = append(incidents, float64(r.Incidents))
			blocked = append(blocked, r.Late.BlockShare())
			stopped = append(stopped, r.Late.Share())
			ceiling = append(ceiling, r.Ceiling)
			reachableBlock, reachable = append(reachableBlock, r.ReachableBlock), append(reachable, r.Reachable)
			sums = append(sums, r.ReachableSums)
		}
		t.row(g.name, string(g.format), fmt.Sprint(len(g.runs)), fmt.Sprintf("%s (%d)", medianAndWorst(noticed), len(g.runs)-len(noticed)), times(factors),
			fmt.Sprintf("%.3g / %.3g", median(incidents), highest(incidents)), medianAndLowest(blocked), medianAndLowest(stopped),
			tenths(median(reachableBlock))+" / "+tenths(median(reachable))+" / "+tenths(lowest(reachable)), medianAndLowest(sums), tenths(median(ceiling)))
	}
	t.text("Of noticed, incidents, blocked and stopped the median / the worst; of traffic the worst; of reachable, what an oracle blocks / stops in the median / stops in the worst run; by sums, the median / the worst; of the ceiling the median.")
}

// peopleTable is whom the decisions against each attack touched.
func peopleTable(t *printedTable, groups []*group) {
	if len(groups) == 0 {
		return
	}
	t.row("attack", "format", "people", "blocked", "worst", "slowed", "behind bots", "verified", "others", "elsewhere")
	var people, shared pool
	for _, g := range groups {
		var own, behind pool
		var verified, others simulate.Stopped
		wrong := 0
		for _, r := range g.runs {
			own.add(r.Visitors)
			behind.add(r.Shared)
			verified.Join(r.Verified)
			others.Join(r.Unverified)
			wrong += len(r.False)
		}
		people, shared = people.with(own), shared.with(behind)
		t.row(g.name, string(g.format), fmt.Sprint(own.all), own.bound(own.blocked), percent(own.worst), percent(own.share(own.slowed)),
			fmt.Sprintf("%d of %d", behind.blocked, behind.all), fmt.Sprintf("%d of %d", verified.Any(), verified.Requests),
			fmt.Sprintf("%d of %d", others.Any(), others.Requests), fmt.Sprint(wrong))
	}
	t.text("All attacks together: %s of the people there had a request blocked that would have succeeded, %s one challenged or throttled; of those behind addresses that bots use too %s and %s.",
		people.bound(people.blocked), people.bound(people.slowed), shared.bound(shared.blocked), shared.bound(shared.slowed))
	crawlersLine(t, groups)
}

// joinedTable is of the attacks whose traits people begin to share midway: what is in force begins to hurt, and is
// to be lifted.
func joinedTable(t *printedTable, groups []*group) {
	if len(groups) == 0 {
		return
	}
	t.row("attack that people join", "format", "runs", "stopped", "others blocked", "others slowed", "who joined", "blocked", "slowed")
	for _, g := range groups {
		var stopped []float64
		var own, joined pool
		for _, r := range g.runs {
			stopped = append(stopped, r.Late.Share())
			own.add(r.Visitors)
			joined.add(r.Joined.People)
		}
		t.row(g.name, string(g.format), fmt.Sprint(len(g.runs)), medianAndLowest(stopped), own.bound(own.blocked), percent(own.share(own.slowed)),
			fmt.Sprint(joined.all), fmt.Sprint(joined.blocked), fmt.Sprint(joined.slowed))
	}
	t.table()
}

// joinedAfterTable is how soon what hurts those people was lifted.
func joinedAfterTable(t *printedTable, groups []*group) {
	if len(groups) == 0 {
		return
	}
	t.row("attack that people join", "format", "runs that hurt", "with a lifting", "s until the first", "s until nobody was stopped", "came later", "blocked", "slowed")
	for _, g := range groups {
		var first, last []float64
		var after pool
		lifted := 0
		for _, r := range g.runs {
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
		t.row(g.name, string(g.format), fmt.Sprint(len(last)), fmt.Sprint(lifted), medianAndWorst(first), medianAndWorst(last),
			fmt.Sprint(after.all), fmt.Sprint(after.blocked), fmt.Sprint(after.slowed))
	}
	t.table()
}

// silentTable is of the attacks that no log shows.
func silentTable(t *printedTable, results []simulate.Result) {
	groups := groupsOf(results, func(r *simulate.Result) bool { return r.Silent })
	if len(groups) == 0 {
		return
	}
	t.row("silent attack", "runs", "noticed by the vitals s (never)", "incidents of an attack kind", "decisions")
	for _, g := range groups {
		var noticed []float64
		attacks, decisions := int64(0), int64(0)
		for _, r := range g.runs {
			if r.Noticed != nil {
				noticed = append(noticed, *r.Noticed)
			}
			attacks, decisions = attacks+r.Incidents, decisions+r.Decisions
		}
		t.row(g.name, fmt.Sprint(len(g.runs)), fmt.Sprintf("%s (%d)", medianAndWorst(noticed), len(g.runs)-len(noticed)), fmt.Sprint(attacks), fmt.Sprint(decisions))
	}
	t.table()
}

func innocentTable(t *printedTable, groups []*group) {
	if len(groups) == 0 {
		return
	}
	t.row("innocent", "format", "runs", "taken for an attack", "decisions", "blocked", "slowed", "people", "incidents")
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
		t.row(g.name, string(g.format), fmt.Sprint(len(g.runs)), fmt.Sprint(attacked), fmt.Sprint(decisions),
			fmt.Sprint(own.blocked), fmt.Sprint(own.slowed), fmt.Sprint(own.all), strings.Join(list, ", "))
	}
	t.text("All innocent scenarios together: %s of the people blocked, %s challenged or throttled.", people.bound(people.blocked), people.bound(people.slowed))
	crawlersLine(t, groups)
}

// crawlersLine says what was done to crawlers' requests: to those at the addresses that their
// operators publish nothing may be.
func crawlersLine(t *printedTable, groups []*group) {
	var verified, others simulate.Stopped
	for _, g := range groups {
		for _, r := range g.runs {
			verified.Join(r.Verified)
			others.Join(r.Unverified)
		}
	}
	if verified.Requests+others.Requests > 0 {
		t.text("Verified crawlers: %d of %d requests blocked, %d challenged or throttled. Other crawlers, which nothing shows to be what they say: %d of %d blocked, %d challenged or throttled.",
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
	low, high := p.bounds(n)
	return fmt.Sprintf("%s [%s, %s]", percent(p.share(n)), percent(low), percent(high))
}

func (p *pool) bounds(n int64) (low, high float64) {
	if n > 0 {
		low = 1 - attribute.UpperShare(int(p.all-n), int(p.all))
	}
	return low, attribute.UpperShare(int(n), int(p.all))
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

// tenths is a share, in percent, to a tenth of a percent: all that many runs' medians tell.
func tenths(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", 100*v), ".0") }

// medianAndLowest are shares, in percent.
func medianAndLowest(v []float64) string { return tenths(median(v)) + " / " + tenths(lowest(v)) }

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
