package window

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func paneOf(seed uint64, n int) *Pane {
	p, r := new(Pane), rand.New(rand.NewPCG(seed, 9))
	for range n {
		request(p, r.Uint64N(5000), r.Uint64N(1<<40)>>r.Uint64N(36), r.Uint64N(1<<20))
	}
	return p
}

func form(t interface{ Fatal(...any) }, p *Pane) []byte {
	data, err := p.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestPaneLaws: panes of different clients merge in any order, from panes or from bytes: to
// the byte while there are few keys, and two always.
func TestPaneLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.Custom(func(t *rapid.T) *Pane {
			return paneOf(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 400).Draw(t, "n"))
		})
		a, b, c := part.Draw(t, "a"), part.Draw(t, "b"), part.Draw(t, "c")
		merged := func(parts ...*Pane) []byte {
			sum, read := new(Pane), new(Pane)
			for _, p := range parts {
				sum.Merge(p)
				if err := read.MergeBinary(form(t, p)); err != nil {
					t.Fatal(err)
				}
			}
			sum.forget() // which names are kept is not held
			read.forget()
			if !bytes.Equal(form(t, sum), form(t, read)) {
				t.Fatal("merging panes differs from merging their bytes")
			}
			return form(t, sum)
		}
		want := merged(a, b, c)
		if !bytes.Equal(merged(c, a, b), want) || !bytes.Equal(merged(b, c, a), want) {
			t.Fatal("the order matters")
		}
	})
}

func TestPaneRefusesMalformedBytes(t *testing.T) {
	data := form(t, paneOf(1, 300))
	var p Pane
	for n := 0; n < len(data); n += 1 + n/100 {
		if err := p.UnmarshalBinary(data[:n]); !errors.Is(err, ErrMalformed) || !p.Empty() {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(data), err)
		}
	}
	for name, bad := range map[string][]byte{
		"one byte more": append(bytes.Clone(data), 0), "another letter": append([]byte{'X'}, data[1:]...),
		"another version": append([]byte{'P', 9}, data[2:]...), "more counters": append([]byte{'P', paneVersion, 99}, data[3:]...),
	} {
		if err := p.UnmarshalBinary(bad); !errors.Is(err, ErrMalformed) || !p.Empty() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.UnmarshalBinary(data); err != nil || !bytes.Equal(form(t, &p), data) {
		t.Errorf("its own bytes: %v", err)
	}
}

func FuzzPane(f *testing.F) {
	for _, n := range []int{0, 1, 30} {
		f.Add(form(f, paneOf(1, n)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p, again Pane
		if err := p.UnmarshalBinary(data); err != nil {
			if !errors.Is(err, ErrMalformed) || !p.Empty() {
				t.Fatalf("%v, empty is %v", err, p.Empty())
			}
			return
		}
		first := form(t, &p)
		if err := again.UnmarshalBinary(first); err != nil {
			t.Fatalf("its own bytes: %v", err)
		}
		if !bytes.Equal(form(t, &again), first) {
			t.Fatal("what was read is written otherwise")
		}
	})
}

// BenchmarkStep is one step of all windows of a site: ten seconds closed and merged, and all
// three windows read whole. "flooded" is 5,000 requests a second, every key of them new.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		name string
		rate int
	}{{"quiet", 2}, {"busy", 200}, {"flooded", 5000}} {
		b.Run(c.name, func(b *testing.B) {
			const warm = 70
			s := NewSite(NewEstate(DefaultBudget))
			second := int64(1_795_000_000)
			var panes []*Pane
			for i := range 20 {
				panes = append(panes, fresh(uint64(i), c.rate, c.name == "flooded"))
			}
			var d Detail
			step := func() {
				for i := range Short {
					second++
					p := new(Pane)
					p.Merge(panes[(int(second)+i)%len(panes)])
					s.Take(second, p)
					s.Close(second)
				}
				s.Step()
				for _, length := range []Length{TenSeconds, OneMinute, TenMinutes} {
					s.Detail(length, &d)
				}
			}
			for range warm {
				step()
			}
			b.ResetTimer()
			for b.Loop() {
				b.StopTimer() // what fills the panes is not the windows' work
				var taken [Short]*Pane
				for i := range taken {
					taken[i] = new(Pane)
					taken[i].Merge(panes[(int(second)+i)%len(panes)])
				}
				b.StartTimer()
				for i := range Short {
					second++
					s.Take(second, taken[i])
					s.Close(second)
				}
				s.Step()
				for _, length := range []Length{TenSeconds, OneMinute, TenMinutes} {
					s.Detail(length, &d)
				}
			}
			b.ReportMetric(float64(s.estate.Used())/1024, "KiB/site")
		})
	}
}

func fresh(seed uint64, n int, random bool) *Pane {
	if !random {
		return paneOf(seed, n)
	}
	p, r := new(Pane), rand.New(rand.NewPCG(seed, 10))
	for range n {
		request(p, r.Uint64(), r.Uint64(), r.Uint64N(1<<20))
	}
	return p
}

// BenchmarkThousandSites is one step of a thousand sites, staggered as the processor does:
// the time of the slowest second, and the memory of ten minutes.
func BenchmarkThousandSites(b *testing.B) {
	e := NewEstate(DefaultBudget)
	sites := make([]*Site, 1000)
	var panes []*Pane
	for i := range 50 {
		panes = append(panes, paneOf(uint64(i), 5))
	}
	second := int64(1_795_000_000)
	for i := range sites {
		sites[i] = NewSite(e)
		sites[i].Close(second)
	}
	var d Detail
	tick := func() {
		second++
		for i, s := range sites {
			p := e.Pane()
			p.Merge(panes[(int(second)+7*i)%len(panes)])
			s.Take(second, p)
			s.Close(second)
			if int(second)%Short == i%Short {
				s.Step()
				s.Detail(TenSeconds, &d)
				s.Detail(OneMinute, &d)
				s.Detail(TenMinutes, &d)
			}
		}
	}
	for range 610 {
		tick()
	}
	b.ResetTimer()
	for b.Loop() {
		tick()
	}
	b.ReportMetric(float64(e.Used())/(1<<20), "MiB")
}
