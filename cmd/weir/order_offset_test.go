package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// offEdge is an edge whose clock or shipper is off: what its clock says at a true time, and how
// much later its rows are in the stream than those of the others, all in ms since noon.
type offEdge struct {
	clock func(at int64) int64
	late  func(at int64) int64
}

// offFleet is a right edge, or two, and one that is off, each with a batch in half a second.
type offFleet struct {
	right    []string
	off      offEdge
	restarts int64        // ms from one restart to the next, 0: none
	also     int64        // by how much the edge of that name is off, too
	jitter   func() int64 // how late a batch of a right edge is
}

// offRun is what came of it.
type offRun struct {
	worst  int64            // how long a row of the right edges waited, ms
	later  int64            // likewise, from the 40th second after the last change on
	wrong  int64            // rows of the right edges that count at another time, or late
	last   int64            // from when a row of the edge that is off was, to when it counts, the last one
	named  map[int64]string // who is said to be off, by how many seconds, whenever that changed
	skewed time.Duration    // of the one that is off, at the end
	also   time.Duration    // of the other
}

// play runs a fleet for so many ms; changed is when the edge that is off was set the last time.
func (f *offFleet) play(t interface {
	Helper()
	Fatal(...any)
}, end, changed int64) offRun {
	t.Helper()
	o, run, reached := newOrder(), offRun{named: make(map[int64]string)}, int64(0)
	marks, said := map[string]int64{}, ""
	var rows schemas.Rows
	var r schemas.Request
	for at := int64(0); at < end; at += 500 {
		now := noon.Add(time.Duration(at) * time.Millisecond)
		if f.restarts > 0 && at%f.restarts == 0 {
			if tt, ok := t.(*testing.T); ok {
				o = restarted(tt, o, now)
			}
		}
		came := now.Add(300 * time.Millisecond)
		for _, edge := range append([]string{"off"}, f.right...) {
			truly := at - f.jitter()
			ms := truly
			if edge == "off" {
				truly = at - f.off.late(at)
				ms = f.off.clock(truly)
			}
			if edge == "also" {
				ms += f.also
			}
			b := schemas.NewBuilder(edge, "log")
			for i := range int64(3) {
				b.Append(&schemas.Request{Time: noon.UnixMilli() + ms + i*100, Bytes: truly + i*100 + 100_000, Site: []byte(edge), Client: netip.MustParseAddr("192.0.2.1")})
			}
			marks[edge] = max(marks[edge], noon.UnixMilli()+ms+200)
			b.Batch().Watermark = marks[edge]
			o.add(b.Batch(), 1, came, came)
		}
		now = came.Add(100 * time.Millisecond)
		upTo := o.release(o.level(now), func(b *schemas.Batch) {
			for rows.Reset(b); rows.Next(&r); {
				was := noon.UnixMilli() + r.Bytes - 100_000
				if string(r.Site) == "off" {
					run.last = r.Time - was
					continue
				}
				if string(r.Site) == "also" {
					continue
				}
				if r.Time != was || r.Time < reached-5000 {
					run.wrong++
				}
				waited := now.UnixMilli() - was
				if run.worst = max(run.worst, waited); at > changed+40_000 {
					run.later = max(run.later, waited)
				}
			}
		})
		reached = max(reached, upTo)
		names := ""
		for _, s := range o.skews() {
			names += fmt.Sprintf("%s %d ", s.Edge, int64(s.Ahead.Round(time.Second).Seconds()))
			if s.Edge == "off" {
				run.skewed = s.Ahead
			}
			if s.Edge == "also" {
				run.also = s.Ahead
			}
		}
		if len(o.skews()) == 0 {
			run.skewed = 0
		}
		if names != said {
			run.named[at], said = names, names
		}
	}
	return run
}

func never(int64) int64 { return 0 }
func none() int64       { return 0 }

// TestOffsets: whatever a clock is off by, the rows of the others count when they were and wait
// for it no longer than a few seconds; from five seconds on it is named, and corrected.
func TestOffsets(t *testing.T) {
	for _, right := range [][]string{{"first", "second"}, {"first"}} {
		for _, restarts := range []int64{0, 17_000} {
			for _, by := range []int64{-3600, -61, -35, -31, -30, -29, -25, -15, -8, -5, -1, 0, 1, 5, 8, 15, 25, 29, 30, 31, 35, 61, 3600} {
				t.Run(fmt.Sprintf("%d right, off by %d s, restarts %d", len(right), by, restarts), func(t *testing.T) {
					f := offFleet{right: right, off: offEdge{func(at int64) int64 { return at + by*1000 }, never}, restarts: restarts, jitter: none}
					run := f.play(t, 150_000, 0)
					t.Logf("%+v", run)
					want := time.Duration(by) * time.Second
					if by >= -1 && by <= 1 {
						want = 0
					}
					if (run.skewed - want).Abs() > 2*time.Second {
						t.Errorf("said to be ahead by %s, want %s", run.skewed, want)
					}
					if len(run.named) > 1 {
						t.Errorf("it flaps: %v", run.named)
					}
					if run.wrong > 0 {
						t.Errorf("%d rows of the right edges are late or count at another time", run.wrong)
					}
					if run.worst > 7000 || run.later > 2500 {
						t.Errorf("rows of the right edges waited %d ms, later %d", run.worst, run.later)
					}
					if max(run.last, -run.last) > 2000 {
						t.Errorf("its last row counts %d ms from when it was", run.last)
					}
				})
			}
		}
	}
}

