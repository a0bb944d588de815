package sketch

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// value is of any size, most of them not large.
func value(t *rapid.T) uint64 {
	return rapid.Uint64().Draw(t, "bits") >> rapid.UintRange(0, 63).Draw(t, "shift")
}

func TestQuantilesAreWithinOneInAHundredAndTwentyEight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Quantiles
		all := make([]uint64, rapid.IntRange(1, 300).Draw(t, "n"))
		for i := range all {
			all[i] = value(t)
			q.Insert(all[i])
		}
		slices.Sort(all)
		p := []float64{0, 0.01, 0.5, 0.95, 0.99, 1}
		got := make([]float64, len(p))
		q.Read(got, p)
		for i := range p {
			want := float64(min(all[max(1, int(math.Ceil(p[i]*float64(len(all)))))-1], maxQuantity))
			if off := math.Abs(got[i] - want); off > want/128 {
				t.Fatalf("quantile %v is %v, want %v", p[i], got[i], want)
			}
		}
		if q.Total() != uint64(len(all)) {
			t.Fatalf("%d values, want %d", q.Total(), len(all))
		}
	})
}

func TestQuantilesOfNothing(t *testing.T) {
	var q Quantiles
	got := []float64{0}
	if q.Read(got, []float64{0.5}); !math.IsNaN(got[0]) {
		t.Errorf("the median of nothing is %v", got[0])
	}
}

// TestQuantilesLaws: merging is inserting, to the byte, in any order.
func TestQuantilesLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all Quantiles
		parts := make([]Quantiles, 3)
		for range rapid.IntRange(0, 300).Draw(t, "n") {
			v := value(t)
			all.Insert(v)
			parts[rapid.IntRange(0, 2).Draw(t, "part")].Insert(v)
		}
		want := form(t, &all)
		for _, order := range [][3]int{{0, 1, 2}, {2, 0, 1}, {1, 2, 0}} {
			var merged, read Quantiles
			for _, i := range order {
				merged.Merge(&parts[i])
				if err := read.MergeBinary(form(t, &parts[i])); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(form(t, &merged), want) || !bytes.Equal(form(t, &read), want) {
				t.Fatalf("merging in the order %v differs from inserting everything", order)
			}
		}
	})
}

func TestQuantilesRefuseMalformedBytes(t *testing.T) {
	q := new(Quantiles)
	for i := range uint64(3000) {
		q.Insert(i * i)
	}
	refuses(t, form(t, q), q)
	few := new(Quantiles)
	few.Insert(5)
	refuses(t, form(t, few), few)
}

func FuzzQuantiles(f *testing.F) {
	for _, n := range []uint64{0, 3, 5000} {
		q := new(Quantiles)
		for i := range n {
			q.Insert(i * i)
		}
		f.Add(form(f, q))
	}
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip(t, data, new(Quantiles), new(Quantiles)) })
}
