package window

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// hash is a stand-in for a keyed one.
func hash(n uint64) uint64 {
	n ^= n >> 30
	n *= 0xbf58476d1ce4e5b9
	n ^= n >> 27
	n *= 0x94d049bb133111eb
	return n ^ n>>31
}

// request puts one into a pane.
func request(p *Pane, client, path uint64, duration uint64) {
	p.Counts[Requests]++
	p.Clients.Insert(hash(client))
	p.Paths.Insert(hash(path))
	p.Marked[client%3].Insert(hash(client))
	for k := range p.Tallies {
		p.Tallies[k].Insert(hash(path*uint64(k+1)+uint64(k)<<32), 1, []byte{'k', byte(k), byte(path)})
	}
	p.Duration.Insert(duration)
	p.Size.Insert(100 * duration)
}

// TestShortWindowIsTheSumOfItsSeconds compares with keeping every request.
func TestShortWindowIsTheSumOfItsSeconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Site
		if rapid.Bool().Draw(t, "among many sites") { // then quiet seconds wait in their bytes
			e := NewEstate(DefaultBudget)
			e.sites = crowdedSites
			s.estate = e
		}
		const base = 1_795_000_000
		counted := make(map[int64]uint64) // by the second in which it was counted
		clients := make(map[int64]map[uint64]bool)
		closed := int64(base)
		s.Close(closed)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			second := closed + 1
			for range rapid.IntRange(0, 2).Draw(t, "panes") {
				p := new(Pane)
				for range rapid.IntRange(1, 3).Draw(t, "requests") {
					client := rapid.Uint64Range(1, 9).Draw(t, "client")
					request(p, client, client, client)
					counted[second]++
					if clients[second] == nil {
						clients[second] = make(map[uint64]bool)
					}
					clients[second][client] = true
				}
				if p = s.Take(second, p); p == nil {
					t.Fatal("nothing came back")
				}
			}
			closed += rapid.Int64Range(1, 3).Draw(t, "seconds")
			s.Close(closed)
			var want uint64
			distinct := make(map[uint64]bool)
			for second := closed - Short + 1; second <= closed; second++ {
				want += counted[second]
				for c := range clients[second] {
					distinct[c] = true
				}
			}
			if got := s.Short()[Requests]; got != want {
				t.Fatalf("%d requests in the window, want %d", got, want)
			}
			if r := s.Read(); r.Clients != float64(len(distinct)) {
				t.Fatalf("%v clients, want %d", r.Clients, len(distinct))
			}
		}
	})
}

// steps are the steps of a site as they were, for comparison.
type steps []*Pane

func (all steps) merge(n int) *Pane {
	sum := new(Pane)
	for _, p := range all[max(0, len(all)-n):] {
		sum.Merge(p)
	}
	return sum
}

// play closes one step of a site with a pane a second, each of n requests.
func play(s *Site, second *int64, r *rand.Rand, n int, all *steps) {
	step := new(Pane)
	for range Short {
		p := new(Pane)
		for range n {
			request(p, r.Uint64N(4000), r.Uint64N(1<<40)>>r.Uint64N(36), r.Uint64N(1<<20)>>r.Uint64N(15))
		}
		step.Merge(p)
		*second++
		if n > 0 {
			s.Take(*second, p)
		}
		s.Close(*second)
	}
	s.Step()
	*all = append(*all, step)
}

// TestLongWindowsAreTheMergeOfTheirSteps: however it is merged, piece by piece for a quiet
// site, over two stacks for a busy one, or changing from one to the other, a window says
// what merging its steps one after the other says.
func TestLongWindowsAreTheMergeOfTheirSteps(t *testing.T) {
	for name, rate := range map[string]func(step int) int{
		"quiet": func(int) int { return 2 },
		"crowd": func(step int) int { return []int{0, 3, 90}[step/5%3] }, // among many sites
		"busy":  func(int) int { return 60 },
		"both":  func(step int) int { return []int{1, 60}[step/35%2] },
		"gaps":  func(step int) int { return []int{0, 60, 0}[step/7%3] },
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSite(NewEstate(DefaultBudget))
			if name == "crowd" {
				s.estate.sites = crowdedSites
			}
			r := rand.New(rand.NewPCG(1, 2))
			second := int64(1_795_000_000)
			s.Close(second)
			var all steps
			turns := 0
			var d Detail
			for step := range 130 {
				play(s, &second, r, rate(step), &all)
				flip := s.past.flip
				s.Detail(TenMinutes, &d)
				if s.past.flip != flip {
					turns++
				}
				if step%5 == 0 {
					same(t, step, &d, all.merge(60))
				}
				if step%15 == 0 { // reading or not reading the others changes nothing
					s.Detail(OneMinute, &d)
					same(t, step, &d, all.merge(6))
					s.Detail(TenSeconds, &d)
					same(t, step, &d, all.merge(1))
				}
			}
			if name == "busy" && turns < 2 {
				t.Errorf("%d flips: the test does not test them", turns)
			}
		})
	}
}

