package simulate

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sort"
)

// mix derives one seed from several numbers (splitmix64's finaliser, chained), so
// that every site, source, visit and person has a stream of its own.
func mix(parts ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, p := range parts {
		h += p + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// label makes a number of a name, for mix.
func label(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return h.Sum64()
}

func stream(parts ...uint64) *rand.Rand {
	return rand.New(rand.NewPCG(mix(parts...), mix(append(parts, 1)...)))
}

// table draws an index with given weights.
type table []float64 // running sums

func newTable(weights []float64) table {
	t, sum := make(table, len(weights)), 0.0
	for i, w := range weights {
		sum += w
		t[i] = sum
	}
	return t
}

// zipf weighs n things by 1/(rank+shift)^exponent.
func zipf(n int, exponent, shift float64) table {
	weights := make([]float64, n)
	for i := range weights {
		weights[i] = math.Pow(float64(i+1)+shift, -exponent)
	}
	return newTable(weights)
}

func (t table) pick(r *rand.Rand) int {
	i := sort.SearchFloat64s(t, r.Float64()*t[len(t)-1])
	return min(i, len(t)-1)
}

func one[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// logNormal draws around a median; sigma is the spread of the logarithm.
func logNormal(r *rand.Rand, median, sigma float64) float64 {
	return median * math.Exp(sigma*r.NormFloat64())
}

// poisson draws a count; above 50 by its normal approximation.
func poisson(r *rand.Rand, mean float64) int {
	if mean > 50 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	limit, product, n := math.Exp(-mean), r.Float64(), 0
	for product > limit {
		product *= r.Float64()
		n++
	}
	return n
}

// geometric draws 1, 2, 3, ... with the given mean >= 1, at most limit.
func geometric(r *rand.Rand, mean float64, limit int) int {
	n := 1
	for n < limit && chance(r, 1-1/mean) {
		n++
	}
	return n
}

const (
	lower     = "abcdefghijklmnopqrstuvwxyz"
	digits    = "0123456789"
	hexDigits = "0123456789abcdef"
)

func text(r *rand.Rand, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}
