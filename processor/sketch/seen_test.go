package sketch

import (
	"errors"
	"math/rand/v2"
	"testing"
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
