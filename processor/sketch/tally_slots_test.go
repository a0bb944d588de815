package sketch

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTaken: the slots and keys that are not free are found, however many there are, and whatever else stands in them.
func TestTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size, any := rapid.IntRange(0, chunk).Draw(t, "size"), rapid.Uint32Range(0, 2)
		slots, keys := make([]tallied, size), make([]uint32, size)
		var wantSlots, wantKeys []uint8
		for i := range size {
			slots[i], keys[i] = tallied{any.Draw(t, "key"), any.Draw(t, "n"), any.Draw(t, "bar")}, any.Draw(t, "distinct")
			if i%7 == 0 {
				slots[i].n, keys[i] = slots[i].n<<31, keys[i]<<31
			}
			if slots[i].n != 0 {
				wantSlots = append(wantSlots, uint8(i))
			}
			if keys[i] != 0 {
				wantKeys = append(wantKeys, uint8(i))
			}
		}
		var at taken
		if got := at.of(slots); !slices.Equal(got, wantSlots) {
			t.Fatalf("slots %v, want %v", got, wantSlots)
		}
		if got := at.ofKeys(keys); !slices.Equal(got, wantKeys) {
			t.Fatalf("keys %v, want %v", got, wantKeys)
		}
	})
}

func BenchmarkTaken(b *testing.B) {
	slots := make([]tallied, chunk)
	for i := range slots {
		slots[i] = tallied{uint32(i), uint32(i) * golden >> 31, 1}
	}
	var at taken
	for b.Loop() {
		at.of(slots)
	}
}
