package sketch

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/axiomhq/hyperloglog"
	"pgregory.net/rapid"
)

func TestDistinctIsExactWhenSmallAndWithinTwoPercentWhenLarge(t *testing.T) {
	var d Distinct
	for _, n := range []int{0, 1, 200, sparseMax - 1, sparseMax, sparseMax + 1, 5_000, 200_000} {
		d.Reset()
		for _, h := range hashes(uint64(n), n) {
			d.Insert(h)
			d.Insert(h)
		}
		bound := 0.0
		if n > sparseMax {
			bound = 0.02 * float64(n)
		}
		if got := d.Estimate(); math.Abs(got-float64(n)) > bound {
			t.Errorf("%d distinct keys counted as %.0f", n, got)
		}
		if d.Empty() != (n == 0) {
			t.Errorf("%d distinct keys: empty is %v", n, d.Empty())
		}
	}
}

// upstream is the library's own sketch of the same keys.
func upstream(t testing.TB, sparse bool, keys []uint64) *hyperloglog.Sketch {
	t.Helper()
	s, err := hyperloglog.NewSketch(precision, sparse)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		s.InsertHash(k)
	}
	return s
}

// odd are hashes with runs of zeros where the places of the encoding begin and end.
var odd = []uint64{0, 1, 1 << 63, 1 << 50, 1<<50 - 1, 1 << 39, 1<<39 - 1, 1 << 38, 1<<64 - 1, 1 << 49, 3 << 49, 1<<25 - 1, 1 << 25}

func TestDistinctIsTheLibrarysToTheLastBit(t *testing.T) {
	for _, n := range []int{0, 1, 100, 1000, sparseMax, 3000, 20_000, 500_000} {
		keys := append(hashes(uint64(n)+7, n), odd...)
		var d Distinct
		for _, k := range keys {
			d.Insert(k)
		}
		lib := upstream(t, n+len(odd) <= sparseMax, keys)
		if got, want := d.Estimate(), float64(lib.Estimate()); got != want {
			t.Errorf("%d keys: %v, the library says %v", n, got, want)
		}
		data, err := d.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var theirs hyperloglog.Sketch
		if err := theirs.UnmarshalBinary(data); err != nil {
			t.Fatalf("%d keys: the library refuses our bytes: %v", n, err)
		}
		if got, want := theirs.Estimate(), lib.Estimate(); got != want {
			t.Errorf("%d keys: from our bytes the library makes %d, want %d", n, got, want)
		}
		data, err = lib.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var ours Distinct
		if err := ours.UnmarshalBinary(data); err != nil {
			t.Fatalf("%d keys: we refuse the library's bytes: %v", n, err)
		}
		if got, want := ours.Estimate(), d.Estimate(); got != want {
			t.Errorf("%d keys: from the library's bytes we make %v, want %v", n, got, want)
		}
	}
}

// The library's sparse form with keys in its unsorted set, too.
func TestDistinctReadsTheLibrarysUnsortedSet(t *testing.T) {
	lib := upstream(t, true, hashes(3, 150)) // below where it sorts
	data, err := lib.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if data[7] != 150 {
		t.Fatalf("the set has %d keys, want 150: the test does not test it", data[7])
	}
	var d Distinct
	if err := d.UnmarshalBinary(data); err != nil || d.Estimate() != 150 {
		t.Errorf("%v, %v", d.Estimate(), err)
	}
}

// TestDistinctLaws: merging is commutative, associative, idempotent, and the same as
// having inserted everything: to the byte, across both forms.
func TestDistinctLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.Custom(func(t *rapid.T) []uint64 {
			n := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(sparseMax/2-10, sparseMax/2+10), rapid.IntRange(0, 4000)).Draw(t, "n")
			keys := hashes(rapid.Uint64Range(0, 3).Draw(t, "seed"), n+20) // some keys in common
			return append(keys[rapid.IntRange(0, 20).Draw(t, "from"):], rapid.SliceOfN(rapid.SampledFrom(odd), 0, 4).Draw(t, "odd")...)
		})
		a, b, c := part.Draw(t, "a"), part.Draw(t, "b"), part.Draw(t, "c")
		of := func(parts ...[]uint64) *Distinct {
			d := new(Distinct)
			for _, p := range parts {
				for _, k := range p {
					d.Insert(k)
				}
			}
			return d
		}
		merged := func(parts ...*Distinct) *Distinct {
			d := new(Distinct)
			for _, p := range parts {
				d.Merge(p)
			}
			return d
		}
		want := form(t, of(a, b, c))
		for name, got := range map[string]*Distinct{
			"a+b+c": merged(of(a), of(b), of(c)), "c+b+a": merged(of(c), of(b), of(a)),
			"a+(b+c)": merged(of(a), merged(of(b), of(c))), "a+a+b+c+b": merged(of(a), of(a), of(b), of(c), of(b)),
			"(a,b)+c": merged(of(a, b), of(c)),
		} {
			if !bytes.Equal(form(t, got), want) {
				t.Fatalf("%s differs from inserting everything", name)
			}
		}
		fromBytes := new(Distinct)
		for _, p := range [][]uint64{c, a, b} {
			if err := fromBytes.MergeBinary(form(t, of(p))); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(form(t, fromBytes), want) {
			t.Fatal("merging from bytes differs from inserting everything")
		}
	})
}

