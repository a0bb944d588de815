package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// goal is a line of what is asked of weir.
type goal struct {
	asked    string
	measured string
	holds    bool
}

// goalTable says of each line of what is asked whether the results hold it; lines that no result tells of are left out.
func goalTable(t *printedTable, results []simulate.Result) {
	attacks := only(results, func(r *simulate.Result) bool { return r.Attacks && !r.Silent && r.Joined == nil })
	goals := slices.Concat(noticedGoals(attacks), silentGoals(results), stoppedGoals(attacks), peopleGoals(attacks), innocentGoals(results), crawlerGoals(results))
	if len(goals) == 0 {
		return
	}
	t.row("asked for", "measured", "holds")
	for _, g := range goals {
		holds := "yes"
		if !g.holds {
			holds = "no"
		}
		t.row(g.asked, g.measured, holds)
	}
	t.table()
}

func only(results []simulate.Result, of func(*simulate.Result) bool) (some []*simulate.Result) {
	for i := range results {
		if of(&results[i]) {
			some = append(some, &results[i])
		}
	}
	return some
}

// among are those of some runs that are of a kind.
func among(runs []*simulate.Result, of func(*simulate.Result) bool) []*simulate.Result {
	return slices.DeleteFunc(slices.Clone(runs), func(r *simulate.Result) bool { return !of(r) })
}

// atWorst is the largest value, or with low the smallest, how many runs are beyond a limit, and the worst's name.
func atWorst(runs []*simulate.Result, of func(*simulate.Result) float64, limit float64, low bool, form func(float64) string) goal {
	sign := 1.0
	if low {
		sign = -1
	}
	most := slices.MaxFunc(runs, func(a, b *simulate.Result) int { return cmp.Compare(sign*of(a), sign*of(b)) })
	beyond := among(runs, func(r *simulate.Result) bool { return sign*of(r) > sign*limit })
	g := goal{measured: form(of(most)), holds: len(beyond) == 0}
	if len(beyond) > 0 {
		g.measured += fmt.Sprintf(" (%s %s %d; %d of %d runs)", most.Scenario, most.Format, most.Seed, len(beyond), len(runs))
	}
	return g
}

func values(runs []*simulate.Result, of func(*simulate.Result) float64) (v []float64) {
	for _, r := range runs {
		v = append(v, of(r))
	}
	return v
}

// fine is a share that is told from one just below it.
func fine(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) }

func seconds(v float64) string { return fmt.Sprintf("%.1f s", v) }

// noticedGoals are about the time from an attack's first request to an incident. A ramp has no moment at which it is there, and is to be
// noticed before it doubles the traffic.
func noticedGoals(attacks []*simulate.Result) (goals []goal) {
	ramp := func(r *simulate.Result) bool { return r.Scenario == "ramp" }
	noticed := func(r *simulate.Result) bool { return r.Noticed != nil }
	if missed := among(attacks, func(r *simulate.Result) bool { return !noticed(r) }); len(attacks) > 0 {
		goals = append(goals, goal{"every attack is noticed", fmt.Sprintf("%d of %d", len(attacks)-len(missed), len(attacks)), len(missed) == 0})
	}
	when := func(r *simulate.Result) float64 { return *r.Noticed }
	if sudden := among(attacks, func(r *simulate.Result) bool { return noticed(r) && !ramp(r) }); len(sudden) > 0 {
		middle := median(values(sudden, when))
		last := atWorst(sudden, when, 30, false, seconds)
		last.asked = "the last after 30 s"
		goals = append(goals, goal{"noticed after 10 s, median", seconds(middle), middle <= 10}, last)
	}
	if ramps := among(attacks, func(r *simulate.Result) bool { return noticed(r) && ramp(r) }); len(ramps) > 0 {
		g := atWorst(ramps, func(r *simulate.Result) float64 { return r.Factor }, 2, false, func(v float64) string { return fmt.Sprintf("%.1f x", v) })
		g.asked = "a ramp before it doubles the traffic"
		goals = append(goals, g)
	}
	return goals
}

func silentGoals(results []simulate.Result) []goal {
	silent := only(results, func(r *simulate.Result) bool { return r.Silent })
	if len(silent) == 0 {
		return nil
	}
	noticed := among(silent, func(r *simulate.Result) bool { return r.Noticed != nil })
	return []goal{{"what no log shows is noticed by the vitals", fmt.Sprintf("%d of %d", len(noticed), len(silent)), len(noticed) == len(silent)}}
}

