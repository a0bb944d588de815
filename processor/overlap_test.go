package processor

import (
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestOverlapDependsOnRequestsAlone: judged beside the counting, a flood gives the same events
// whatever the number of cores, the same incident and measures as one second after the
// other, and none comes later than a second after it is known.
func TestOverlapDependsOnRequestsAlone(t *testing.T) {
	const begin = 30 * minute
	traffic := newTraffic(1)
	traffic.people(0, begin+2*minute, 2)
	traffic.botnet(begin, begin+minute, 60_000, 3500)
	batches := traffic.batches(4096)
	replay := func(overlap bool) (events []schemas.Event, text string) {
		p := make1(t, small)
		if overlap {
			p.Overlap()
		}
		now := int64(0)
		emit := func(e schemas.Event) {
			if late := time.UnixMilli(now).Sub(e.Time); now > 0 && late > 1500*time.Millisecond {
				t.Errorf("%s of %s is emitted %s late", e.Type, e.Time, late)
			}
			events = append(events, e)
		}
		judge := func(_ int, r *schemas.Request) schemas.Action {
			now = r.Time
			return schemas.Allow
		}
		for _, b := range batches {
			p.Consume(b, judge, emit)
		}
		p.Finish(emit)
		bytes, err := json.Marshal(events)
		if err != nil {
			t.Fatal(err)
		}
		return events, string(bytes)
	}
	one, _ := replay(false)
	both, want := replay(true)
	for _, cores := range []int{1, 2, 7} {
		before := runtime.GOMAXPROCS(cores)
		_, got := replay(true)
		runtime.GOMAXPROCS(before)
		if got != want {
			t.Fatalf("%d cores give other events", cores)
		}
	}
	decided := func(events []schemas.Event) (n int, opened []time.Time) {
		for _, e := range events {
			switch e.Type {
			case schemas.DecisionAdded:
				n++
			case schemas.IncidentOpened:
				opened = append(opened, e.Time)
			}
		}
		return n, opened
	}
	n1, opened1 := decided(one)
	n2, opened2 := decided(both)
	if n1 == 0 || n1 != n2 || len(opened1) != 1 || len(opened2) != 1 || !opened1[0].Equal(opened2[0]) {
		t.Errorf("one after the other: %d decisions, opened at %v; beside each other: %d, %v", n1, opened1, n2, opened2)
	}
}
