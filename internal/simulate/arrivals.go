package simulate

import (
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

// source is an endless (or, for the attack, finite) stream of visits to one site.
type source interface {
	// next is the next visit; false when there are no more.
	next() (*Visit, bool)
}

// slot is the span over which the rate of random arrivals is constant.
const slot = time.Minute

// arrivals come at random, in a way that is no Poisson process: the rate follows
// the day and wanders by itself, and links that are shared bring clusters.
type arrivals struct {
	site    *Site
	seed    uint64
	r       *rand.Rand
	rate    float64 // visits/s, mean over a day
	day     float64 // how much of the day's rhythm it follows, 0 to 1
	start   time.Time
	at      time.Duration // end of the slots drawn so far
	mood    float64       // log of the rate's own wandering
	shares  bool
	begin   func(r *rand.Rand, number uint64, w wanted) (Actor, script)
	pending []wanted
	count   uint64
}

// wanted is a visit still to be made.
type wanted struct {
	at      time.Duration
	to      *Resource // a shared link's page, nil for any
	preview bool
}

// Spread of the wandering (of the logarithm), and how much of it stays from one
// slot to the next.
const (
	moodSpread = .25
	moodStays  = .93
)

func (s *arrivals) next() (*Visit, bool) {
	for len(s.pending) == 0 || s.pending[0].at >= s.at {
		s.fill()
	}
	w := s.pending[0]
	s.pending = s.pending[1:]
	s.count++
	actor, script := s.begin(stream(s.seed, s.count), s.count, w)
	return &Visit{Start: w.at, Site: s.site, Actor: actor, script: script}, true
}

// fill draws one more slot.
func (s *arrivals) fill() {
	r := s.r
	s.mood = moodStays*s.mood + math.Sqrt(1-moodStays*moodStays)*moodSpread*r.NormFloat64()
	rhythm := 1 + s.day*(daily(s.start.Add(s.at))-1)
	mean := s.rate * slot.Seconds() * rhythm * math.Exp(s.mood-moodSpread*moodSpread/2)
	for range poisson(r, mean) {
		s.pending = append(s.pending, wanted{at: s.at + time.Duration(r.Int64N(int64(slot)))})
	}
	if s.shares && chance(r, min(.5, sharesPerVisit*mean)) {
		s.share(mean)
	}
	s.at += slot
	sort.SliceStable(s.pending, func(i, j int) bool { return s.pending[i].at < s.pending[j].at })
}

// sharesPerVisit is how many links are posted somewhere for every visit.
const sharesPerVisit = 1. / 1500

// share posts a link: services look at it at once, people over some minutes.
func (s *arrivals) share(mean float64) {
	r, to := s.r, s.site.page(s.r)
	at := s.at + time.Duration(r.Int64N(int64(slot)))
	for range 2 + r.IntN(10) {
		s.pending = append(s.pending, wanted{at + time.Duration(r.ExpFloat64()*20e9), to, true})
	}
	people := min(60, 6*math.Pow(r.Float64(), -.7)) * min(1, .3+mean/20)
	for range int(people) {
		s.pending = append(s.pending, wanted{at + time.Duration(r.ExpFloat64()*240e9), to, false})
	}
}

// daily is the day's rhythm of people, with mean 1.
func daily(t time.Time) float64 {
	t = t.UTC()
	h := float64(t.Hour()) + float64(t.Minute())/60
	return 1 + .45*math.Cos(2*math.Pi*(h-16.5)/24) + .12*math.Cos(4*math.Pi*(h-20)/24)
}

// rounds are programs that come once a period, each at its own time.
type rounds struct {
	site   *Site
	seed   uint64
	r      *rand.Rand
	period time.Duration
	due    queue[uint64]
	make   clientMaker
	a      *audience
	count  uint64
}

func newRounds(a *audience, site *Site, seed uint64, from, period time.Duration, programs int, make clientMaker) *rounds {
	s := &rounds{site: site, seed: seed, r: stream(seed), period: period, make: make, a: a}
	for i := range programs {
		s.due.push(int64(from)+s.r.Int64N(int64(period)), uint64(i))
	}
	return s
}

func (s *rounds) next() (*Visit, bool) {
	at, program := s.due.pop()
	s.due.push(at+int64(float64(s.period)*(.99+.02*s.r.Float64())), program)
	s.count++
	actor, script := s.make(s.a, s.site, program, stream(s.seed, s.count))
	return &Visit{Start: time.Duration(at), Site: s.site, Actor: actor, script: script}, true
}