// same compares a window with the pane that it should be: exactly where merging is exact,
// within the sketches' error where the order of merging matters.
func same(t *testing.T, step int, d *Detail, want *Pane) {
	t.Helper()
	if d.Counts != want.Counts || d.Clients != want.Clients.Estimate() || d.Paths != want.Paths.Estimate() {
		t.Fatalf("step %d: %d requests, %v clients, %v paths, want %d, %v, %v", step,
			d.Counts[Requests], d.Clients, d.Paths, want.Counts[Requests], want.Clients.Estimate(), want.Paths.Estimate())
	}
	for i := range want.Marked {
		if d.Marked[i] != want.Marked[i].Estimate() {
			t.Fatalf("step %d: mark %d on %v, want %v", step, i, d.Marked[i], want.Marked[i].Estimate())
		}
	}
	if want := spread(&want.Duration); d.Duration != want && want.Known() {
		t.Fatalf("step %d: durations %v, want %v", step, d.Duration, want)
	}
	if want := spread(&want.Size); d.Size != want && want.Known() {
		t.Fatalf("step %d: sizes %v, want %v", step, d.Size, want)
	}
	for k := range want.Tallies {
		if got, want := d.Entropies[k], want.Tallies[k].Bits(); math.Abs(got-want) > max(0.15, 0.03*want) {
			t.Fatalf("step %d: entropy %d is %v, want %v", step, k, got, want)
		}
		if top := want.Tallies[k].Top(nil, 0.02, 32); len(top) > len(d.Top[k]) {
			t.Fatalf("step %d: %d heavy keys, want at least %d", step, len(d.Top[k]), len(top))
		}
	}
}

// TestEverySecondIsInOneStep: seconds merged as they close, when they leave and at the step's
// end, whenever that is, make the same windows.
func TestEverySecondIsInOneStep(t *testing.T) {
	for _, every := range []int{10, 7, 13, 25} {
		s := NewSite(NewEstate(DefaultBudget))
		r := rand.New(rand.NewPCG(5, uint64(every)))
		second := int64(1_795_000_000)
		s.Close(second)
		var seconds, stepped steps
		step := new(Pane)
		for i := 1; i <= 150; i++ {
			p := new(Pane)
			for range []int{0, 3, 3, 3, 3, 3, heavy + 9}[r.IntN(7)] {
				request(p, r.Uint64N(900), r.Uint64N(300), r.Uint64N(50))
			}
			step.Merge(p)
			seconds = append(seconds, p)
			copied := new(Pane)
			copied.Merge(p)
			second++
			s.Take(second, copied)
			s.Close(second)
			if i%every == 0 {
				s.Step()
				stepped, step = append(stepped, step), new(Pane)
			}
			want := seconds.merge(Short)
			if got := s.Read(); got != readingOf(want) {
				t.Fatalf("steps of %d s, second %d: read %+v, want %+v", every, i, got, readingOf(want))
			}
			if i%every == 0 {
				var d Detail
				s.Detail(TenMinutes, &d)
				same(t, i, &d, stepped.merge(60))
			}
		}
	}
}

