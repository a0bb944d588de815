package detect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/weir-project/weir/processor/baseline"
)

// The adversary's turn: what may be done to a site without being noticed. Both tests print a
// table, which docs/threat-model.md shows, the whole of it, in a quarter of a minute, by:
//
//	WEIR_LONG=1 go test ./processor/detect -run 'TestHidingUnderTheThresholds|TestRampingTheBaseline' -v

// whole gives all rows where WEIR_LONG is set, else the first ones.
func whole[T any](rows []T, first int) []T {
	if os.Getenv("WEIR_LONG") != "" {
		return rows
	}
	return rows[:first]
}

// sized is the ordinary window of a site with so many requests a second, with chance in it:
// ups and downs of a fifth that all counts share, and each its own.
func sized(perSecond float64, r *rand.Rand) seen {
	s, by := ordinary, perSecond/5*math.Exp(.2*r.NormFloat64())
	for _, v := range []*float64{&s.requests, &s.clients, &s.fresh, &s.missing, &s.unknown, &s.unfamiliar, &s.notFound, &s.pages, &s.paths, &s.loading, &s.distinct, &s.work} {
		*v = poisson(*v*by, r)
	}
	s.clients = max(s.clients, s.loading, s.fresh, s.missing, s.unknown, s.unfamiliar)
	s.requests = max(s.requests, s.clients, s.pages, s.paths)
	s.distinct, s.loading = min(s.distinct, s.pages), min(s.loading, s.clients*(1-s.declared))
	s.entropy += math.Log2(1 + perSecond/20)
	return s
}

func poisson(mean float64, r *rand.Rand) float64 {
	if mean > 50 {
		return max(0, math.Round(mean+math.Sqrt(mean)*r.NormFloat64()))
	}
	n, limit := 0.0, math.Exp(-mean)
	for p := r.Float64(); p > limit; p *= r.Float64() {
		n++
	}
	return n
}

// hidden are attacks by clients of one page each in ten seconds; add puts n of them into a window.
var hidden = []struct {
	name string
	add  func(s *seen, n float64)
}{
	{"pages that are not there", func(s *seen, n float64) {
		s.missing, s.unknown, s.unfamiliar, s.notFound = s.missing+n, s.unknown+n, s.unfamiliar+n, s.notFound+n
	}},
	{"pages that are there, visitors' programs", func(*seen, float64) {}},
	{"full browsers, six assets a page", func(s *seen, n float64) {
		s.loading, s.requests, s.paths = s.loading+n, s.requests+6*n, s.paths+n/4
	}},
}

func (s *seen) hide(n float64, add func(*seen, float64)) {
	declared := s.declared * s.clients
	s.requests, s.clients, s.fresh, s.pages, s.paths, s.distinct = s.requests+n, s.clients+n, s.fresh+n, s.pages+n, s.paths+n, s.distinct+n
	s.work += n / 10
	s.declared = declared / s.clients
	add(s, n)
}

// siege is a site under what hides, in windows of ten seconds, and what it has learned.
type siege struct {
	base  *baseline.Site
	state State
	tail  Tail
	r     *rand.Rand
	size  float64
}

func besieged(size float64) *siege {
	g := &siege{base: baseline.New(Scales()), r: rand.New(rand.NewPCG(6, uint64(size*8))), size: size}
	for i := range 3 * 8640 { // three days
		s := sized(size, g.r)
		reading := s.reading()
		g.base.Learn(i/360%168, reading.Even[:])
	}
	return g
}

// step plays ten seconds, and reports whether that is an attack now. It learns as a site does.
func (g *siege) step(at int, n float64, add func(*seen, float64)) bool {
	s := sized(g.size, g.r)
	if n > 0 {
		s.hide(poisson(n, g.r), add)
	}
	reading, hour := s.reading(), at/360%168
	scores := Score(g.base, hour, &reading)
	scores.Limits = LimitsOf(&g.tail, 1, 1)
	g.state.Drift(int64(10*at), &reading, &scores)
	for second := range int64(10) {
		g.state.Step(int64(10*at)+second, &reading, &scores)
	}
	if !g.state.Open && !g.state.Doubtful() {
		g.base.Learn(hour, reading.Even[:])
		g.tail.Learn(Evidence(&reading, &scores))
	}
	return g.state.Open && g.state.Kind.Attack()
}

// TestHidingUnderTheThresholds: from how many clients a second on an attack that stays constant
// is noticed within an hour, per size of site. What is below is left to the attacker.
func TestHidingUnderTheThresholds(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n| site, requests/s |")
	for _, a := range hidden {
		fmt.Fprintf(&table, " %s |", a.name)
	}
	for _, size := range whole([]float64{5, 1, 50, 500}, 1) {
		fmt.Fprintf(&table, "\n| %.0f |", size)
		for _, a := range hidden {
			within := func(rate float64) (seconds int) {
				g := besieged(size)
				for i := range 360 {
					if g.step(3*8640+i, 10*rate, a.add) {
						return 10 * (i + 1)
					}
				}
				return 0
			}
			if took := within(0); took != 0 {
				t.Fatalf("%.0f requests/s of visitors are an attack after %d s", size, took)
			}
			rate := .1
			for ; rate < 16*size && within(rate) == 0; rate *= 1.25 {
			}
			fmt.Fprintf(&table, " %.2g |", rate)
			if most := max(4, 2*size); rate > most && a.name != hidden[2].name {
				t.Errorf("%s at a site of %.0f requests/s: noticed from %.2g a second on, not from %.2g", a.name, size, rate, most)
			}
		}
	}
	t.Log(table.String())
}

// TestRampingTheBaseline: how far an attack that grows over so long has come when it is
// noticed, of a site with five requests a second.
func TestRampingTheBaseline(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n| twice the traffic in |")
	for _, a := range hidden {
		fmt.Fprintf(&table, " %s |", a.name)
	}
	for _, hours := range whole([]int{1, 6, 24, 7 * 24, 14 * 24, 30 * 24}, 2) {
		fmt.Fprintf(&table, "\n| %d h |", hours)
		for _, a := range hidden {
			g, at := besieged(5), 0
			for ; at < 3*360*hours; at++ { // to four times the traffic
				if g.step(3*8640+at, 50*float64(at)/float64(360*hours), a.add) {
					break
				}
			}
			times := 1 + float64(at)/float64(360*hours)
			if at == 3*360*hours {
				fmt.Fprintf(&table, " never |")
			} else {
				fmt.Fprintf(&table, " at %.1f times |", times)
			}
			if a.name != hidden[2].name && hours <= 24 && times > 3 {
				t.Errorf("%s, doubled in %d h: noticed at %.1f times the traffic", a.name, hours, times)
			}
		}
	}
	t.Log(table.String())
}
