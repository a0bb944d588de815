package window

import (
	"encoding/json"
	"fmt"
	"regexp"
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

// TestSourcesAreBounded: machines come and go under names of their own. No more than 4,096 are
// told apart; who comes then shares a line with the others; and where some were silent for an
// hour, or a day where there is room, they make it. Those that go on are never forgotten, nor
// what is known of their clocks.
func TestSourcesAreBounded(t *testing.T) {
	var s stream
	at, wrong := t0, -3*hour
	both := func() {
		s.row("right", at, at)
		s.row("behind", at+wrong, at)
	}
	for ; at < t0+5*60_000; at += 100 {
		both()
	}
	if skews := s.line.Skews(); len(skews) != 1 || skews[0].Edge != "behind" {
		t.Fatalf("%+v: the test does not test it", skews)
	}
	behind := s.line.Line("behind", "log")
	number := 0
	pods := func(n int) (apart int) {
		for range n {
			number++
			edge := fmt.Sprintf("pod%d", number)
			both()
			s.row(edge, at, at)
			if s.line.Line(edge, "log") != &s.line.rest {
				apart++
			}
		}
		return apart
	}
	if apart := pods(5000); apart != maxLines-2 || len(s.line.lines) != maxLines {
		t.Errorf("%d of 5,000 are told apart, %d lines", apart, len(s.line.lines))
	}
	pass := func(time int64) {
		for end := at + time; at < end; at += 20_000 {
			both()
		}
	}
	pass(hour - 20_000)
	if apart := pods(1); apart != 0 {
		t.Error("sources that were silent for less than an hour made room")
	}
	pass(40_000)
	if apart := pods(100); apart != 100 || len(s.line.lines) != 102 {
		t.Errorf("%d of 100 are told apart after an hour, %d lines", apart, len(s.line.lines))
	}
	pass(day - 20_000)
	if pods(1); len(s.line.lines) != 103 {
		t.Errorf("%d lines after less than a day, though there is room", len(s.line.lines))
	}
	pass(40_000)
	if pods(1); len(s.line.lines) != 4 {
		t.Errorf("%d lines after a day", len(s.line.lines))
	}
	if s.line.Line("behind", "log") != behind || behind.Skewed() != time.Duration(wrong)*time.Millisecond {
		t.Errorf("a source that goes on was forgotten, or its clock: %v", behind.Skewed())
	}
}

// TestASavedTimelineForgetsAlike: whoever goes on from what was saved forgets the same sources;
// those of what was saved before that was noted are not forgotten at once.
func TestASavedTimelineForgetsAlike(t *testing.T) {
	var s stream
	s.row("gone", t0, t0)
	for at := t0; at < t0+day-hour; at += 20_000 {
		s.row("there", at, at)
	}
	data, err := json.Marshal(&s.line)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		saved []byte
		lines int
	}{"now": {data, 2}, "before": {regexp.MustCompile(`,"heard":[0-9]+`).ReplaceAll(data, nil), 3}} {
		again := stream{latest: s.latest}
		if err := json.Unmarshal(c.saved, &again.line); err != nil {
			t.Fatal(err)
		}
		for at := s.latest; at < t0+day+60_000; at += 20_000 {
			again.row("there", at, at)
		}
		again.row("new", again.latest, again.latest)
		if n := len(again.line.lines); n != c.lines {
			t.Errorf("saved %s: %d lines, want %d", name, n, c.lines)
		}
	}
}