func TestMinuteAndTenMinutesAreSumsOfSteps(t *testing.T) {
	var s Site
	s.Close(1_000_000)
	for step := range 200 {
		p := new(Pane)
		p.Counts[Requests] = uint64(step)
		s.Take(int64(1_000_001+step*Short), p)
		s.Close(int64(1_000_000 + (step+1)*Short))
		s.Step()
		var minute, long uint64
		for back := range 60 {
			if step >= back {
				long += uint64(step - back)
				if back < 6 {
					minute += uint64(step - back)
				}
			}
		}
		if s.Minute()[Requests] != minute || s.Long()[Requests] != long {
			t.Fatalf("step %d: %d and %d, want %d and %d", step, s.Minute()[Requests], s.Long()[Requests], minute, long)
		}
	}
}

func TestALongGapForgets(t *testing.T) {
	var s Site
	take := func(second int64) {
		p := new(Pane)
		for n := range uint64(9) {
			request(p, n, n, n)
		}
		s.Take(second, p)
		s.Close(second)
	}
	take(5_000)
	s.Step()
	take(5_001)
	s.Close(5_500) // more than ten seconds, less than ten minutes
	s.Step()
	if short, minute, long := s.Short()[Requests], s.Minute()[Requests], s.Long()[Requests]; short != 0 || minute != 0 || long != 9 {
		t.Errorf("%d, %d and %d requests after eight minutes of nothing", short, minute, long)
	}
	s.Close(9_000)
	s.Step()
	var d Detail
	s.Detail(TenMinutes, &d)
	if d.Counts[Requests] != 0 || d.Clients != 0 || d.Duration.Known() {
		t.Errorf("%+v after an hour of nothing", d)
	}
	if s.estate.Used() > 100 {
		t.Errorf("%d bytes are kept of nothing", s.estate.Used())
	}
}

// TestBudget: a site that takes more than its share loses its oldest sketches and says so;
// one that does not, loses nothing; no count is lost.
func TestBudget(t *testing.T) {
	const budget = 600_000
	e := NewEstate(budget)
	busy, quiet := NewSite(e), NewSite(e)
	r := rand.New(rand.NewPCG(3, 4))
	second := int64(1_795_000_000)
	busy.Close(second)
	quiet.Close(second)
	var all, few steps
	for range 70 {
		at := second
		play(busy, &second, r, 100, &all)
		play(quiet, &at, r, 1, &few)
		if e.Used() > budget*5/4 {
			t.Fatalf("%d bytes of %d", e.Used(), budget)
		}
	}
	var d Detail
	busy.Detail(TenMinutes, &d)
	if d.Seconds >= 600 || d.Seconds < 60 || d.Counts[Requests] != 60*10*100 {
		t.Errorf("the busy site's ten minutes cover %d s and count %d requests", d.Seconds, d.Counts[Requests])
	}
	if got, want := d.Clients, all.merge(d.Seconds/Short).Clients.Estimate(); got != want {
		t.Errorf("%v clients in the %d s that are covered, want %v", got, d.Seconds, want)
	}
	quiet.Detail(TenMinutes, &d)
	if d.Seconds != 600 {
		t.Errorf("the quiet site's ten minutes cover %d s", d.Seconds)
	}
	same(t, 70, &d, few.merge(60))
	busy.Drop()
	quiet.Drop()
	if e.Used() != 0 || e.sites != 0 {
		t.Errorf("%d bytes, %d sites are left", e.Used(), e.sites)
	}
}

// TestNames: what a key is called is known minutes later, though steps are kept without it.
func TestNames(t *testing.T) {
	s := NewSite(NewEstate(DefaultBudget))
	second := int64(1_795_000_000)
	s.Close(second)
	for step := range 60 {
		p := new(Pane)
		for n := range uint64(40) {
			p.Counts[Requests]++
			p.Tallies[ByAgent].Insert(hash(n+uint64(step+1)*1000), 1, []byte("once"))
			if step < 3 {
				p.Tallies[ByAgent].Insert(hash(7), 4, []byte("sqlmap/1.8"))
				p.Counts[Requests] += 4
			}
		}
		s.Take(second+1, p)
		second += Short
		s.Close(second)
		s.Step()
	}
	var d Detail
	s.Detail(TenMinutes, &d)
	top := d.Top[ByAgent]
	if len(top) != 1 || !bytes.Equal(top[0].Name, []byte("sqlmap/1.8")) || top[0].Least != 480 {
		t.Errorf("%+v", top)
	}
}
