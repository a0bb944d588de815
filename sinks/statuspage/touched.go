package statuspage

import (
	"time"

	"github.com/weir-project/weir/schemas"
)

// maxTouched bounds the decisions of a site that are looked at one by one; where there
// are more, the whole budget is taken to be used.
const maxTouched = 1024

// touched is what the decisions in force on a site may cost its visitors.
type touched struct {
	decisions map[string]touching
	over      time.Time // until then the budget is taken to be used
}

type touching struct {
	collateral float64
	expires    time.Time
}

// Decision takes an event of a decision that is enforced; replace says that what came
// before no longer holds.
func (p *Page) Decision(events []schemas.Event, replace bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if replace {
		clear(p.touched)
	}
	now := time.Now()
	for i := range events {
		e := &events[i]
		if e.Decision == nil || e.ID == "" {
			continue
		}
		if len(e.Sites) == 0 {
			for _, c := range p.o.Components {
				p.touch(c.Site, e, now)
			}
		}
		for _, site := range e.Sites {
			p.touch(site, e, now)
		}
	}
}

func (p *Page) touch(site string, e *schemas.Event, now time.Time) {
	if p.component(site) == nil {
		return
	}
	t := p.touched[site]
	if t == nil {
		t = &touched{decisions: make(map[string]touching)}
		p.touched[site] = t
	}
	if e.Type == schemas.DecisionRemoved || !e.Expires.After(now) {
		delete(t.decisions, e.ID)
		return
	}
	if _, known := t.decisions[e.ID]; !known && len(t.decisions) >= maxTouched {
		t.over = latest(t.over, e.Expires)
		return
	}
	t.decisions[e.ID] = touching{e.Collateral, e.Expires}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// touchedAt is the share of a site's visitors that the decisions in force may touch, at
// most the owner's budget, within which weir decides.
func (p *Page) touchedAt(site string, now time.Time) (sum float64) {
	t := p.touched[site]
	if t == nil {
		return 0
	}
	if t.over.After(now) {
		return p.o.Budget
	}
	for id, d := range t.decisions {
		if !d.expires.After(now) {
			delete(t.decisions, id)
			continue
		}
		sum += d.collateral
	}
	return min(sum, p.o.Budget)
}
