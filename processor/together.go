package processor

import (
	"slices"
	"time"

	"github.com/weir-project/weir/schemas"
)

// togetherSeconds is how long after an attack on one site one on another is taken for the
// same: botnets come to all sites of a team within minutes.
const togetherSeconds = 300

// together is what the sites that one attack strikes have in common.
type together struct {
	sites   []string // in the order in which it came to them
	decided int      // decisions so far, whose numbers are their ids
}

// begin makes the incident that opens at a site: a new one or, where another site's attack
// began just before, a part of that. What is asked for under made-up names is no part of it: nothing is decided there, and what
// a person says of it is not said of a site.
func (d *Detector) begin(s *site, now time.Time, second int64) *incident {
	if s.state.Kind.Attack() && s.name != Other {
		for _, o := range d.sites {
			i := o.incident
			if o == s || o.name == Other || i == nil || !o.state.Kind.Attack() || second-max(i.second, i.attack) > togetherSeconds {
				continue
			}
			i.all.strike(s.name)
			return &incident{id: i.id, opened: i.opened, second: second, next: second, all: i.all}
		}
	}
	return &incident{id: d.ids.next(now), opened: now, second: second, next: second, all: &together{sites: []string{s.name}}}
}

func (t *together) strike(site string) {
	if !slices.Contains(t.sites, site) {
		t.sites = append(t.sites, site)
	}
}

// parts are the sites at which an incident is open.
func (d *Detector) parts(id string) (open []*site) {
	for _, s := range d.sites {
		if s.incident != nil && s.incident.id == id {
			open = append(open, s)
		}
	}
	return open
}

// where fills in an event's sites, those at which its incident is open or, at its end, all
// that it struck; and its kind, which is a flood where it is one anywhere.
func (s *site) where(e *schemas.Event) {
	if e.Type == schemas.IncidentClosed {
		e.Sites = slices.Clone(s.incident.all.sites)
		return
	}
	e.Sites = nil
	for _, part := range s.d.parts(s.incident.id) {
		e.Sites = append(e.Sites, part.name)
		if part.state.Kind == schemas.Flood {
			e.Kind = schemas.Flood
		}
	}
}

// rejoin makes of the incidents of one id, as they were read, one again.
func (d *Detector) rejoin() {
	all := make(map[string]*together)
	for _, s := range d.sites {
		if s.incident == nil {
			continue
		}
		i := s.incident
		if all[i.id] == nil {
			all[i.id] = i.all
		}
		for _, name := range i.all.sites {
			all[i.id].strike(name)
		}
		all[i.id].decided = max(all[i.id].decided, i.all.decided)
		i.all = all[i.id]
	}
}