// stoppedGoals are about an attack's requests later than a minute.
func stoppedGoals(attacks []*simulate.Result) (goals []goal) {
	blocked := func(r *simulate.Result) float64 { return r.Late.BlockShare() }
	stopped := func(r *simulate.Result) float64 { return r.Late.Share() }
	late := among(attacks, func(r *simulate.Result) bool { return r.Late.Requests > 0 })
	for _, line := range []struct {
		format           simulate.Format
		blocked, stopped float64
	}{{simulate.FormatJSON, .95, .98}, {simulate.FormatCombined, .80, .90}} {
		runs := among(late, func(r *simulate.Result) bool { return r.Format == line.format })
		if len(runs) == 0 {
			continue
		}
		b, s := median(values(runs, blocked)), median(values(runs, stopped))
		goals = append(goals,
			goal{fmt.Sprintf("%s: %s blocked, median", line.format, percent(line.blocked)), fine(b), b >= line.blocked},
			goal{fmt.Sprintf("%s: %s stopped, median", line.format, percent(line.stopped)), fine(s), s >= line.stopped})
	}
	for _, line := range []struct {
		asked string
		hard  bool
		least float64
	}{{"json: 95 % stopped in the worst run", false, .95}, {"where much is shared with visitors 85 %", true, .85}} {
		runs := among(late, func(r *simulate.Result) bool { return r.Format == simulate.FormatJSON && r.Hard == line.hard })
		if len(runs) == 0 {
			continue
		}
		g := atWorst(runs, stopped, line.least, true, percent)
		g.asked = line.asked
		goals = append(goals, g)
	}
	return goals
}

// peopleGoals are about everybody but bots at the attacked sites.
func peopleGoals(attacks []*simulate.Result) (goals []goal) {
	var all pool
	var most, slowest struct {
		share float64
		name  string
	}
	pools := map[string]*pool{}
	for _, r := range attacks {
		name := r.Scenario + " " + string(r.Format)
		if pools[name] == nil {
			pools[name] = new(pool)
		}
		pools[name].add(r.Visitors)
		all.add(r.Visitors)
	}
	if all.all == 0 {
		return nil
	}
	for name, p := range pools {
		if s := p.share(p.blocked); s > most.share || s == most.share && name < most.name {
			most.share, most.name = s, name
		}
		if s := p.share(p.slowed); s > slowest.share || s == slowest.share && name < slowest.name {
			slowest.share, slowest.name = s, name
		}
	}
	share := func(r *simulate.Result) float64 { return r.Visitors.BlockedShare() }
	single := atWorst(attacks, share, .01, false, percent)
	return []goal{
		{"people blocked 0.2 % at most", all.bound(all.blocked), all.share(all.blocked) <= .002},
		{"in the worst attack 1 %", fmt.Sprintf("%s (%s)", percent(most.share), most.name), most.share <= .01},
		{"people slowed 2 % at most", all.bound(all.slowed), all.share(all.slowed) <= .02},
		{"in the worst attack 2 %", fmt.Sprintf("%s (%s)", percent(slowest.share), slowest.name), slowest.share <= .02},
		{"people blocked 1 % in the worst run (not asked)", single.measured, single.holds},
	}
}

func innocentGoals(results []simulate.Result) []goal {
	innocent := only(results, func(r *simulate.Result) bool { return !r.Attacks && !r.Silent })
	if len(innocent) == 0 {
		return nil
	}
	var people pool
	taken := 0
	for _, r := range innocent {
		people.add(r.Visitors)
		people.add(r.Shared)
		if len(r.False) > 0 {
			taken++
		}
	}
	return []goal{
		{"nothing innocent is taken for an attack", fmt.Sprintf("%d of %d runs", taken, len(innocent)), taken == 0},
		{"nobody is stopped where nothing attacks", fmt.Sprintf("%d of %d people", people.blocked+people.slowed, people.all), people.blocked+people.slowed == 0},
	}
}

func crawlerGoals(results []simulate.Result) []goal {
	var verified simulate.Stopped
	for i := range results {
		verified.Join(results[i].Verified)
	}
	if verified.Requests == 0 {
		return nil
	}
	return []goal{{"no request of a verified crawler stopped", fmt.Sprintf("%d of %d", verified.Any(), verified.Requests), verified.Any() == 0}}
}

// baseTable is how much is stopped by how long a site has been known.
func baseTable(t *printedTable, groups []*group) {
	type cell struct{ blocked, stopped []float64 }
	cells := map[time.Duration]map[simulate.Format]*cell{}
	for _, g := range groups {
		for _, r := range g.runs {
			at := cells[time.Duration(r.Base)]
			if at == nil {
				at = map[simulate.Format]*cell{simulate.FormatJSON: {}, simulate.FormatCombined: {}}
				cells[time.Duration(r.Base)] = at
			}
			if r.Late.Requests > 0 {
				c := at[r.Format]
				c.blocked, c.stopped = append(c.blocked, r.Late.BlockShare()), append(c.stopped, r.Late.Share())
			}
		}
	}
	if len(cells) == 0 {
		return
	}
	t.row("known for", "runs", "json: blocked", "stopped", "combined: blocked", "stopped")
	for _, base := range slices.Sorted(maps.Keys(cells)) {
		row := []string{known(base), ""}
		n := 0
		for _, f := range []simulate.Format{simulate.FormatJSON, simulate.FormatCombined} {
			c := cells[base][f]
			n += len(c.blocked)
			if len(c.blocked) == 0 {
				row = append(row, "-", "-")
				continue
			}
			row = append(row, percent(median(c.blocked)), percent(median(c.stopped)))
		}
		row[1] = fmt.Sprint(n)
		t.row(row...)
	}
	t.text("Medians over all attacks.")
}
