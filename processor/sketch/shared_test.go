package sketch

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestBitsOfSharedKeys: parts that keep fewer keys than they see, and that all see the same
// ones: half a million requests for thousands of paths, each as often as another, alone and
// beside a few that are asked for more, in 64 parts, and as ten seconds of eight partitions
// are merged. In none of the parts a path is counted from the beginning to the end.
func TestBitsOfSharedKeys(t *testing.T) {
	for _, keys := range []uint64{1500, 3000, 6000, 20_000} {
		for _, parts := range []int{64, 80} {
			for _, heavy := range []uint64{0, 4} { // of ten requests, for one of eight paths
				const requests = 500_000
				r := rand.New(rand.NewPCG(keys, uint64(parts)))
				cut, counts := make([]Tally, parts), make(map[uint64]uint64)
				for i := range cut {
					cut[i].Limit(1024)
				}
				for range requests {
					key := 8 + r.Uint64N(keys)
					if r.Uint64N(10) < heavy {
						key = r.Uint64N(8)
					}
					counts[mix(key)]++
					cut[r.IntN(parts)].Insert(mix(key), 1, nil)
				}
				whole := new(Tally)
				for _, i := range r.Perm(parts) {
					if err := whole.MergeBinary(form(t, &cut[i])); err != nil {
						t.Fatal(err)
					}
				}
				want := exactBits(counts)
				if got := whole.Bits(); math.Abs(got-want) > max(0.1, 0.02*want) {
					t.Errorf("%d paths in %d parts, %d in ten requests for eight others: %.3f bits, want %.3f", keys, parts, heavy, got, want)
				}
				if testing.Verbose() {
					fmt.Printf("%6d paths, %d parts, %d in ten: off by %+.3f of %.2f bit\n", keys, parts, heavy, whole.Bits()-want, want)
				}
				held(t, whole, counts)
			}
		}
	}
}

// TestBitsOfAnAttackOnSharedKeys: seconds of a flood, each of a part of its own, some of it of
// paths that come once, the rest of thousands that are asked for alike. Of these a part drops many
// for a while: what it misses of them is not what comes once. The mean of some streams shows
// what is no chance.
func TestBitsOfAnAttackOnSharedKeys(t *testing.T) {
	const requests, parts, streams = 500_000, 8, 4
	for _, c := range []struct{ random, keys uint64 }{ // of ten requests; paths that are asked for again
		{2, 6000}, {5, 6000}, {5, 1500},
	} {
		mean := 0.0
		for stream := range uint64(streams) {
			r := rand.New(rand.NewPCG(c.random<<32|c.keys, stream))
			var cut [parts]Tally
			counts, once := make(map[uint64]uint64), uint64(1<<32)
			for i := range cut {
				cut[i].Limit(1024)
			}
			for range requests {
				key := r.Uint64N(c.keys)
				if r.Uint64N(10) < c.random {
					once++
					key = once
				}
				key = mix(key + stream<<48)
				counts[key]++
				cut[r.IntN(parts)].Insert(key, 1, nil)
			}
			whole := new(Tally)
			for i := range cut {
				whole.Merge(&cut[i])
			}
			want := exactBits(counts)
			mean += (whole.Bits() - want) / max(0.1, 0.02*want) / streams
		}
		if testing.Verbose() {
			fmt.Printf("%d of ten requests random beside %d paths: off by %+.2f of what is allowed\n", c.random, c.keys, mean)
		}
		if math.Abs(mean) > 0.7 {
			t.Errorf("%d of ten requests random beside %d paths: off by %+.2f of what is allowed, in the mean of %d streams", c.random, c.keys, mean, streams)
		}
	}
}

// TestMergedTalliesKeepTheirLevel: seconds merged into ten seconds, which are written with more keys
// than a form holds, and merged into ten minutes. What the level says of keys of low rank holds on the
// way: neither is it taken for the whole cut, nor for less than what writing has dropped.
func TestMergedTalliesKeepTheirLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	counts, whole, dropped := make(map[uint64]uint64), new(Tally), 0
	for range 6 {
		step := new(Tally)
		for range 10 {
			var second Tally
			second.Limit(1024)
			for range 4000 {
				key := mix(r.Uint64N(30_000))
				counts[key]++
				second.Insert(key, 1, nil)
			}
			step.MergeCounts(&second)
		}
		was, _ := step.Len()
		read := new(Tally)
		if err := read.UnmarshalBinary(form(t, step)); err != nil {
			t.Fatal(err)
		}
		if read.cut-read.level != step.cut-step.level {
			t.Fatalf("a cut of %d and a level of %d are read as %d and %d", step.cut, step.level, read.cut, read.level)
		}
		if is, _ := read.Len(); is < was {
			dropped++
		}
		whole.Merge(read)
	}
	if dropped == 0 || whole.level >= whole.cut/2 {
		t.Errorf("%d forms hold less than was written, a level of %d in %d: the test shows nothing", dropped, whole.level, whole.cut)
	}
	held(t, whole, counts)
}
