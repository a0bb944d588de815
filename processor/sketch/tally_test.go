package sketch

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

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

func TestTallyIsExactWhileThereIsRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.Uint64Range(1, 400), 1, 2000).Draw(t, "keys")
		var tally Tally
		counts := make(map[uint64]uint64)
		for _, k := range keys {
			h := k * 0x9E3779B97F4A7C15
			tally.Insert(h, 1, nil)
			counts[h]++
		}
		if got, want := tally.Bits(), exactBits(counts); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%v bits, want %v", got, want)
		}
		if n, all := tally.Len(); n != len(counts) || !all || tally.Total() != uint64(len(keys)) || tally.Missed() != 0 {
			t.Fatalf("%d keys, all is %v, %d requests, %d missed", n, all, tally.Total(), tally.Missed())
		}
		topped(t, &tally)
		for _, h := range tally.Top(nil, 0, 1000) {
			if h.Least != h.Most {
				t.Fatalf("%+v has an error", h)
			}
		}
	})
}

// topped checks that Top gives the first of all keys in their order, and those above a share.
func topped(t interface{ Fatalf(string, ...any) }, tally *Tally) {
	all := tally.Top(nil, 0, 1<<20)
	if n, _ := tally.Len(); len(all) != n || !slices.IsSortedFunc(all, func(a, b Heavy) int {
		return cmp.Or(cmp.Compare(b.Least, a.Least), cmp.Compare(a.Key, b.Key))
	}) {
		t.Fatalf("%d of %d keys, or not in their order: %v", len(all), n, all)
	}
	for _, share := range []float64{0, 0.01} {
		above := all[:0:0]
		for _, h := range all {
			if float64(h.Most) >= share*float64(tally.Total()) {
				above = append(above, h)
			}
		}
		for _, limit := range []int{0, 1, 16} {
			got := tally.Top(nil, share, limit)
			if want := above[:min(limit, len(above))]; !slices.EqualFunc(got, want, func(a, b Heavy) bool {
				return a.Key == b.Key && a.Least == b.Least && a.Most == b.Most
			}) {
				t.Fatalf("the first %d above %v are %v, want %v", limit, share, got, want)
			}
		}
	}
}

// held checks what a tally promises against the truth: each key within its bounds, no key
// lacking that has more than Missed.
func held(t interface{ Fatalf(string, ...any) }, tally *Tally, counts map[uint64]uint64) {
	total, seen := uint64(0), make(map[uint32]Heavy)
	for _, h := range tally.Top(nil, 0, 1<<20) {
		seen[h.Key] = h
	}
	same := make(map[uint32]uint64) // keys that are one to a tally
	for key, n := range counts {
		same[uint32(key)] += n
		total += n
	}
	topped(t, tally)
	for key, n := range same {
		h, ok := seen[key]
		if !ok && n > tally.Missed() {
			t.Fatalf("a key with %d requests is lacking, %d are the most that may be", n, tally.Missed())
		}
		if bound := uint64(share(tally.cut, key)); !ok && (bound == 0 || n > bound+tally.passes) {
			t.Fatalf("a key with %d requests is lacking, its share is %d and %d passes", n, bound, tally.passes)
		}
		if low := share(tally.level, key) == 0; low && (!ok || h.Least != n || h.Most != n) {
			t.Fatalf("a key of low rank with %d requests: there is %v, %+v", n, ok, h)
		}
		if ok && (n < h.Least || n > h.Most) {
			t.Fatalf("a key with %d requests is said to have %d to %d", n, h.Least, h.Most)
		}
	}
	if tally.Total() != total {
		t.Fatalf("%d requests, want %d", tally.Total(), total)
	}
}

// stream is requests with keys of all weights, in an order that may be hostile: heavy keys
// last, or each key's requests together.
func stream(r *rand.Rand, n, order int) []uint64 {
	keys := make([]uint64, n)
	for i := range keys {
		keys[i] = mix(r.Uint64N(1<<40) >> r.Uint64N(40))
	}
	switch order {
	case 1:
		slices.Sort(keys)
	case 2: // light ones first
		counts := make(map[uint64]int)
		for _, k := range keys {
			counts[k]++
		}
		slices.SortFunc(keys, func(a, b uint64) int {
			return cmp.Or(cmp.Compare(counts[a], counts[b]), cmp.Compare(a, b))
		})
	}
	return keys
}

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// TestTallyLaws: in whatever order, cut into whatever parts, merged in whatever order, from
// sketches or from bytes, the bounds hold; two merge to the same bytes either way; and
// while there is room, merging is inserting.
func TestTallyLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		n := rapid.SampledFrom([]int{0, 10, 1000, 3000, 20_000}).Draw(t, "n")
		parts := make([]Tally, rapid.IntRange(1, 6).Draw(t, "parts"))
		counts := make(map[uint64]uint64)
		var all Tally
		byKey := rapid.Bool().Draw(t, "parts by key")
		for i, k := range stream(r, n, rapid.IntRange(0, 2).Draw(t, "order")) {
			all.Insert(k, 1, nil)
			counts[k]++
			part := i * len(parts) / n
			if byKey {
				part = int(k % uint64(len(parts)))
			}
			parts[part].Insert(k, 1, nil)
		}
		held(t, &all, counts)
		var merged Tally
		for _, i := range r.Perm(len(parts)) {
			if r.IntN(2) == 0 {
				merged.Merge(&parts[i])
			} else if err := merged.MergeBinary(form(t, &parts[i])); err != nil {
				t.Fatal(err)
			}
			if n, _ := merged.Len(); n > mergeMax {
				t.Fatalf("%d keys", n)
			}
		}
		held(t, &merged, counts)
		if more := rapid.IntRange(0, 3000).Draw(t, "then inserted"); more > 0 {
			after, counted := new(Tally), maps.Clone(counts)
			after.Merge(&merged)
			for _, k := range stream(r, more, 0) {
				after.Insert(k, 1+uint32(k>>60), nil)
				counted[k] += 1 + k>>60
			}
			held(t, after, counted)
		}
		if len(counts) <= TallyMax && !bytes.Equal(form(t, &merged), form(t, &all)) {
			t.Fatal("merging differs from inserting, and there is room")
		}
		a, b := parts[0], parts[len(parts)-1]
		ab, ba := new(Tally), new(Tally)
		ab.Merge(&a)
		ab.Merge(&b)
		ba.Merge(&b)
		ba.Merge(&a)
		if !bytes.Equal(form(t, ab), form(t, ba)) {
			t.Fatal("a+b differs from b+a")
		}
		merged.Shrink(100)
		if n, _ := merged.Len(); n > 100 {
			t.Fatalf("%d keys after Shrink", n)
		}
		held(t, &merged, counts)
	})
}

