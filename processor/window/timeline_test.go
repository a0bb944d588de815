package window

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	t0   = int64(1_795_000_000_000)
	hour = int64(3_600_000)
	y70  = int64(1000)
	y100 = int64(4_102_444_800_000) // 2100-01-01
)

// stream plays rows of sources against a timeline as a counter does, and remembers when
// each counted.
type stream struct {
	line   Timeline
	latest int64
	late   map[string]int
	wild   map[string]int // not believed
	worst  map[string]int64
}

func (s *stream) row(edge string, at, true int64) {
	moment, believed := s.line.Moment(s.line.Line(edge, "log"), at, s.latest, 0)
	if s.late == nil {
		s.late, s.wild, s.worst = map[string]int{}, map[string]int{}, map[string]int64{}
	}
	if believed {
		s.latest = max(s.latest, moment)
	} else {
		s.wild[edge]++
	}
	if moment < s.latest-2000 {
		s.late[edge]++
	}
	s.worst[edge] = max(s.worst[edge], moment-true, true-moment)
}

// TestAWrongClockHurtsNobodyElse: two edges are right, the third is wrong in every way;
// the others count when they happened, and the third is named and corrected.
func TestAWrongClockHurtsNobodyElse(t *testing.T) {
	for name, clock := range map[string]func(at int64) int64{
		"three hours behind":  func(at int64) int64 { return at - 3*hour },
		"an hour ahead":       func(at int64) int64 { return at + hour },
		"of 1970":             func(at int64) int64 { return at - t0 + y70 },
		"of 2100":             func(at int64) int64 { return at - t0 + y100 },
		"a day and a bit off": func(at int64) int64 { return at - 27*hour },
	} {
		t.Run(name, func(t *testing.T) {
			var s stream
			for i := range int64(6000) { // ten minutes, ten rows a second
				at := t0 + 100*i
				s.row("right", at, at)
				if i%3 == 0 {
					s.row("also right", at, at)
				}
				for range 2 { // it is the busiest
					s.row("wrong", clock(at), at)
				}
			}
			for _, edge := range []string{"right", "also right"} {
				if s.late[edge]+s.wild[edge] > 0 || s.worst[edge] > 0 {
					t.Errorf("edge %q: %d late, %d not believed, off by up to %d ms", edge, s.late[edge], s.wild[edge], s.worst[edge])
				}
			}
			skews := s.line.Skews()
			if len(skews) != 1 || skews[0].Edge != "wrong" {
				t.Fatalf("skews %+v", skews)
			}
			want := time.Duration(clock(t0)-t0) * time.Millisecond
			if off := (skews[0].Ahead - want).Abs(); off > time.Second {
				t.Errorf("it is said to be %s ahead, is %s", skews[0].Ahead, want)
			}
			if s.wild["wrong"] > 500 {
				t.Errorf("%d of its 12000 rows counted before it was corrected", s.wild["wrong"])
			}
		})
	}
}

// TestTheMajorityIsRight: the edge with the wrong clock is the first that comes.
func TestTheMajorityIsRight(t *testing.T) {
	for name, off := range map[string]int64{"behind": -3 * hour, "ahead": 3 * hour} {
		var s stream
		for i := range int64(3000) {
			at := t0 + 100*i
			s.row("wrong", at+off, at)
			s.row("right", at, at)
			s.row("also right", at, at)
		}
		skews := s.line.Skews()
		if len(skews) != 1 || skews[0].Edge != "wrong" {
			t.Fatalf("%s: skews %+v", name, skews)
		}
		if d := skews[0].Ahead - time.Duration(off)*time.Millisecond; d.Abs() > time.Second {
			t.Errorf("%s: it is said to be %s ahead", name, skews[0].Ahead)
		}
	}
}

