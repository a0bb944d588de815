package processor

import (
	"bytes"
	"slices"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// twoSites is an ordinary half hour of two sites, then one botnet that comes to both, to the
// second some time after the first.
func twoSites(seed uint64, later int64) *traffic {
	t := newTraffic(seed)
	for i, site := range []string{"www.example.org", "shop.example.org"} {
		t.site = site
		from := 30*minute + int64(i)*later
		t.people(0, 42*minute+later, 0.8)
		t.botnet(from, from+4*minute, 4000, 1400)
	}
	return t
}

func TestOneAttackOnSeveralSites(t *testing.T) {
	both := []string{"www.example.org", "shop.example.org"}
	e, _ := run(t, make1(t, small), twoSites(1, minute).batches(500))
	var opened, together, closed int
	ids := make(map[string]bool)
	for _, event := range e.log {
		switch {
		case event.Type == schemas.DecisionAdded:
			if ids[event.ID] || len(event.Sites) != 1 {
				t.Errorf("decision %s of %v: its id is taken, or it is not of one site", event.ID, event.Sites)
			}
			ids[event.ID] = true
		case event.Type == schemas.IncidentOpened:
			opened++
			if event.Kind != schemas.Flood || !slices.Equal(event.Sites, both[:1]) {
				t.Errorf("opened as %s on %v", event.Kind, event.Sites)
			}
		case event.Type == schemas.IncidentUpdated && slices.Equal(event.Sites, both):
			together++
		case event.Type == schemas.IncidentClosed:
			closed++
			if !slices.Equal(event.Sites, both) || event.Closed.IsZero() {
				t.Errorf("closed on %v at %s", event.Sites, event.Closed)
			}
		}
	}
	if opened != 1 || together == 0 || closed != 1 || len(ids) < 2 {
		t.Errorf("opened %d times, %d times on both, closed %d times, %d decisions: %v", opened, together, closed, len(ids), kinds(e.log))
	}
	e, _ = run(t, make1(t, small), twoSites(1, 7*minute).batches(500))
	if got := len(slices.DeleteFunc(kinds(e.log), func(s string) bool { return s[:15] != "incident.opened" })); got != 2 {
		t.Errorf("attacks seven minutes apart are %d incidents, want 2", got)
	}
}

// TestOneAttackOverARestart holds that what is one incident still is one when it was read back.
func TestOneAttackOverARestart(t *testing.T) {
	p, batches := make1(t, small), twoSites(1, minute).batches(500)
	e := newEdge()
	play := func(p *Processor, from, to int64) {
		for _, b := range batches {
			if at := b.Time[0] - start; at >= from && at < to {
				p.Consume(b, e.judge, e.take)
			}
		}
	}
	play(p, 0, 33*minute)
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	q := make1(t, small)
	if err := q.Load(&saved); err != nil {
		t.Fatal(err)
	}
	if parts := q.detector.parts(q.detector.sites[0].incident.id); len(parts) != 2 || parts[0].incident.all != parts[1].incident.all {
		t.Fatalf("read back, the incident is open at %d sites", len(parts))
	}
	play(q, 33*minute, 1<<40)
	closed := 0
	for _, event := range e.log {
		if event.Type == schemas.IncidentClosed {
			closed++
		}
	}
	if closed != 1 {
		t.Errorf("closed %d times: %v", closed, kinds(e.log))
	}
}