func TestTallyNames(t *testing.T) {
	var tally Tally
	long := bytes.Repeat([]byte("x"), 300)
	for i := range 5000 {
		tally.Insert(mix(uint64(i)), 1, []byte(fmt.Sprint("once ", i)))
		if i%10 == 0 && i > 1000 {
			tally.Insert(mix(1<<40), 1, []byte("often"))
			tally.Insert(mix(1<<41), 1, long)
		}
	}
	check := func(tally *Tally) {
		t.Helper()
		top := tally.Top(nil, 0.01, 10)
		if len(top) != 2 {
			t.Fatalf("%+v", top)
		}
		got := map[string]bool{string(top[0].Name): true, string(top[1].Name): true}
		if !got["often"] || !got[string(long[:NameMax])] {
			t.Errorf("names %v", got)
		}
	}
	check(&tally)
	var again, merged Tally
	if err := again.UnmarshalBinary(form(t, &tally)); err != nil {
		t.Fatal(err)
	}
	check(&again)
	merged.Merge(&again)
	merged.Merge(&tally)
	check(&merged)
	merged.Forget()
	if top := merged.Top(nil, 0.01, 10); top[0].Name != nil {
		t.Errorf("%q is not forgotten", top[0].Name)
	}
}

func TestTallyRefusesMalformedBytes(t *testing.T) {
	small, large := new(Tally), new(Tally)
	for i := range uint64(20) {
		small.Insert(mix(i), uint32(1+i*i*i), []byte{'n', byte(i)})
	}
	for i := range uint64(10_000) {
		large.Insert(mix(i), 1, []byte{'n', byte(i)})
	}
	refuses(t, form(t, large), large)
	refuses(t, form(t, small), small)
}

func FuzzTally(f *testing.F) {
	for _, n := range []uint64{0, 3, 5000} {
		tally := new(Tally)
		for i := range n {
			tally.Insert(mix(i), uint32(i%7), []byte{'n', byte(i)})
		}
		f.Add(form(f, tally))
	}
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip(t, data, new(Tally), new(Tally)) })
}

// TestSmallest against sorting.
func TestSmallest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Uint64Max(50), 1, 200).Draw(t, "all")
		n := rapid.IntRange(1, len(all)).Draw(t, "n")
		sorted := slices.Sorted(slices.Values(all))
		if got := smallest(all, n); got != sorted[n-1] {
			t.Fatalf("number %d is %d, want %d", n, got, sorted[n-1])
		}
	})
}

// TestTallyLimit: one that may keep fewer keys holds its bounds, alone and merged with others.
func TestTallyLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		limit := rapid.SampledFrom([]int{16, 200, 1024}).Draw(t, "limit")
		counts, whole := make(map[uint64]uint64), new(Tally)
		for range rapid.IntRange(1, 12).Draw(t, "parts") {
			part, mine := new(Tally), make(map[uint64]uint64)
			part.Limit(limit)
			for _, k := range stream(r, rapid.SampledFrom([]int{10, 1000, 6000}).Draw(t, "n"), rapid.IntRange(0, 2).Draw(t, "order")) {
				part.Insert(k, 1, nil)
				counts[k]++
				mine[k]++
			}
			room := limit
			for part.Total() > 32*uint64(room) && room < TallyMax {
				room *= 2
			}
			if n, all := part.Len(); n > room || part.Total() <= 32*uint64(limit) && all != (len(mine) <= limit) {
				t.Fatalf("%d keys of %d, all is %v, at most %d", n, len(mine), all, room)
			}
			held(t, part, mine)
			whole.Merge(part)
		}
		if n, _ := whole.Len(); n > mergeMax {
			t.Fatalf("%d keys", n)
		}
		held(t, whole, counts)
	})
	tally := new(Tally)
	tally.Limit(100)
	for range 2 {
		for i := range uint64(500) {
			tally.Insert(mix(i), 1, nil)
		}
		if n, _ := tally.Len(); n > 100 {
			t.Fatalf("%d keys, at most 100", n)
		}
		tally.Reset()
	}
}
