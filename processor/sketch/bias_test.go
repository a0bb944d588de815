package sketch

import (
	"cmp"
	"math"
	"os"
	"slices"
	"testing"
)

// TestDistinctHasNoBias: at every size, also where the list gives way to registers and
// where most registers are taken, the mean of many estimates is right and 95 % of them are
// within 2 % (the standard error of 2^14 registers is 0.81 %, so 1.6 % is expected).
func TestDistinctHasNoBias(t *testing.T) {
	trials := 60
	if os.Getenv("WEIR_LONG") != "" {
		trials = 2000
	}
	sizes := []int{1_000, 1_025, 2_000, 5_000, 10_000, 16_384, 41_000, 82_000, 160_000}
	errors := make([][]float64, len(sizes))
	state := uint64(7)
	next := func() uint64 { // SplitMix64 (Steele, Lea and Flood 2014)
		state += 0x9E3779B97F4A7C15
		z := state
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		return z ^ z>>31
	}
	var d Distinct
	for range trials {
		d.Reset()
		n := 0
		for i, size := range sizes {
			for ; n < size; n++ {
				d.Insert(next())
			}
			errors[i] = append(errors[i], d.Estimate()/float64(size)-1)
		}
	}
	for i, size := range sizes {
		mean, square := 0.0, 0.0
		for _, e := range errors[i] {
			mean += e / float64(trials)
			square += e * e / float64(trials)
		}
		slices.SortFunc(errors[i], func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
		p95, spread := math.Abs(errors[i][trials*95/100]), math.Sqrt(square)
		t.Logf("%7d keys: mean %+.3f %%, standard error %.3f %%, 95 %% within %.2f %%", size, 100*mean, 100*spread, 100*p95)
		if p95 > 0.02 {
			t.Errorf("%d keys: 95 %% of %d estimates are within %.2f %%, want 2 %%", size, trials, 100*p95)
		}
		if limit := 4 * 0.0081 / math.Sqrt(float64(trials)); math.Abs(mean) > limit {
			t.Errorf("%d keys: %d estimates are off by %.3f %% in the mean, which chance does not explain", size, trials, 100*mean)
		}
	}
}
