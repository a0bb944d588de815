package main

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// rangeOf makes a batch of a source with rows at these times.
func rangeOf(source string, watermark int64, times ...int64) *schemas.Batch {
	b := schemas.NewBuilder("edge", source)
	for _, ms := range times {
		b.Append(&schemas.Request{Time: ms, Site: []byte("a.example"), Client: netip.MustParseAddr("192.0.2.1")})
	}
	b.Batch().Watermark = watermark
	return b.Batch()
}

// released are the times that an order lets go, in its order.
func released(o *order, now time.Time) (times []int64, reached int64) {
	var rows schemas.Rows
	var r schemas.Request
	reached = o.release(o.level(now), func(b *schemas.Batch) {
		for rows.Reset(b); rows.Next(&r); {
			times = append(times, r.Time)
		}
	})
	return times, reached
}

// begunOrder is one whose event time has begun long before noon.
func begunOrder() *order {
	o := newOrder()
	o.Front = 1
	return o
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestOrderOfSeveralSources(t *testing.T) {
	o := begunOrder()
	o.add(rangeOf("a", 9000, 1000, 4000, 9000), 1, noon, noon)
	o.add(rangeOf("b", 3000, 2000, 3000), 2, noon, noon)
	times, reached := released(o, noon)
	if want := []int64{1000, 2000, 3000}; !slices.Equal(times, want) || reached != 3000 {
		t.Errorf("released %v up to %d, want %v up to 3000", times, reached, want)
	}
	if o.oldest(2) != 0 || o.waiting()[1].Released != 1 || len(o.waiting()) != 1 {
		t.Errorf("a restart would begin after %d and know of %v, want 0 and one row of message 1", o.oldest(2), o.waiting())
	}
	waiting := o.waiting()[1]
	o.add(rangeOf("b", 12000), 3, noon, noon)
	times, reached = released(o, noon)
	if want := []int64{4000, 9000}; !slices.Equal(times, want) || reached != 9000 || o.oldest(3) != 3 {
		t.Errorf("released %v up to %d, want %v up to 9000", times, reached, want)
	}
	again := begunOrder()
	again.promise("edge a", o.promises()["edge a"])
	again.again(rangeOf("a", 9000, 1000, 4000, 9000), 1, waiting, noon)
	if times, _ := released(again, noon); !slices.Equal(times, []int64{4000, 9000}) {
		t.Errorf("after a restart released %v, want what was not released before", times)
	}
}

// TestOrderWaitsForASourceThatCatchesUp as long as it does, and not for one that does not.
func TestOrderWaitsForASourceThatCatchesUp(t *testing.T) {
	const behind = 3 * 3600_000
	for _, pace := range []int64{20, 1} { // times that of the clock
		o := begunOrder()
		from, now := noon.UnixMilli(), noon
		o.Front = from
		early := 0
		for step := range int64(40) { // twenty seconds
			live, late := from+500*step, from-behind+500*step*pace
			o.add(rangeOf("now", live, live), 1, now, now)
			o.add(rangeOf("behind", late, late), 2, now, now)
			times, _ := released(o, now)
			for _, at := range times {
				if at > late {
					early++
				}
			}
			now = now.Add(500 * time.Millisecond)
		}
		if want := map[int64]int{20: 0, 1: 40}[pace]; early != want {
			t.Errorf("a source that is behind at %d times the pace: of 40 rows of another that is not, %d were released, want %d", pace, early, want)
		}
	}
}

func TestOrderDoesNotWaitForAWrongRow(t *testing.T) {
	o := begunOrder()
	o.add(rangeOf("log", 3000, 1000, 4102444800000, 3000), 1, noon, noon)
	o.add(rangeOf("log", 5000, 5000), 2, noon, noon)
	if times, _ := released(o, noon); !slices.Equal(times, []int64{1000, 3000, 3000, 5000}) {
		t.Errorf("released %v", times)
	}
}

// TestOrderLosesNothing releases every row once, whatever the order of arrival.
func TestOrderLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, now, added := begunOrder(), noon, 0
		var got []int64
		watermark := map[string]int64{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			source := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "source")
			times := rapid.SliceOfN(rapid.Int64Range(1, 1_000_000), 0, 5).Draw(t, "times")
			watermark[source] += rapid.Int64Range(0, 50_000).Draw(t, "promise")
			o.add(rangeOf(source, watermark[source], times...), 1, now, now)
			added += len(times)
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * time.Millisecond)
			times, _ = released(o, now)
			got = append(got, times...)
		}
		times, _ := released(o, now.Add(time.Minute))
		if got = append(got, times...); len(got) != added || o.rows != 0 || len(o.held) != 0 {
			t.Errorf("released %d of %d rows, %d and %d batches wait", len(got), added, o.rows, len(o.held))
		}
	})
}

// Rows keep their weights, whatever others they are put between.
func TestOrderKeepsWeights(t *testing.T) {
	weighted := func(source string, weight uint32, times ...int64) *schemas.Batch {
		b := schemas.NewBuilder("edge", source)
		for _, ms := range times {
			b.Append(&schemas.Request{Time: ms, Client: netip.MustParseAddr("192.0.2.1"), Weight: weight})
		}
		b.Batch().Watermark = 9000
		return b.Batch()
	}
	o := begunOrder()
	o.add(weighted("a", 0, 1000, 3000, 3500), 1, noon, noon)
	o.add(weighted("b", 8, 2000, 4000), 2, noon, noon)
	got := map[int64]uint32{}
	o.release(o.level(noon), func(b *schemas.Batch) {
		var rows schemas.Rows
		var r schemas.Request
		for rows.Reset(b); rows.Next(&r); {
			got[r.Time] = r.Stands()
		}
	})
	if want := map[int64]uint32{1000: 1, 2000: 8, 3000: 1, 3500: 1, 4000: 8}; !maps.Equal(got, want) {
		t.Errorf("weights by time %v, want %v", got, want)
	}
}