// TestTheOnlyClockJumps: back by an hour, and later forth again, as summer time does in a
// log of local times. Time goes on.
func TestTheOnlyClockJumps(t *testing.T) {
	var s stream
	for i := range int64(12000) {
		at := t0 + 100*i
		logged := at
		if i >= 4000 && i < 8000 {
			logged -= hour
		}
		s.row("edge", logged, at)
	}
	// While it is not yet believed, rows are late; afterwards nothing is off by more than
	// the time that took.
	if s.wild["edge"] > 500 {
		t.Errorf("%d rows were not believed", s.wild["edge"])
	}
	if off := t0 + 1_200_000 - s.latest; off < -hour || off > 120_000 {
		t.Errorf("after 20 minutes the time is off by %d ms", off)
	}
}

// TestABacklogIsLateAndNotCorrected: an edge that was cut off for three hours sends what it
// had kept, thirty times faster than time goes.
func TestABacklogIsLateAndNotCorrected(t *testing.T) {
	var s stream
	old := t0 - 3*hour
	for i := range int64(3600) { // six minutes
		at := t0 + 100*i
		s.row("right", at, at)
		for range 30 {
			if old < at {
				s.row("cut off", old, old)
				old += 100
			}
		}
	}
	if skews := s.line.Skews(); len(skews) > 0 {
		t.Errorf("skews %+v", skews)
	}
	if s.late["right"] > 0 || s.worst["right"] > 0 || s.worst["cut off"] > 0 {
		t.Errorf("%d rows late, off by %d and %d ms", s.late["right"], s.worst["right"], s.worst["cut off"])
	}
}

// TestSilence: a log that had nothing for a night goes on with its fourth row, also where
// there are two of them.
func TestSilence(t *testing.T) {
	for _, edges := range [][]string{{"a"}, {"a", "b"}} {
		var s stream
		for i := range int64(100) {
			for _, e := range edges {
				s.row(e, t0+1000*i, 0)
			}
		}
		for i := range int64(200) {
			for _, e := range edges {
				s.row(e, t0+9*hour+1000*i, 0)
			}
		}
		if want := t0 + 9*hour + 199_000; s.latest != want {
			t.Errorf("%d edges: the time is %d ms off", len(edges), s.latest-want)
		}
		if skews := s.line.Skews(); len(skews) > 0 {
			t.Errorf("%d edges: skews %+v", len(edges), skews)
		}
	}
}

// TestFewRequests: two edges with a request in a minute and a half each. Time goes on.
func TestFewRequests(t *testing.T) {
	var s stream
	for i := range int64(40) {
		at := t0 + 45_000*i
		s.row([]string{"a", "b"}[i%2], at, at)
		if s.latest < at-400_000 { // four rows that agree
			t.Fatalf("row %d: the time is %d ms behind", i, at-s.latest)
		}
	}
	if skews := s.line.Skews(); len(skews) > 0 {
		t.Errorf("skews %+v", skews)
	}
}

func TestBegin(t *testing.T) {
	for _, c := range []struct {
		times []int64
		want  int64
	}{
		{nil, 0}, {[]int64{t0}, t0}, {[]int64{t0, t0 + 5}, t0}, {[]int64{t0 + 9, t0}, t0 + 9},
		{[]int64{y100, t0, t0 + 1, t0 + 2}, t0 + 1}, {[]int64{y70, t0, t0 + 1}, y70}, {[]int64{y100, y100, y100}, y100},
	} {
		if got := Begin(c.times); got != c.want {
			t.Errorf("%v begin at %d, want %d", c.times, got, c.want)
		}
	}
}

// TestTimelineNeverLeapsAgainstOthers: whatever rows one edge sends, an edge that sends a
// row a second is never off.
func TestTimelineNeverLeapsAgainstOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s stream
		for i := range int64(10) {
			s.row("right", t0+1000*i, t0+1000*i)
		}
		for i := int64(10); i < 90; i++ {
			for _, at := range rapid.SliceOfN(rapid.Int64Range(0, y100), 0, 8).Draw(t, "times") {
				s.row("wild", at, at)
			}
			s.row("right", t0+1000*i, t0+1000*i)
		}
		if s.worst["right"] > 0 || s.late["right"] > 0 || s.latest > t0+90_000+far {
			t.Fatalf("off by %d ms, %d late, the time is %d ms ahead", s.worst["right"], s.late["right"], s.latest-t0-89_000)
		}
	})
}
