package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// TestAPersonsWordIsKept tells the detector in mid-attack that this is normal, kills it when
// it has closed the incident, and has another judge the rest: nothing is closed twice, and
// no decision is left.
func TestAPersonsWordIsKept(t *testing.T) {
	log, lines, end := simulated(t)
	f := startFleet(t, 2)
	f.ship(log)
	until(t, "the incident opens", func() bool { return f.seen(schemas.IncidentOpened) })
	f.mu.Lock()
	at := slices.IndexFunc(f.events, func(e schemas.Event) bool { return e.Type == schemas.IncidentOpened })
	opened := f.events[at]
	f.mu.Unlock()
	text, err := json.Marshal(processor.Correction{Incident: opened.Incident, By: "anna", Time: opened.Time.Add(30 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.bus.State().Create(t.Context(), "normal."+opened.Incident, text); err != nil {
		t.Fatal(err)
	}
	until(t, "the incident closes", func() bool { return f.seen(schemas.IncidentClosed) })
	f.of("detector").kill()
	f.close(log, end.Add(5*time.Minute))
	until(t, "all requests are in the signals", func() bool { return f.requests() >= float64(lines) })
	f.mu.Lock()
	defer f.mu.Unlock()
	checkWord(t, f.events, opened.Incident)
}

func checkWord(t *testing.T, events []schemas.Event, incident string) {
	t.Helper()
	closed, inForce := 0, make(map[string]bool)
	for _, e := range events {
		switch {
		case e.Incident != incident && (e.Decision != nil || e.Kind.Attack()):
			t.Errorf("%s of %s: the attack went no further", e.Type, e.Incident)
		case e.Incident != incident: // that the site fails under it is told all the same
		case e.Type == schemas.IncidentClosed:
			closed++
			if !strings.HasPrefix(e.Cause, schemas.ClosedAsNormal+"anna: ") {
				t.Errorf("closed: %q", e.Cause)
			}
		case e.Type == schemas.DecisionRemoved:
			delete(inForce, e.ID)
		case e.Decision != nil:
			inForce[e.ID] = true
		}
	}
	if closed != 1 || len(inForce) > 0 {
		t.Errorf("closed %d times, still in force: %v", closed, inForce)
	}
}
