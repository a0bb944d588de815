package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// wrongClocks are what the clock of an edge says, by the true time in ms since noon.
var wrongClocks = map[string]struct {
	clock   func(at int64) int64
	ahead   time.Duration // at the end
	late    time.Duration // so much later than at once may others be counted, at most
	doubted bool          // its times cannot be corrected
}{
	"right":                     {func(at int64) int64 { return at }, 0, time.Second, false},
	"three hours behind":        {func(at int64) int64 { return at - 3*3600_000 }, -3 * time.Hour, 4 * time.Second, false},
	"of 1970":                   {func(at int64) int64 { return at - noon.UnixMilli() + 1000 }, -time.Duration(noon.UnixMilli()-1000) * time.Millisecond, 4 * time.Second, false},
	"of 2100":                   {func(at int64) int64 { return at + 74*365*86400_000 }, 74 * 365 * 24 * time.Hour, time.Second, false},
	"back by an hour":           {func(at int64) int64 { return at - 3600_000*(at/100_000) }, -2 * time.Hour, time.Second, false},
	"back, and right again":     {func(at int64) int64 { return at - 3600_000*(at/100_000%2) }, 0, time.Second, false},
	"drifts behind":             {func(at int64) int64 { return at - 20_000 - at/58 }, -25 * time.Second, 9 * time.Second, false},
	"drifts ahead":              {func(at int64) int64 { return at + 20_000 + at/58 }, 25 * time.Second, 9 * time.Second, false},
	"stuck in 1970":             {func(int64) int64 { return 1000 - noon.UnixMilli() }, 0, 4 * time.Second, true},
	"stuck in 2100":             {func(int64) int64 { return 74 * 365 * 86400_000 }, 0, time.Second, true},
	"stuck at noon":             {func(int64) int64 { return 0 }, 0, 9 * time.Second, true},
	"stuck a while later":       {func(at int64) int64 { return min(at, 100_000) }, 0, 9 * time.Second, true},
	"one in ten random":         {func(at int64) int64 { return at + scattered(at, 10, 30*365*86400_000) }, 0, time.Second, true},
	"one in ten within a day":   {func(at int64) int64 { return at + scattered(at, 10, 86400_000) }, 0, time.Second, true},
	"one in ten within an hour": {func(at int64) int64 { return at + scattered(at, 10, 3600_000) }, 0, time.Second, true},
	"back, again and again":     {func(at int64) int64 { return at - 3600_000*(at/7000%2) }, 0, time.Second, true},
	"back, every other time":    {func(at int64) int64 { return at - 3600_000*(at/500%2) }, 0, time.Second, true},
}

// scattered is, for one in so many times, a difference of up to far ms either way, 0 for the others.
func scattered(at, one, far int64) int64 {
	r := uint64(at+1) * 0x9e3779b97f4a7c15
	if r>>40%uint64(one) > 0 {
		return 0
	}
	return int64(r*0xbf58476d1ce4e5b9>>20)%(2*far) - far
}

