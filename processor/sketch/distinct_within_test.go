package sketch

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestWithin: what is told within another comes back to the byte, also into what has keys
// already; what is not within it, or too much to be listed, is not told.
func TestWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var base, part, both, into Distinct
		n := rapid.SampledFrom([]int{0, 1, 7, 8, 9, 100, 1000, 1100}).Draw(t, "keys")
		seed := rapid.Uint64().Draw(t, "seed")
		share := rapid.Uint64Range(0, 8).Draw(t, "eighths")
		stranger := rapid.Bool().Draw(t, "a stranger")
		for i := range uint64(n) {
			h := mix(seed + i)
			base.Insert(h)
			if mix(h)&7 < share {
				part.Insert(h)
			}
			if i < 20 {
				into.Insert(mix(h))
			}
		}
		if stranger {
			part.Insert(mix(seed ^ 1<<63))
		}
		bits, ok := part.AppendWithin([]byte("before"), &base)
		if !bytes.HasPrefix(bits, []byte("before")) {
			t.Fatal("what was there before is gone")
		}
		if want := !stranger && n <= sparseMax; ok != want {
			t.Fatalf("told: %t, want %t", ok, want)
		}
		if !ok {
			if len(bits) != len("before") {
				t.Fatalf("%d bytes of what was not told", len(bits))
			}
			return
		}
		form, err := base.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		both.Merge(&into)
		both.Merge(&part)
		rest, err := into.MergeWithin(form, append(bits[len("before"):], 1, 2, 3))
		if err != nil || !bytes.Equal(rest, []byte{1, 2, 3}) {
			t.Fatalf("%v, %d bytes left", err, len(rest))
		}
		got, _ := into.AppendBinary(nil)
		want, _ := both.AppendBinary(nil)
		if !bytes.Equal(got, want) {
			t.Fatal("it came back as another")
		}
		for cut := range len(form) {
			if _, err := new(Distinct).MergeWithin(form[:cut], bits[len("before"):]); err == nil && n > 0 {
				t.Fatalf("%d of %d bytes were taken", cut, len(form))
			}
		}
	})
}
