package sketch

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func hashes(seed uint64, n int) []uint64 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]uint64, n)
	for i := range out {
		out[i] = r.Uint64()
	}
	return out
}

func TestDistinctIsExactWhenSmallAndWithinTwoPercentWhenLarge(t *testing.T) {
	for _, n := range []int{0, 1, 200, 256, 257, 5_000, 200_000} {
		var d Distinct
		for _, h := range hashes(uint64(n), n) {
			d.Insert(h)
			d.Insert(h)
		}
		bound := 0.0
		if n > exactMax {
			bound = 0.025 * float64(n)
		}
		if got := d.Estimate(); math.Abs(got-float64(n)) > bound {
			t.Errorf("%d distinct keys counted as %.0f", n, got)
		}
		d.Reset()
		if got := d.Estimate(); got != 0 {
			t.Errorf("after Reset of %d keys: %.0f", n, got)
		}
	}
}

func TestDistinctCountsTheKeyZero(t *testing.T) {
	var d Distinct
	d.Insert(0)
	d.Insert(0)
	if got := d.Estimate(); got != 1 {
		t.Errorf("got %.0f, want 1", got)
	}
}

func TestDistinctMergeHasNoOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 400), 1, 5).Draw(t, "sizes")
		parts := make([]Distinct, len(sizes))
		all := hashes(rapid.Uint64().Draw(t, "seed"), 600)
		for i, n := range sizes {
			for j := range n {
				parts[i].Insert(all[(j*(i+1))%len(all)])
			}
		}
		var forward, backward, twice Distinct
		for i := range parts {
			merge(t, &forward, &parts[i])
			merge(t, &backward, &parts[len(parts)-1-i])
			merge(t, &twice, &parts[i])
			merge(t, &twice, &parts[i])
		}
		if forward.Estimate() != backward.Estimate() || forward.Estimate() != twice.Estimate() {
			t.Fatalf("forward %.0f, backward %.0f, twice %.0f", forward.Estimate(), backward.Estimate(), twice.Estimate())
		}
	})
}

func merge(t *rapid.T, into, from *Distinct) {
	if err := into.Merge(from); err != nil {
		t.Fatal(err)
	}
}

// exactBits is the entropy by its definition.
func exactBits(counts map[uint64]uint64) (bits float64) {
	total := 0.0
	for _, n := range counts {
		total += float64(n)
	}
	for _, n := range counts {
		p := float64(n) / total
		bits -= p * math.Log2(p)
	}
	return bits
}

func TestEntropyIsExactWhenSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.Uint64Range(1, 400), 1, 2000).Draw(t, "keys")
		var e Entropy
		counts := make(map[uint64]uint64)
		for _, k := range keys {
			h := k * 0x9E3779B97F4A7C15
			e.Insert(h, 1)
			counts[h]++
		}
		if got, want := e.Bits(), exactBits(counts); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%v bits, want %v", got, want)
		}
	})
}

func TestEntropyOfLargeStreams(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	zipf := rand.NewZipf(r, 1.2, 1, 50_000)
	streams := map[string]func() uint64{
		"uniform": func() uint64 { return r.Uint64N(100_000) },
		"zipf":    zipf.Uint64,
		"one":     func() uint64 { return 7 },
		"half one, half random": func() uint64 {
			if r.IntN(2) == 0 {
				return 1
			}
			return r.Uint64()
		},
	}
	table := hashes(9, 1<<17)
	for name, next := range streams {
		parts := make([]Entropy, 4)
		counts := make(map[uint64]uint64)
		for i := range 200_000 {
			k := next()
			h := table[k%uint64(len(table))] ^ k>>17
			parts[i%4].Insert(h, 1)
			counts[h]++
		}
		var merged Entropy
		for i := range parts {
			merged.Merge(&parts[i])
		}
		want := exactBits(counts)
		if got := merged.Bits(); math.Abs(got-want) > max(0.3, 0.04*want) {
			t.Errorf("%s: %.3f bits, want %.3f", name, got, want)
		}
		if merged.Total() != 200_000 {
			t.Errorf("%s: %d requests", name, merged.Total())
		}
	}
}

func TestSeenForgetsNothingYoungAndInventsLittle(t *testing.T) {
	const n = 20_000
	s := NewSeen(n)
	keys := hashes(1, 2*n)
	for _, k := range keys[:n-1] {
		s.Add(k)
	}
	for i, k := range keys[:n-1] {
		if !s.Has(k) {
			t.Fatalf("key %d is forgotten within its generation", i)
		}
	}
	wrong := 0
	for _, k := range keys[n:] {
		if s.Has(k) {
			wrong++
		}
	}
	if wrong > n/50 {
		t.Errorf("%d of %d new keys seem known, want at most 2 %%", wrong, n)
	}
	s.Rotate()
	s.Rotate()
	if s.Has(keys[0]) {
		t.Error("a key is remembered after two rotations")
	}
}

func TestSeenRoundTripAndRefusal(t *testing.T) {
	s := NewSeen(1000)
	for _, k := range hashes(2, 900) {
		s.Add(k)
	}
	data, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	back := NewSeen(1000)
	if err := back.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	for _, k := range hashes(2, 900) {
		if !back.Has(k) {
			t.Fatal("a key is lost")
		}
	}
	for _, bad := range [][]byte{nil, data[:10], data[:len(data)-1], append([]byte{'S', 9}, data[2:]...)} {
		if err := back.UnmarshalBinary(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	if err := NewSeen(2000).UnmarshalBinary(data); !errors.Is(err, ErrMalformed) {
		t.Errorf("another capacity: %v", err)
	}
}

func BenchmarkDistinctInsert(b *testing.B) {
	keys := hashes(1, 1<<16)
	for _, n := range []int{64, 1 << 16} {
		b.Run(map[int]string{64: "exact", 1 << 16: "dense"}[n], func(b *testing.B) {
			var d Distinct
			b.ReportAllocs()
			for i := range b.N {
				d.Insert(keys[i&(n-1)])
			}
		})
	}
}

func BenchmarkEntropyInsert(b *testing.B) {
	keys := hashes(1, 1<<16)
	var e Entropy
	b.ReportAllocs()
	for i := range b.N {
		e.Insert(keys[i&(1<<16-1)], 1)
	}
}

func BenchmarkSeenAdd(b *testing.B) {
	keys := hashes(1, 1<<16)
	s := NewSeen(1 << 20)
	b.ReportAllocs()
	for i := range b.N {
		s.Add(keys[i&(1<<16-1)])
	}
}
