package statuspage

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// maxPast bounds the past posts on the page.
const maxPast = 100

// view is all that the page says, before it is put into a language or a form. Posts in
// it are public.
type view struct {
	now        time.Time
	measured   time.Time // of the newest window; zero: none yet
	changed    time.Time // when there last was something new to read
	state      State
	components []componentView
	current    []*Post // the newest first
	planned    []*Post // the soonest first
	past       []*Post // the newest first
}

type componentView struct {
	Component
	id    string
	state State
	days  []dayOf
	sum   Tally // of the days
	known int   // days with data
}

// view gathers the page of a moment. The caller holds the lock until it is rendered.
func (p *Page) view(now time.Time) *view {
	v := &view{now: now.UTC(), measured: p.ledger.Changed, state: Operational}
	for _, post := range p.journal.all() {
		if post.Standing != Public {
			continue
		}
		v.changed = latest(v.changed, post.changed())
		switch {
		case post.over(now):
			if now.Sub(post.endOf()) < Days*24*time.Hour && len(v.past) < maxPast {
				v.past = append(v.past, post)
			}
		case post.Planned():
			v.planned = append(v.planned, post)
		default:
			v.current = append(v.current, post)
		}
	}
	slices.SortStableFunc(v.planned, func(a, b *Post) int { return a.From.Compare(b.From) })
	slices.SortStableFunc(v.past, func(a, b *Post) int { return b.Began.Compare(a.Began) })
	for i := range p.o.Components {
		c := componentView{Component: p.o.Components[i], id: idOf("component", p.o.Components[i].Site)}
		c.days = p.ledger.days(c.Site, now, Days)
		for _, d := range c.days {
			if d.Visitors > 0 {
				c.known++
				c.sum.add(d.Tally)
			}
		}
		c.state = p.componentState(c.Site, v, now)
		v.state = worse(v.state, c.state)
		v.components = append(v.components, c)
	}
	return v
}

// componentState is the worst of what was measured and what people say. During a
// maintenance nobody wonders about the rest.
func (p *Page) componentState(site string, v *view, now time.Time) State {
	state := Operational
	if p.o.Measured {
		state = p.ledger.state(site, now)
	}
	for _, post := range v.planned {
		if slices.Contains(post.Components, site) && post.Stage(now) == InProgress {
			return Maintenance
		}
	}
	for _, post := range v.current {
		if slices.Contains(post.Components, site) {
			state = worse(state, post.Impact.state())
		}
	}
	return state
}

// percent writes a share rounded down to a tenth of a percent: it never says 100 %
// where it was less.
func percent(share float64) string {
	tenths := math.Floor(share*1000 + 1e-9)
	if tenths >= 1000 {
		return "100\u00a0%"
	}
	return fmt.Sprintf("%.1f\u00a0%%", tenths/10)
}

// height is the step, 1 to 5, that a day's bar has: told apart by more than colour.
func (d *dayOf) height() int {
	served, _, ok := d.Shares()
	switch {
	case !ok:
		return 0
	case served >= slowBelow:
		return 5
	case served >= partialBelow:
		return 4
	case served >= 0.8:
		return 3
	case served >= majorBelow:
		return 2
	}
	return 1
}
