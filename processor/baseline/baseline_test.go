package baseline

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/state"
)

var scales = []Scale{{Max: 16, Daily: true}, {Max: 1.6}, {Max: 1.6, Novel: true}}

func learned(n int, level func(i int) float64) *Site {
	s, r := New(scales), rand.New(rand.NewPCG(1, 2))
	for i := range n {
		v := level(i) + 0.3*r.NormFloat64()
		s.Learn(i/360%24, []float64{max(v, 0), 0.2, 0.1})
	}
	return s
}

func TestNormalFindsLevelAndSpread(t *testing.T) {
	s := learned(2000, func(int) float64 { return 4 })
	level, spread := s.Normal(0, 3)
	if math.Abs(level-4) > 0.1 || spread < 0.25 || spread > 0.5 {
		t.Errorf("level %.2f, spread %.2f, want about 4 and 0.3", level, spread)
	}
}

func TestOutliersDoNotMoveTheLevel(t *testing.T) {
	s := learned(2000, func(i int) float64 {
		if i%30 == 0 {
			return 12
		}
		return 4
	})
	if level, _ := s.Normal(0, 3); math.Abs(level-4) > 0.15 {
		t.Errorf("level %.2f with one window in thirty far out, want about 4", level)
	}
}

func TestHoursOfTheDay(t *testing.T) {
	s := learned(24*360*3, func(i int) float64 {
		if i/360%24 < 12 {
			return 3
		}
		return 6
	})
	for hour, want := range map[int]float64{2: 3, 20: 6} {
		s.recent[0] = 0
		s.cached = nil
		if level, _ := s.Normal(0, hour); math.Abs(level-want) > 0.8 {
			t.Errorf("hour %d: level %.2f, want about %.0f", hour, level, want)
		}
	}
}

// learnedDays learns whole days of windows, from a Sunday on.
func learnedDays(days int, level func(day, hour int) float64) *Site {
	s, r := New(scales), rand.New(rand.NewPCG(3, 4))
	for i := range days * 24 * 360 {
		hour := i / 360 % 168
		s.Learn(hour, []float64{level(hour/24, hour%24) + 0.2*r.NormFloat64(), 0.2, 0.1})
	}
	s.recent[0], s.cached = 0, nil
	return s
}

// TestHoursOfTheWeek: nights of the weekend are not those of a working day.
func TestHoursOfTheWeek(t *testing.T) {
	s := learnedDays(35, func(day, hour int) float64 {
		if day == 0 && hour < 12 {
			return 5
		}
		return 4
	})
	for hour, want := range map[int]float64{3: 5, 27: 4, 15: 4} {
		if level, _ := s.Normal(0, hour); math.Abs(level-want) > 0.35 {
			t.Errorf("hour %d of the week: level %.2f, want about %.0f", hour, level, want)
		}
	}
}

// TestSpreadIsThatOfTheHour: that nights are quiet does not make a day's burst normal.
func TestSpreadIsThatOfTheHour(t *testing.T) {
	s := learnedDays(3, func(_, hour int) float64 {
		if hour < 8 {
			return 2
		}
		return 4
	})
	if _, spread := s.Normal(0, 24+12); spread > 0.4 {
		t.Errorf("spread %.2f, want about 0.2: it is that of the whole day", spread)
	}
}

func TestHourOf(t *testing.T) {
	for at, want := range map[time.Time]int{
		time.Date(2026, 11, 29, 0, 30, 0, 0, time.UTC):                  0, // a Sunday
		time.Date(2026, 11, 28, 23, 0, 0, 0, time.UTC):                  167,
		time.Date(2026, 11, 30, 1, 0, 0, 0, time.FixedZone("", 2*3600)): 23,
	} {
		if got := HourOf(at); got != want {
			t.Errorf("%s: hour %d, want %d", at, got, want)
		}
	}
}

func TestDriftIsBounded(t *testing.T) {
	s := learned(24*360, func(int) float64 { return 3 })
	for range 200 { // half an hour far above
		s.Learn(0, []float64{9, 0.2, 0.1})
	}
	s.cached = nil
	if level, _ := s.Normal(0, 0); level > 3.2+maxDrift {
		t.Errorf("level %.2f, want at most twice (%.2f) what was normal", level, 3+maxDrift)
	}
}

func TestRoundTripAndRefusal(t *testing.T) {
	s := learned(1000, func(i int) float64 { return float64(i % 5) })
	w := &state.Writer{}
	s.Write(w)
	back := New(scales)
	r := state.NewReader(w.Bytes)
	back.Read(r)
	r.End()
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	for hour := range 24 {
		for i := range scales {
			l1, s1 := s.compute(i, hour)
			l2, s2 := back.compute(i, hour)
			if l1 != l2 || s1 != s2 {
				t.Fatalf("signal %d, hour %d: %v %v after, %v %v before", i, hour, l2, s2, l1, s1)
			}
		}
	}
	for n := range len(w.Bytes) {
		r := state.NewReader(w.Bytes[:n])
		New(scales).Read(r)
		if r.Err() == nil {
			r.End()
			t.Fatalf("%d of %d bytes were taken", n, len(w.Bytes))
		}
		if !errors.Is(r.Err(), state.ErrMalformed) {
			t.Fatal(r.Err())
		}
	}
}

func FuzzRead(f *testing.F) {
	w := &state.Writer{}
	learned(50, func(int) float64 { return 2 }).Write(w)
	f.Add(w.Bytes)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New(scales)
		r := state.NewReader(slices.Clone(data))
		s.Read(r)
		if r.Err() != nil {
			return
		}
		for i := range scales {
			if level, spread := s.Normal(i, 5); math.IsNaN(level) || math.IsNaN(spread) {
				t.Fatalf("level %v, spread %v", level, spread)
			}
		}
	})
}

func BenchmarkNormal(b *testing.B) {
	s := learned(5000, func(int) float64 { return 4 })
	b.ReportAllocs()
	for i := range b.N {
		s.Normal(i%3, 5)
	}
}
