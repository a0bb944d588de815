package window

import (
	"testing"

	"pgregory.net/rapid"
)

// TestShortWindowIsTheSumOfItsSeconds compares with keeping every request.
func TestShortWindowIsTheSumOfItsSeconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Site
		const base = 1_795_000_000
		counted := make(map[int64]uint64) // by the second in which it was counted
		clients := make(map[int64]map[uint64]bool)
		closed := int64(base)
		s.Close(closed)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			for range rapid.IntRange(0, 5).Draw(t, "requests") {
				second := closed + rapid.Int64Range(-3, 5).Draw(t, "second")
				client := rapid.Uint64Range(1, 9).Draw(t, "client")
				p, late := s.Pane(second)
				if late != (second <= closed) {
					t.Fatalf("second %d after %d closed: late is %v", second, closed, late)
				}
				p.Counts[Requests]++
				p.Clients.Insert(client * 0x9E3779B97F4A7C15)
				second = max(second, closed+1)
				counted[second]++
				if clients[second] == nil {
					clients[second] = make(map[uint64]bool)
				}
				clients[second][client] = true
			}
			closed += rapid.Int64Range(1, 3).Draw(t, "seconds")
			s.Close(closed)
			var want uint64
			distinct := make(map[uint64]bool)
			for second := closed - Short + 1; second <= closed; second++ {
				want += counted[second]
				for c := range clients[second] {
					distinct[c] = true
				}
			}
			if got := s.Short()[Requests]; got != want {
				t.Fatalf("%d requests in the window, want %d", got, want)
			}
			r, err := s.Read()
			if err != nil || r.Clients != float64(len(distinct)) {
				t.Fatalf("%v clients (%v), want %d", r.Clients, err, len(distinct))
			}
		}
	})
}

func TestMinuteAndTenMinutesAreSumsOfSteps(t *testing.T) {
	var s Site
	s.Close(1_000_000)
	for step := range 200 {
		p, _ := s.Pane(int64(1_000_001 + step*Short))
		p.Counts[Requests] += uint64(step)
		s.Close(int64(1_000_000 + (step+1)*Short))
		s.Step()
		var minute, long uint64
		for back := range 60 {
			if step >= back {
				long += uint64(step - back)
				if back < 6 {
					minute += uint64(step - back)
				}
			}
		}
		if s.Minute()[Requests] != minute || s.Long()[Requests] != long {
			t.Fatalf("step %d: %d and %d, want %d and %d", step, s.Minute()[Requests], s.Long()[Requests], minute, long)
		}
	}
}

func TestALongGapForgets(t *testing.T) {
	var s Site
	p, _ := s.Pane(5_000)
	p.Counts[Requests] = 9
	s.Close(5_000)
	s.Close(9_000)
	if got := s.Short()[Requests]; got != 0 {
		t.Errorf("%d requests after an hour of nothing", got)
	}
	p, late := s.Pane(9_001)
	if late || p.Counts[Requests] != 0 {
		t.Errorf("the next second is late (%v) or used (%d)", late, p.Counts[Requests])
	}
}
