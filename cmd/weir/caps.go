package main

import (
	"fmt"
	"iter"
	"time"

	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// sayCapAgain is after how long a cap that is still reached is told of again.
const sayCapAgain = 5 * time.Minute

// leftOut tells of measures that a cap kept weir from deciding. The detector's goroutine alone calls it.
func (r *processing) leftOut(site string, reached processor.Cap, measures int) {
	key := site + " " + string(reached)
	if now := time.Now(); now.Sub(r.capped[key]) >= sayCapAgain {
		if r.capped == nil || len(r.capped) > 10_000 {
			r.capped = make(map[string]time.Time)
		}
		r.capped[key] = now
		r.log.Warn("a cap keeps weir from deciding more", "site", site, "cap", string(reached), "left_out", measures)
	}
}

// capLine says that so many decisions are in force that weir decides no more by itself; "" where it does. An eighth
// of what may be in force is not for single clients, and no site's clients get more than is free for the others.
func capLine(events iter.Seq[*schemas.Event], most int, now time.Time) string {
	own, clients, busiest := 0, make(map[string]int), 0
	for e := range events {
		if decisionOf(*e) == "" || e.Origin != schemas.OriginWeir || ended(e, now) {
			continue
		}
		own++
		if e.Scope == schemas.ScopeClient && len(e.Sites) == 1 {
			clients[e.Sites[0]]++
			busiest = max(busiest, clients[e.Sites[0]])
		}
	}
	switch free := most - own; {
	case most <= 0:
		return ""
	case free <= 0:
		return fmt.Sprintf("decisions.max is reached (%s of weir's own in force): it decides nothing more until some end", count(own))
	case free <= most/8 || free <= busiest:
		return fmt.Sprintf("decisions.max is nearly reached (%s of weir's own in force, of %s): it decides on no more single addresses until some end", count(own), count(most))
	}
	return ""
}
