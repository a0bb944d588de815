package main

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/top"
	"github.com/weir-project/weir/schemas"
)

// siteBoard is the last signals of every site, and the rates of the ten minutes before:
// some 3 KB a site. The processor bounds their number; those that it has no more are
// forgotten an hour later. Safe for concurrent use.
type siteBoard struct {
	mu     sync.Mutex
	sites  map[string]*top.Site
	newest time.Time // end of the newest window
	clocks *clocks   // nil where requests are not counted here
}

// siteGone is how long after its last window a site makes room for another.
const siteGone = time.Hour

func newSiteBoard() *siteBoard { return &siteBoard{sites: make(map[string]*top.Site)} }

// take keeps the signals of a site's window of 10 s. The slice is kept.
func (b *siteBoard) take(end time.Time, name string, signals []schemas.Signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sites[name]
	if s == nil {
		for other, old := range b.sites {
			if end.Sub(old.End) >= siteGone {
				delete(b.sites, other)
			}
		}
		s = &top.Site{Name: name, Rate: make([]float64, 0, top.History)}
		b.sites[name] = s
	}
	s.End, s.Signals = end, signals
	if len(s.Rate) == top.History {
		s.Rate = append(s.Rate[:0], s.Rate[1:]...)
	}
	s.Rate = append(s.Rate, rateOf(s))
	if end.After(b.newest) {
		b.newest = end
	}
}

func rateOf(s *top.Site) float64 {
	for _, g := range s.Signals {
		if g.Name == "request_rate" {
			return g.Value
		}
	}
	return 0
}

// names are the sites', in order, no more than most.
func (b *siteBoard) names(most int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.Sorted(maps.Keys(b.sites))
	return all[:min(len(all), most)]
}

// first are the sites to look at first: those with an open incident, then the others, each by
// their requests. open has the incident of each site that has one.
func (b *siteBoard) first(most int, open map[string]string) (sites []top.Site, all int, newest time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sites {
		c := *s
		c.Rate, c.Incident = slices.Clone(s.Rate), open[s.Name]
		sites = append(sites, c)
	}
	quiet := func(s *top.Site) int {
		if s.Incident != "" {
			return 0
		}
		return 1
	}
	slices.SortFunc(sites, func(x, y top.Site) int {
		return cmp.Or(cmp.Compare(quiet(&x), quiet(&y)), cmp.Compare(rateOf(&y), rateOf(&x)), cmp.Compare(x.Name, y.Name))
	})
	return sites[:min(len(sites), most)], len(b.sites), b.newest
}

// attacked are the sites with an open incident, whatever its kind, and its id.
func (b *board) attacked() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := make(map[string]string)
	for id, e := range b.incidents.events {
		if e.Type != schemas.IncidentClosed {
			for _, site := range e.Sites {
				open[site] = max(open[site], id) // of several the newest: ids are in their order
			}
		}
	}
	return open
}

// overview is one look at everything, for weir top; most is how many of its own decisions weir may have in force.
func (b *board) overview(sites *siteBoard, modes modeTable, most int, now time.Time) top.Overview {
	o := top.Overview{Time: now, Mode: string(modes.of("")), InForce: make(map[string]int)}
	o.Sites, o.AllSites, o.EventTime = sites.first(top.MaxSites, b.attacked())
	if sites.clocks != nil {
		o.Clocks = sites.clocks.wrong(top.MaxEdges)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, open := range []bool{true, false} {
		for _, id := range slices.Backward(b.incidents.order) {
			e := b.incidents.events[id]
			if len(o.Incidents) < top.MaxIncidents && (e.Type != schemas.IncidentClosed) == open {
				o.Incidents = append(o.Incidents, e)
			}
		}
	}
	for _, id := range slices.Backward(b.decisions.order) {
		e := b.decisions.events[id]
		if ended(&e, now) {
			continue
		}
		o.InForce[string(e.Action)]++
		if len(o.Decisions) < top.MaxDecisions {
			d := *e.Decision
			d.Evidence = nil
			e.Decision = &d
			o.Decisions = append(o.Decisions, e)
		}
	}
	waiting := unenforcedOf(b.decisions.each, modes, now)
	o.Proposed, o.Observed = waiting.proposed, waiting.observed
	o.Cap = capLine(b.decisions.each, most, now)
	return o
}

func (s *server) answerOverview(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	o := s.board.overview(s.sites, s.modes.table(), s.modes.most(), time.Now())
	if o.Vitals = s.vitals.all(); len(o.Vitals) > top.MaxEdges {
		o.Vitals = o.Vitals[:top.MaxEdges]
	}
	o.Held = s.edges.held(top.MaxEdges, o.Time)
	if err := json.NewEncoder(w).Encode(o); err != nil {
		s.log.Debug("answer", "error", err) // the client has gone
	}
}
