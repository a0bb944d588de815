package sketch

import (
	"bytes"
	"errors"
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

// TestSeenGrows: a set, a small filter and a large one know their keys, invent few, and are
// what they were when they come back from bytes.
func TestSeenGrows(t *testing.T) {
	const capacity = 16_384
	for _, n := range []int{seenFew, 2000, smallKeys(512), 6000, capacity - 1} {
		s := NewSeen(capacity)
		keys := hashes(3, n+10_000)
		for _, k := range keys[:n] {
			s.Add(k)
		}
		data := form(t, s)
		back := NewSeen(capacity)
		if err := back.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(form(t, back), data) {
			t.Errorf("%d keys come back as others", n)
		}
		for _, k := range keys[:n] {
			if !back.Has(k) {
				t.Fatalf("of %d keys one is lost", n)
			}
		}
		wrong := 0
		for _, k := range keys[n:] {
			if back.Has(k) {
				wrong++
			}
		}
		if wrong > 100 {
			t.Errorf("with %d keys %d of 10000 new ones seem known, want at most 1 %%", n, wrong)
		}
		if large := back.young.words != nil; large != (n > smallKeys(512)) {
			t.Errorf("%d keys: a large filter is %t", n, large)
		}
		if err := back.UnmarshalBinary(data[:len(data)-3]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d keys, cut short: %v", n, err)
		}
	}
}

// TestSeenForgetsWithTime: a key is known for one to two lives after it was last added.
func TestSeenForgetsWithTime(t *testing.T) {
	const life = 3600
	rapid.Check(t, func(t *rapid.T) {
		s, last := NewSeen(1<<16), make(map[uint64]int64)
		now := int64(1_795_000_000)
		s.Advance(now, life)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Int64Range(0, life/2).Draw(t, "seconds")
			s.Advance(now, life)
			s.Advance(now-rapid.Int64Range(0, 2*life).Draw(t, "back"), life) // changes nothing
			if rapid.Bool().Draw(t, "add") {
				k := mix(rapid.Uint64Range(1, 5).Draw(t, "key"))
				s.Add(k)
				last[k] = now
			}
			for k, at := range last {
				if !s.Has(k) && now-at < life {
					t.Fatalf("forgotten after %d s", now-at)
				}
				if s.Has(k) && now-at > 2*life+life/2 {
					t.Fatalf("known after %d s", now-at)
				}
			}
		}
	})
}

func TestSeenLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.SampledFrom([]int{500, 4000}).Draw(t, "capacity")
		part := rapid.Custom(func(t *rapid.T) *Seen {
			s := NewSeen(capacity)
			for _, k := range hashes(rapid.Uint64().Draw(t, "seed"), rapid.SampledFrom([]int{0, 100, 400, 600, 900, 2000, 3500}).Draw(t, "n")) {
				s.Add(k)
			}
			return s
		})
		a, b, c := part.Draw(t, "a"), part.Draw(t, "b"), part.Draw(t, "c")
		merged := func(parts ...*Seen) []byte {
			s := NewSeen(capacity)
			for _, p := range parts {
				if err := s.Merge(p); err != nil {
					t.Fatal(err)
				}
			}
			return form(t, s)
		}
		want := merged(a, b, c)
		if !bytes.Equal(merged(c, a, b), want) || !bytes.Equal(merged(b, c, b, a, a), want) {
			t.Fatal("the order, or repeating, matters")
		}
	})
	if err := NewSeen(500).Merge(NewSeen(5000)); err == nil {
		t.Error("filters of different sizes were merged")
	}
}

// FuzzSeen: what is not refused is written as it was read, and can be asked, merged and added to.
func FuzzSeen(f *testing.F) {
	for _, n := range []int{0, 3, 700, 5000} {
		s := NewSeen(2000)
		for _, k := range hashes(1, n) {
			s.Add(k)
		}
		data, err := s.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Seen
		if s.UnmarshalBinary(data) != nil {
			return
		}
		again, err := s.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%d bytes were written as %d, %v", len(data), len(again), err)
		}
		other := s.Clone()
		s.Has(1)
		s.Add(2)
		if err := s.Merge(other); err != nil || !s.Has(2) {
			t.Fatalf("merged with what it was: %v, known %t", err, s.Has(2))
		}
		s.Rotate()
		s.Advance(1<<40, 60)
	})
}
