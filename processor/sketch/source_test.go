package sketch

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"
)

// TestSourceBits: of what a few hundred requests say of the source that they come from, the
// estimate of Chao and Shen is nearer than plain counting and than the correction of Miller
// and Madow (1955), over sources of all kinds. Run with -v for the table.
func TestSourceBits(t *testing.T) {
	sources := []struct {
		name string
		s    float64 // keys in proportion to 1/rank^s
		n    int
	}{{"uniform over 300", 0, 300}, {"uniform over 5000", 0, 5000}, {"zipf 0.8 over 3000", 0.8, 3000}, {"zipf 1.1 over 3000", 1.1, 3000}, {"zipf 1.5 over 300", 1.5, 300}}
	var plain, miller, chao float64
	for _, source := range sources {
		sums, bits, sum := make([]float64, source.n), 0.0, 0.0
		for i := range sums {
			sum += math.Pow(float64(i+1), -source.s)
			sums[i] = sum
		}
		for i := range sums {
			p := math.Pow(float64(i+1), -source.s) / sum
			bits -= p * math.Log2(p)
		}
		for _, requests := range []int{100, 500, 2500} {
			var off [3]float64
			const trials = 40
			for trial := range trials {
				r := rand.New(rand.NewPCG(uint64(trial), uint64(requests)))
				var tally Tally
				for range requests {
					tally.Insert(mix(uint64(sort.SearchFloat64s(sums, r.Float64()*sum))+1), 1, nil)
				}
				keys, _ := tally.Len()
				h := tally.Bits()
				off[0] += math.Pow(h-bits, 2) / trials
				off[1] += math.Pow(h+float64(keys-1)/(2*float64(requests)*math.Ln2)-bits, 2) / trials
				off[2] += math.Pow(tally.SourceBits()-bits, 2) / trials
			}
			t.Logf("%-18s %5.2f bit, %4d requests: off by %.2f plain, %.2f Miller-Madow, %.2f Chao-Shen",
				source.name, bits, requests, math.Sqrt(off[0]), math.Sqrt(off[1]), math.Sqrt(off[2]))
			plain, miller, chao = plain+off[0], miller+off[1], chao+off[2]
		}
	}
	if chao > miller || chao > plain {
		t.Errorf("off by (sum of squares) %.2f plain, %.2f Miller-Madow, %.2f Chao-Shen", plain, miller, chao)
	}
}

// TestSourceBitsOfManyKeys: beyond what a tally holds, and where everything is known.
func TestSourceBitsOfManyKeys(t *testing.T) {
	var tally Tally
	r := rand.New(rand.NewPCG(1, 1))
	for range 2_000_000 {
		tally.Insert(mix(r.Uint64N(20_000)), 1, nil)
	}
	if got, want := tally.SourceBits(), math.Log2(20_000); math.Abs(got-want) > 0.02*want {
		t.Errorf("%v bits, want %v", got, want)
	}
	tally.Reset()
	if got := tally.SourceBits(); got != 0 {
		t.Errorf("nothing has %v bits", got)
	}
	tally.Insert(1, 1, nil)
	if got := tally.SourceBits(); math.IsNaN(got) || math.IsInf(got, 0) {
		t.Errorf("one request has %v bits", got)
	}
}
