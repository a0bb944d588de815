package window

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

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
			forget(sum) // which names are kept is not held
			forget(read)
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

// BenchmarkStep is what a site's windows cost in ten seconds: ten seconds closed, merged and
// packed, and the short window read. "flooded" is 5,000 requests a second, every key of them
// new. slowest-ms is the longest second in it.
func BenchmarkStep(b *testing.B) {
	eachRate(b, func(b *testing.B, s *Site, play func(taken *[Short]*Pane) time.Duration, take func() *[Short]*Pane) {
		var slowest, cpu time.Duration
		for b.Loop() {
			b.StopTimer() // what fills the panes is not the windows' work
			taken := take()
			b.StartTimer()
			began := cpuTime()
			slowest += play(taken)
			cpu += cpuTime() - began
		}
		b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N), "cpu-ms/step")
		b.ReportMetric(float64(slowest.Microseconds())/1000/float64(b.N), "slowest-ms")
		b.ReportMetric(float64(s.estate.Used())/1024, "KiB/site")
	})
}

// BenchmarkDetail is reading all three windows whole, as a person does who looks at a site
// again and again.
func BenchmarkDetail(b *testing.B) {
	eachRate(b, func(b *testing.B, s *Site, play func(taken *[Short]*Pane) time.Duration, take func() *[Short]*Pane) {
		var d Detail
		for b.Loop() {
			b.StopTimer()
			play(take())
			b.StartTimer()
			for _, length := range []Length{TenSeconds, OneMinute, TenMinutes} {
				s.Detail(length, &d)
			}
		}
	})
}

// eachRate runs a benchmark of a site whose ten minutes are full. take gives the panes of
// the next step, play closes it and returns what its slowest second took.
func eachRate(b *testing.B, run func(b *testing.B, s *Site, play func(taken *[Short]*Pane) time.Duration, take func() *[Short]*Pane)) {
	for _, c := range []struct {
		name string
		rate int
	}{{"quiet", 2}, {"busy", 200}, {"flooded", 5000}} {
		b.Run(c.name, func(b *testing.B) {
			s := NewSite(NewEstate(DefaultBudget))
			second := int64(1_795_000_000)
			s.Close(second)
			var panes []*Pane
			for i := range 20 {
				panes = append(panes, fresh(uint64(i), c.rate, c.name == "flooded"))
			}
			take := func() *[Short]*Pane {
				taken := new([Short]*Pane)
				for i := range taken {
					taken[i] = s.estate.Pane()
					taken[i].Merge(panes[(int(second)+i)%len(panes)])
				}
				return taken
			}
			play := func(taken *[Short]*Pane) (slowest time.Duration) {
				for i := range Short {
					began := time.Now()
					second++
					s.Take(second, taken[i])
					s.Close(second)
					if i == Short-1 {
						s.Step()
						s.Read()
					}
					slowest = max(slowest, time.Since(began))
				}
				return slowest
			}
			for range 62 {
				play(take())
			}
			b.ResetTimer()
			run(b, s, play, take)
		})
	}
}

func fresh(seed uint64, n int, random bool) *Pane {
	if !random {
		return paneOf(seed, n)
	}
	p, r := new(Pane), rand.New(rand.NewPCG(seed, 10))
	p.Limit()
	for range n {
		request(p, r.Uint64(), r.Uint64(), r.Uint64N(1<<20))
	}
	return p
}

// BenchmarkThousandSites is one second of a thousand sites, staggered as the processor does:
// each closes it, a hundred end a step, and all of these are read. slowest-ms is the slowest
// second of all.
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
	taken := make([]*Pane, len(sites))
	take := func() {
		for i := range taken {
			taken[i] = e.Pane()
			taken[i].Merge(panes[(int(second)+7*i)%len(panes)])
		}
	}
	tick := func() {
		second++
		for i, s := range sites {
			e.Release(s.Take(second, taken[i]))
			s.Close(second)
			if int(second)%Short == i%Short {
				s.Step()
				s.Read()
			}
		}
	}
	for range 610 {
		take()
		tick()
	}
	var slowest, cpu time.Duration
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		take()
		b.StartTimer()
		began, worked := time.Now(), cpuTime()
		tick()
		slowest, cpu = max(slowest, time.Since(began)), cpu+cpuTime()-worked
	}
	b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N), "cpu-ms/second")
	b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-ms")
	b.ReportMetric(float64(e.Used())/(1<<20), "MiB")
}

// cpuTime is how long this process has had a processor, which other work on the machine does
// not stretch as it does the clock's time.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// forget drops what keys are called.
func forget(p *Pane) {
	for i := range p.Tallies {
		p.Tallies[i].Forget()
	}
}
