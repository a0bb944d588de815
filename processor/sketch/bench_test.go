package sketch

import "testing"

// benchKeys are more distinct keys than any sketch holds one by one.
const benchKeys = 1 << 16

func BenchmarkDistinctInsert(b *testing.B) {
	keys := hashes(1, benchKeys)
	for _, c := range []struct {
		name string
		n    int
	}{{"sparse", 512}, {"dense", benchKeys}} {
		b.Run(c.name, func(b *testing.B) {
			var d Distinct
			for _, k := range keys[:c.n] {
				d.Insert(k)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				d.Insert(keys[i&(c.n-1)])
			}
		})
	}
}

func BenchmarkDistinctEstimate(b *testing.B) {
	var d Distinct
	for _, k := range hashes(1, benchKeys) {
		d.Insert(k)
	}
	b.Run("here", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.Estimate()
		}
	})
	lib := upstream(b, false, hashes(1, benchKeys))
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			lib.Estimate()
		}
	})
}

// BenchmarkMerge is one sketch into another, from its bytes, both full.
func BenchmarkMerge(b *testing.B) {
	for name, make := range map[string]func() binaryForm{
		"distinct": func() binaryForm {
			d := new(Distinct)
			for _, k := range hashes(1, benchKeys) {
				d.Insert(k)
			}
			return d
		},
		"tally": func() binaryForm {
			t := new(Tally)
			for _, k := range hashes(1, TallyMax) {
				t.Insert(k, 1, nil)
			}
			return t
		},
		"quantiles": func() binaryForm {
			q := new(Quantiles)
			for _, k := range hashes(1, benchKeys) {
				q.Insert(k >> 40)
			}
			return q
		},
	} {
		b.Run(name, func(b *testing.B) {
			into, data := make(), form(b, make())
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := into.MergeBinary(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTallyInsert(b *testing.B) {
	keys := hashes(1, benchKeys)
	name := []byte("/a/path/of/ordinary/length.html")
	for _, c := range []struct {
		name string
		next func(i int) uint64
	}{
		{"few keys", func(i int) uint64 { return keys[i&255] }},
		{"skewed", func(i int) uint64 { return keys[(i*i)&(benchKeys-1)&(1<<(i%17)-1)] }},
		{"all new", func(i int) uint64 { return mix(uint64(i)) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var t Tally
			for i := range 1 << 17 {
				t.Insert(c.next(i), 1, name)
			}
			b.ReportAllocs()
			for i := 1 << 17; b.Loop(); i++ {
				t.Insert(c.next(i), 1, name)
			}
		})
	}
}

func BenchmarkTallyBits(b *testing.B) {
	var t Tally
	for i := range uint64(1_000_000) {
		t.Insert(mix(i&(1<<(i%20)-1)), 1, nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		t.Bits()
	}
}

func BenchmarkQuantilesInsert(b *testing.B) {
	keys := hashes(1, benchKeys)
	var q Quantiles
	for _, k := range keys {
		q.Insert(k >> 40)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.Insert(keys[i&(benchKeys-1)] >> 40)
	}
}

func BenchmarkSeenAdd(b *testing.B) {
	keys := hashes(1, benchKeys)
	s := NewSeen(1 << 20)
	s.Add(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Add(keys[i&(benchKeys-1)])
	}
}

// TestNothingIsAllocated once a sketch is as large as it will be, nor after Reset.
func TestNothingIsAllocated(t *testing.T) {
	keys := hashes(1, benchKeys)
	name := []byte("/a/path")
	var d Distinct
	var tally Tally
	var q Quantiles
	seen := NewSeen(1 << 20)
	round := func() {
		for _, k := range keys {
			d.Insert(k)
			tally.Insert(k, 1, name)
			q.Insert(k >> 40)
			seen.Add(k)
		}
		d.Estimate()
		tally.Bits()
	}
	round()
	if n := testing.AllocsPerRun(3, round); n > 0 {
		t.Errorf("%v allocations in a steady stream", n)
	}
	if n := testing.AllocsPerRun(3, func() {
		d.Reset()
		tally.Reset()
		q.Reset()
		round()
	}); n > 0 {
		t.Errorf("%v allocations after Reset", n)
	}
	for _, n := range []int{3, 100, 10_000} { // a form is merged on the stack
		var from Tally
		for _, k := range hashes(2, n) {
			from.Insert(k, 1, nil)
		}
		form, err := from.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if allocated := testing.AllocsPerRun(3, func() {
			tally.Reset()
			if err := tally.MergeBinary(form); err != nil {
				t.Fatal(err)
			}
		}); allocated > 0 {
			t.Errorf("%v allocations to merge the form of %d keys", allocated, n)
		}
	}
}
