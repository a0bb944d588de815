package notify

import (
	"time"

	"github.com/weir-project/weir/schemas"
)

const (
	// wellServed is the share from which on an attack is called mitigated, illServed
	// that below which it is urgent.
	wellServed = 0.95
	illServed  = 0.90
	// worseBy is how far the share must fall below what was told.
	worseBy = 0.10
	// readingsInRow is how many readings, of ten seconds, must show it.
	readingsInRow = 3
)

func (g *group) worse(share float64) bool {
	return share < illServed && (g.Served == nil || share < *g.Served-worseBy)
}

func inRow(n int, yes bool) int {
	if !yes {
		return 0
	}
	return n + 1
}

// served is the share of the visitors of a group's open sites that is being served, by
// how many requests came through at each, and the share of all requests stopped.
func (s *story) served(g *group, now time.Time) (share float64, known bool, stopped float64) {
	var through, served, rate, held float64
	seen := make(map[string]bool)
	for _, i := range g.Incidents {
		if !i.Closed.IsZero() && g.open() > 0 {
			continue
		}
		for _, site := range i.Sites {
			r, ok := s.readings[site]
			if !ok || seen[site] || now.Sub(r.at) > readingAge {
				continue
			}
			seen[site] = true
			rate, held = rate+r.rate, held+r.rate*r.stopped
			if r.known {
				through, served = through+r.through, served+r.through*r.served
			}
		}
	}
	if rate > 0 {
		stopped = held / rate
	}
	if through == 0 {
		return 0, false, stopped
	}
	return served / through, true, stopped
}

// tally is what weir has decided in a group and what of it counts.
type tally struct {
	enforced, waiting int
	idle              int // would be enforced, were anything here
	off               bool
	byAction          map[schemas.Action]int
	collateral        float64 // of those enforced, together, at most
}

func (s *story) count(g *group, now time.Time) tally {
	t := tally{byAction: make(map[schemas.Action]int), off: s.o.Enforcing != nil && !s.o.Enforcing()}
	for _, i := range g.Incidents {
		// Everything in force was there when the newest of it was taken, so that the greatest
		// bound of all together is one of what is in force now. Those without one add up.
		together, sum := 0.0, 0.0
		for _, m := range i.Measures {
			switch {
			case !m.counts(now):
			case m.Enforced && t.off:
				t.idle++
			case m.Enforced:
				t.enforced++
				t.byAction[m.Action]++
				if together = max(together, m.Together); m.Together == 0 {
					sum += m.Collateral
				}
			default:
				t.waiting++
			}
		}
		t.collateral = max(t.collateral, min(together+sum, 1))
	}
	return t
}
