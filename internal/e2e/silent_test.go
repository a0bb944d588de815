package e2e

import (
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestASilentAttackOutlivesTheDetector sends an edge's vitals, in which connections are held that never
// become requests, kills the detector that has told of it, and has another tell that it is over.
func TestASilentAttackOutlivesTheDetector(t *testing.T) {
	f := startFleet(t, 2)
	f.settled()
	at := time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Second)
	send := func(seconds int, reading int64) {
		for range seconds {
			at = at.Add(time.Second)
			message, err := schemas.EncodeVitals(&schemas.Vitals{
				Time: at, Edge: "web1", Interval: 1,
				Nginx: &schemas.NginxVitals{Answered: true, Active: 30 + reading, Reading: reading, Accepted: 4, Handled: 4, Requests: 20},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := f.bus.Publish(t.Context(), schemas.SubjectVitals("web1"), "", message); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := func() (found schemas.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range f.events {
			if e.Kind == schemas.Silent {
				found = e
			}
		}
		return found
	}
	// Whoever judges them begins with the newest that there is, and may not be there yet: ordinary ones are sent until
	// enough are known.
	until(t, "the attack is told of", func() bool {
		send(900, 1)
		send(60, 600)
		return last().Incident != ""
	})
	send(60, 600) // it may have ended and begun again
	until(t, "the attack that goes on is told of", func() bool { return last().Type == schemas.IncidentOpened && at.Sub(last().Time) < time.Minute*3 })
	opened := last()
	was := f.owner("detector")
	f.of("detector").kill()
	until(t, "there is another detector", func() bool { now := f.owner("detector"); return now != "" && now != was })
	until(t, "its end is told of", func() bool {
		send(30, 1)
		return last().Type == schemas.IncidentClosed
	})
	if closed := last(); closed.Incident != opened.Incident || !closed.Opened.Equal(opened.Opened) {
		t.Errorf("opened %+v, closed %+v", opened, closed)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Decision != nil {
			t.Errorf("a decision followed: %+v", e)
		}
	}
}
