package demo

import (
	"fmt"
	"io"
	"time"
)

// closedWorkers make an application that can serve 30 requests a second: nine at once, and the
// mean page of a flood of pages that there are not takes 0.28 s.
const closedWorkers = 9

// What a closed loop promises.
const (
	closedStopped = 0.95 // share of the attack's requests after its first minute that never reach the application
	closedFailed  = 0.01 // share of visitors' requests that fail then, at most, beyond the share before the attack
	closedWait    = 2    // times visitors' quiet p95, from a minute after the first block on
	closedRefused = 0.01 // share of visitors that meet a refusal, at most
	overwhelmed   = 0.25 // share of visitors' requests that fail without weir, at least: the application's queue is full
)

// Ending is what came after a story with weir.
type Ending struct {
	AttackEnded time.Time
	Opened      int       // incidents that people were told of
	Closed      time.Time // when they were told that the attack's is over; zero: never
	Held        int       // decisions that were still in force, or at an nginx, when the waiting ended
	Expired     time.Time // when nothing was left; zero: never
}

// Clause is one promise of a closed loop.
type Clause struct {
	What string `json:"what"`
	Seen string `json:"seen"`
	Held bool   `json:"held"`
}

// ClosedLoop judges the same story without weir's measures and with them. Who comes to a page
// and gets none waits for ever.
func ClosedLoop(without, with *Report, end Ending) []Clause {
	settled, quiet := &with.Settled, &with.Phases[0].Visitors
	failed := 0.0
	if n := without.Flooded.Requests; n > 0 {
		failed = float64(without.Flooded.Failed) / float64(n)
	}
	refused := 0.0
	if with.Visitors > 0 {
		refused = float64(with.VisitorsRefused) / float64(with.Visitors)
	}
	before := without.Phases[0].Visitors.P95
	clauses := []Clause{
		{"without weir the application is overwhelmed", fmt.Sprintf("%.0f %% of visitors' requests fail, p95 of the others %s, %s before", 100*failed, wait(without.Flooded.P95), wait(before)),
			failed >= overwhelmed},
		{fmt.Sprintf("at least %.0f %% of the attack's requests after 60 s never reach it", 100*closedStopped), fmt.Sprintf("%.1f %% of %s", floor(100*with.Later.StoppedShare()), thousands(with.Later.Sent)),
			with.Later.Sent > 0 && with.Later.StoppedShare() >= closedStopped},
		{"visitors' p95 is within twice the quiet value 60 s after the first block, and no more fail", fmt.Sprintf("%s from then on, %s before the attack; %.1f %% of %s fail, %.1f %% before",
			wait(settled.Endured), wait(quiet.P95), 100*settled.failedShare(), thousands(settled.Requests), 100*quiet.failedShare()),
			settled.Requests > 0 && quiet.P95 > 0 && settled.Endured <= closedWait*quiet.P95 && settled.failedShare() <= quiet.failedShare()+closedFailed},
		{fmt.Sprintf("at most %.0f %% of visitors meet a refusal", 100*closedRefused), fmt.Sprintf("%d of %d", with.VisitorsRefused, with.Visitors),
			with.Visitors > 0 && refused <= closedRefused},
		{"the incident stays open until the attack ends, then closes", sinceEnd(end.Closed, end.AttackEnded, "closed"),
			end.Opened == 1 && end.Closed.After(end.AttackEnded)},
		{"everything expires", sinceEnd(end.Expired, end.AttackEnded, "nothing in force"), end.Held == 0 && end.Expired.After(end.AttackEnded)},
	}
	return clauses
}

func sinceEnd(at, end time.Time, what string) string {
	if at.IsZero() {
		return "never seen"
	}
	return fmt.Sprintf("%s %.0f s after the attack's end", what, at.Sub(end).Seconds())
}

// WriteClauses prints them, one or two lines each, and reports whether all held.
func WriteClauses(w io.Writer, clauses []Clause) (held bool) {
	held = true
	for _, c := range clauses {
		word := "HELD"
		if !c.Held {
			word, held = "NOT HELD", false
		}
		fmt.Fprintf(w, " %-9s %s\n           %s\n", word, c.What, c.Seen)
	}
	return held
}