// TestTwoOff: one edge is ahead and one behind, so that they are further apart than a
// Timeline believes, whoever speaks first.
func TestTwoOff(t *testing.T) {
	for _, first := range []string{"off", "right"} {
		for _, by := range [][2]int64{{-25_000, 15_000}, {15_000, -25_000}, {-29_000, 29_000}, {-10_000, 29_000}, {29_000, -29_000}} {
			f := offFleet{right: []string{"also", "right"}, off: offEdge{func(at int64) int64 { return at + by[0] }, never}, jitter: none, also: by[1]}
			if first == "right" {
				f.right = []string{"right", "also"}
			}
			run := f.play(t, 120_000, 0)
			t.Logf("%v %s: %+v", by, first, run)
			if run.wrong > 0 || run.worst > 10_000 || run.later > 2500 {
				t.Errorf("%v: of the right edge %d rows were late, and they waited up to %d ms, later %d", by, run.wrong, run.worst, run.later)
			}
			if (run.skewed-time.Duration(by[0])*time.Millisecond).Abs() > 2*time.Second || (run.also-time.Duration(by[1])*time.Millisecond).Abs() > 2*time.Second {
				t.Errorf("%v: said to be ahead by %s and %s", by, run.skewed, run.also)
			}
			if len(run.named) > 2 {
				t.Errorf("%v: it flaps: %v", by, run.named)
			}
		}
	}
}

// TestOffsetsThatChange: a shipper that is late is not waited for either, whether always by as
// much or not, and named only in the first case; a clock that is set right is right again.
func TestOffsetsThatChange(t *testing.T) {
	right := func(at int64) int64 { return at }
	until := func(end, by int64) func(int64) int64 {
		return func(at int64) int64 {
			if at < end {
				return at + by
			}
			return at
		}
	}
	wave := func(period, from, by int64) func(int64) int64 { // up and down
		return func(at int64) int64 { return from + by*min(at%period, period-at%period)*2/period }
	}
	for name, c := range map[string]struct {
		off     offEdge
		changed int64
		names   int   // how often at most what is said of it changes
		ahead   int64 // s, at the end
		worst   int64 // ms that rows of right edges wait, at most
	}{
		"a slow shipper":                    {offEdge{right, func(int64) int64 { return 20_000 }}, 0, 1, -20, 7000},
		"a slow shipper that is mended":     {offEdge{right, func(at int64) int64 { return 20_000 - 20_000*min(at/100_000, 1) }}, 100_000, 2, 0, 7000},
		"a shipper that is late now and so": {offEdge{right, wave(60_000, 0, 20_000)}, 300_000, 0, 0, 10_000},
		"one that is so, and always late":   {offEdge{right, wave(40_000, 8000, 15_000)}, 300_000, 0, 0, 10_000},
		"behind, and set right":             {offEdge{until(100_000, -25_000), never}, 100_000, 2, 0, 10_000},
		"ahead, and set right":              {offEdge{until(100_000, 25_000), never}, 100_000, 2, 0, 10_000},
		"right, and set wrong":              {offEdge{func(at int64) int64 { return until(100_000, 15_000)(at) - 15_000 }, never}, 100_000, 1, -15, 10_000},
		"right, and set ahead":              {offEdge{func(at int64) int64 { return until(100_000, -15_000)(at) + 15_000 }, never}, 100_000, 1, 15, 7000},
		"slewed by half a percent":          {offEdge{func(at int64) int64 { return at - max(0, 20_000-at/12) }, never}, 240_000, 20, 0, 7000},
	} {
		t.Run(name, func(t *testing.T) {
			f := offFleet{right: []string{"first", "second"}, off: c.off, jitter: none}
			run := f.play(t, 300_000, c.changed)
			t.Logf("%+v", run)
			if (run.skewed-time.Duration(c.ahead)*time.Second).Abs() > 2*time.Second || len(run.named) > c.names {
				t.Errorf("said to be ahead by %s at the end, want %d s; in all: %v", run.skewed, c.ahead, run.named)
			}
			if run.wrong > 0 || run.worst > c.worst || run.later > 2500 {
				t.Errorf("of right edges %d rows were late, and they waited up to %d ms, later %d", run.wrong, run.worst, run.later)
			}
		})
	}
}

// TestOffsetsHoldNobodyUp: whatever a source is off by, however late its batches are and those
// of the others, no row of these waits longer than ten seconds, and each counts when it was.
func TestOffsetsHoldNobodyUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		by := rapid.Int64Range(-70_000, 70_000).Draw(t, "by")
		late := rapid.SliceOfN(rapid.Int64Range(0, 4000), 1, 20).Draw(t, "late")
		jitter := rapid.SliceOfN(rapid.Int64Range(0, 1000), 1, 20).Draw(t, "jitter")
		n := 0
		f := offFleet{
			right: []string{"first", "second"}[:rapid.IntRange(1, 2).Draw(t, "right")],
			off:   offEdge{func(at int64) int64 { return at + by }, func(at int64) int64 { return late[at/500%int64(len(late))] }},
			jitter: func() int64 {
				n++
				return jitter[n%len(jitter)]
			},
		}
		run := f.play(t, 90_000, 0)
		if run.wrong > 0 || run.worst > 10_000 {
			t.Fatalf("of right edges %d rows were late, and they waited up to %d ms", run.wrong, run.worst)
		}
		for at, names := range run.named {
			for _, right := range f.right {
				if strings.Contains(names, right) {
					t.Fatalf("at %d ms a right edge is said to be off: %s", at, names)
				}
			}
		}
	})
}