// TestOrderWithWrongClocks: whatever the clock of a third edge says, which speaks first, the
// rows of the others are counted at their own times, none late and none long after it came;
// the third's count at the corrected time where there is one, and it is named.
func TestOrderWithWrongClocks(t *testing.T) {
	for name, wrong := range wrongClocks {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %t", name, restart), func(t *testing.T) {
				o := newOrder()
				watermarks, reached, last := map[string]int64{}, int64(0), int64(0)
				var rows schemas.Rows
				var r schemas.Request
				counted := 0
				for at := int64(0); at < 290_000; at += 500 {
					now := noon.Add(time.Duration(at) * time.Millisecond)
					if restart && at%70_000 == 0 {
						o = restarted(t, o, now)
					}
					for _, edge := range []string{"third", "first", "second"} {
						ms := noon.UnixMilli() + at
						if edge == "third" {
							ms = noon.UnixMilli() + wrong.clock(at)
						}
						b := schemas.NewBuilder(edge, "log")
						for i := range int64(3) {
							b.Append(&schemas.Request{Time: ms + i*100, Bytes: at + i*100, Site: []byte(edge), Client: netip.MustParseAddr("192.0.2.1")})
						}
						watermarks[edge] = max(watermarks[edge], ms+200)
						b.Batch().Watermark = watermarks[edge]
						o.add(b.Batch(), 1, now.Add(300*time.Millisecond), now.Add(300*time.Millisecond))
					}
					now = now.Add(400 * time.Millisecond)
					upTo := o.release(o.level(now), func(b *schemas.Batch) {
						for rows.Reset(b); rows.Next(&r); {
							truly := noon.UnixMilli() + r.Bytes
							if string(r.Site) == "third" {
								last = r.Time - truly
								continue
							}
							counted++
							if r.Time != truly {
								t.Fatalf("a row of %d counts at %d", truly, r.Time)
							}
							if r.Time < reached {
								t.Fatalf("a row of a right clock came when event time was %d ms further", reached-r.Time)
							}
							if waited := now.UnixMilli() - truly; waited > 1000+wrong.late.Milliseconds() {
								t.Fatalf("a row waited %d ms", waited)
							}
						}
					})
					reached = max(reached, upTo)
				}
				if counted < 3400 {
					t.Errorf("%d rows of right clocks were counted, of 3480", counted)
				}
				if !wrong.doubted && (last < -2000 || last > 2000) {
					t.Errorf("at the end a row of the third edge counts %d ms from when it was", last)
				}
				skews := o.skews()
				if wrong.ahead == 0 && !wrong.doubted {
					if len(skews) > 0 {
						t.Errorf("%+v, want none", skews)
					}
					return
				}
				if len(skews) != 1 || skews[0].Edge != "third" || (skews[0].Ahead-wrong.ahead).Abs() > 2*time.Second || skews[0].Doubted > 0 != wrong.doubted {
					t.Errorf("%+v, want that the third is ahead by %s, doubted %t", skews, wrong.ahead, wrong.doubted)
				}
			})
		}
	}
}

// restarted is an order that was saved and read again, with its waiting rows.
func restarted(t *testing.T, o *order, now time.Time) *order {
	t.Helper()
	saved, err := json.Marshal(position{Clock: &o.orderClock, Sources: o.promises()})
	if err != nil {
		t.Fatal(err)
	}
	var was position
	if err := json.Unmarshal(saved, &was); err != nil {
		t.Fatal(err)
	}
	next := newOrder()
	next.orderClock = *was.Clock
	for key, source := range was.Sources {
		next.promise(key, source)
		next.sources[key].rows = now
	}
	next.held, next.rows = o.held, o.rows // the messages are read again
	return next
}

// TestBeginning: a log of another time is read if there is no other, and does not set the
// time for others.
func TestBeginning(t *testing.T) {
	live := noon.UnixMilli()
	for _, other := range []int64{live + 365*86400_000, live - 3*3600_000, 1000} {
		alone := newOrder()
		alone.add(rangeOf("other", other, other), 1, noon, noon)
		if times, _ := released(alone, noon); len(times) > 0 {
			t.Errorf("%v was counted before another could say otherwise", times)
		}
		later := noon.Add(6 * time.Second)
		alone.settle(later)
		if times, _ := released(alone, later); len(times) != 1 || times[0] != other {
			t.Errorf("alone it is counted as %v, want its own time %d", times, other)
		}
		both := newOrder()
		both.add(rangeOf("other", other, other), 1, noon, noon)
		both.add(rangeOf("now", live, live), 2, noon, noon)
		times, reached := released(both, later)
		if len(times) != 2 || times[1] != live || times[0] != min(live, other) || reached != live {
			t.Errorf("beside another: %v up to %d, want it to set no time after %d", times, reached, live)
		}
	}
	three := newOrder() // none agrees with the stream's clock: the nearest has it
	for i, at := range []int64{live + 74*365*86400_000, 1000, live - 300_000} {
		three.add(rangeOf(string(rune('a'+i)), at, at), uint64(i+1), noon, noon)
	}
	three.settle(noon.Add(6 * time.Second))
	if three.Front != live-300_000 {
		t.Errorf("event time begins at %d, want %d", three.Front, live-300_000)
	}
}
