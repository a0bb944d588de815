package onset

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// noisy draws n bins of overdispersed counts around a level.
func noisy(r *rand.Rand, n int, level float64) []float64 {
	counts := make([]float64, n)
	for i := range counts {
		counts[i] = math.Round(level * math.Exp(0.3*r.NormFloat64()))
	}
	return counts
}

func TestScanFindsTheAttack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		n := rapid.IntRange(200, 800).Draw(t, "bins")
		length := rapid.IntRange(12, 60).Draw(t, "length")
		from := rapid.IntRange(30, n-length).Draw(t, "from")
		counts := noisy(r, n, 40)
		for i := from; i < from+length; i++ {
			counts[i] += 80
		}
		span, ok := Scan(counts)
		if !ok {
			t.Fatal("nothing found")
		}
		if abs(span.From-from) > 4 || abs(span.To-from-length) > 4 { // a few noisy bins at the edges cannot be told
			t.Errorf("found [%d,%d), the attack is [%d,%d)", span.From, span.To, from, from+length)
		}
	})
}

func TestScanFindsNothingInOrdinaryTraffic(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		counts := noisy(r, 1000, 40)
		for i := range counts { // a day's curve
			counts[i] = math.Round(counts[i] * (1 + 0.3*math.Sin(float64(i)/160)))
		}
		if span, ok := Scan(counts); ok {
			t.Errorf("seed %d: found %+v", seed, span)
		}
	}
}

func TestScanOfLittle(t *testing.T) {
	for _, counts := range [][]float64{nil, {1}, {0, 0, 0, 0, 0, 0, 0, 0}} {
		if _, ok := Scan(counts); ok {
			t.Errorf("found something in %v", counts)
		}
	}
	if _, ok := Scan(); ok {
		t.Error("found something in nothing")
	}
}

func abs(x int) int { return max(x, -x) }

func BenchmarkScan(b *testing.B) {
	counts := noisy(rand.New(rand.NewPCG(1, 1)), MaxBins, 40)
	for b.Loop() {
		Scan(counts, counts)
	}
}