// appender is what all sketches have.
type appender interface {
	AppendBinary([]byte) ([]byte, error)
}

func form(t interface{ Fatal(...any) }, s appender) []byte {
	data, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDistinctRefusesMalformedBytes(t *testing.T) {
	small, large := new(Distinct), new(Distinct)
	for _, h := range hashes(1, 20) {
		small.Insert(h)
	}
	for _, h := range hashes(1, 5000) {
		large.Insert(h)
	}
	over := form(t, large)
	refuses(t, form(t, small), small)
	refuses(t, form(t, large), large)
	over[4000] = maxRho + 1
	if err := large.UnmarshalBinary(over); !errors.Is(err, ErrMalformed) || !large.Empty() {
		t.Errorf("a register of %d: %v, empty is %v", maxRho+1, err, large.Empty())
	}
}

// binaryForm is what all sketches but Seen have.
type binaryForm interface {
	appender
	UnmarshalBinary([]byte) error
	MergeBinary([]byte) error
	Empty() bool
	Reset()
}

// refuses checks that no shorter and no longer bytes are taken, nor those of another
// version.
func refuses(t *testing.T, data []byte, s binaryForm) {
	t.Helper()
	if err := s.UnmarshalBinary(data); err != nil {
		t.Fatalf("its own bytes: %v", err)
	}
	if !bytes.Equal(form(t, s), data) {
		t.Fatal("what was read is written otherwise")
	}
	for n := 0; n < len(data); n += 1 + len(data)/2000 {
		if err := s.UnmarshalBinary(data[:n]); !errors.Is(err, ErrMalformed) || !s.Empty() {
			t.Fatalf("cut to %d of %d bytes: %v, empty is %v", n, len(data), err, s.Empty())
		}
	}
	for name, bad := range map[string][]byte{
		"one byte more": append(bytes.Clone(data), 0), "another letter": append([]byte{data[0] + 1}, data[1:]...),
		"another version": append([]byte{data[0], data[1] + 1}, data[2:]...),
	} {
		if err := s.UnmarshalBinary(bad); !errors.Is(err, ErrMalformed) || !s.Empty() {
			t.Errorf("%s: %v, empty is %v", name, err, s.Empty())
		}
	}
}

func FuzzDistinct(f *testing.F) {
	for _, n := range []int{0, 3, 2000} {
		d := new(Distinct)
		for _, h := range hashes(1, n) {
			d.Insert(h)
		}
		f.Add(form(f, d))
	}
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip(t, data, new(Distinct), new(Distinct)) })
}

// roundTrip checks bytes from anywhere: what is accepted is written and read again as
// the same; what is refused leaves the sketch empty.
func roundTrip(t *testing.T, data []byte, s, again binaryForm) {
	if err := s.UnmarshalBinary(data); err != nil {
		if !errors.Is(err, ErrMalformed) || !s.Empty() {
			t.Fatalf("%v, empty is %v", err, s.Empty())
		}
		return
	}
	first := form(t, s)
	if err := again.UnmarshalBinary(first); err != nil {
		t.Fatalf("its own bytes: %v", err)
	}
	if !bytes.Equal(form(t, again), first) {
		t.Fatal("what was read is written otherwise")
	}
	if err := again.MergeBinary(data); err != nil {
		t.Fatalf("accepted once, and not a second time: %v", err)
	}
	s.Reset()
	if !s.Empty() {
		t.Fatal("not empty after Reset")
	}
}

// FuzzDistinctAgainstLibrary: what the library takes at our precision and version, we
// take with the same estimate. It keeps no more than sparse keys that it could have made.
func FuzzDistinctAgainstLibrary(f *testing.F) {
	for _, n := range []int{0, 3, 150, 1024, 2000} {
		for _, sparse := range []bool{false, true} {
			data, err := upstream(f, sparse, hashes(1, n)).MarshalBinary()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours Distinct
		if ours.UnmarshalBinary(data) != nil {
			return
		}
		var lib hyperloglog.Sketch
		if err := lib.UnmarshalBinary(data); err != nil {
			t.Fatalf("we take what the library refuses: %v", err)
		}
		if got, want := ours.Estimate(), float64(lib.Estimate()); got != want && !ours.dense {
			t.Fatalf("%v, the library says %v", got, want)
		}
	})
}

func TestMaxBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 8 * rapid.IntRange(0, 30).Draw(t, "eights")
		a := rapid.SliceOfN(rapid.ByteMax(127), n, n).Draw(t, "a")
		b := rapid.SliceOfN(rapid.ByteMax(127), n, n).Draw(t, "b")
		want := make([]byte, n)
		for i := range want {
			want[i] = max(a[i], b[i])
		}
		got := bytes.Clone(a)
		if maxBytes(got, b); !bytes.Equal(got, want) {
			t.Fatalf("max of %v and %v is %v", a, b, got)
		}
		limit := rapid.ByteMax(127).Draw(t, "limit")
		raw := rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "raw")
		within := true
		for _, v := range raw {
			within = within && v <= limit
		}
		if atMost(raw, limit) != within {
			t.Fatalf("at most %d in %v: %v", limit, raw, !within)
		}
	})
}
