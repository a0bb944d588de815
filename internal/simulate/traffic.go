package simulate

import (
	"math"
	"math/rand/v2"
	"time"
)

// warmUp is how long before the log's begin people begin to come, so that it
// begins in the middle of things.
const warmUp = 10 * time.Minute

// Traffic is everybody's visits to an estate, in the order in which they begin.
// It is not for concurrent use; the visits that it yields are independent of it.
type Traffic struct {
	config Config
	sites  []*Site
	queue  queue[coming]
}

type coming struct {
	visit *Visit
	from  source
}

// NewTraffic builds the estate and its audience.
func NewTraffic(c Config) (*Traffic, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	t := &Traffic{config: c}
	a := &audience{seed: c.Seed, plain: c.Plain, network: newNetwork(c.Seed), browsers: newBrowsers(c.abroad)}
	for i := range c.Sites {
		site := newSite(&c.Sites[i], c.Seed, c.Scale)
		t.sites = append(t.sites, site)
		for _, from := range ordinary(a, site, c.Start) {
			t.draw(from)
		}
		if site.Name == c.AttackSite() {
			t.draw(newBotnet(a, site, &c))
		}
	}
	if c.scene != nil {
		for _, from := range c.scene.sources(&t.config, a, t.sites) {
			t.draw(from)
		}
	}
	return t, nil
}

// Sites are the estate's sites, in the Config's order.
func (t *Traffic) Sites() []*Site { return t.sites }

// Next is the next visit. Ordinary visits never end; the caller stops by Start.
func (t *Traffic) Next() *Visit {
	_, c := t.queue.pop()
	t.draw(c.from)
	return c.visit
}

func (t *Traffic) draw(from source) {
	if v, ok := from.next(); ok {
		t.queue.push(int64(v.Start), coming{v, from})
	}
}

// ordinary is who normally comes to a site.
func ordinary(a *audience, site *Site, start time.Time) []source {
	// Another start draws other visits of the same regulars and programs.
	seed := mix(a.seed, label(site.Name), uint64(start.Unix()))
	t := themes[site.Theme]
	var all []source
	random := func(name string, share, day float64, begin func(*rand.Rand, uint64, wanted) (Actor, script)) *arrivals {
		s := &arrivals{site: site, seed: mix(seed, label(name)), start: start, at: -warmUp, day: day, begin: begin}
		s.r = stream(s.seed, label("arrivals"))
		s.mood = moodSpread * s.r.NormFloat64()
		s.rate = site.rate * share / length(s.seed, func(r *rand.Rand, n uint64) (Actor, script) { return begin(r, n, wanted{}) })
		if share > 0 {
			all = append(all, s)
		}
		return s
	}
	client := func(make clientMaker) func(*rand.Rand, uint64, wanted) (Actor, script) {
		return func(r *rand.Rand, n uint64, _ wanted) (Actor, script) { return make(a, site, n, r) }
	}
	periodic := func(name string, share float64, period time.Duration, make clientMaker) {
		if share == 0 {
			return
		}
		own := mix(seed, label(name))
		each := length(own, func(r *rand.Rand, n uint64) (Actor, script) { return make(a, site, n, r) })
		programs := max(1, int(math.Round(site.rate*share/each*period.Seconds())))
		all = append(all, newRounds(a, site, own, -warmUp, period, programs, make))
	}
	people := &regulars{a: a, site: site, start: start}
	p := random("people", 1-t.feeds-t.monitors-t.crawlers-t.scripts-t.scanners-t.clients, 1, people.begin)
	p.shares = true
	people.pool = 50 + .8*p.rate*86400
	random("crawlers", t.crawlers, 0, client(crawlVisit))
	random("scripts", t.scripts, .5, client(scriptVisit))
	random("scanners", t.scanners, 0, client(scanVisit))
	periodic("feeds", t.feeds, 30*time.Minute, feedVisit)
	periodic("monitors", t.monitors, time.Minute, monitorVisit)
	if t.period > 0 {
		periodic("clients", t.clients, t.period, t.client)
	} else {
		random("clients", t.clients, .6, client(t.client))
	}
	return all
}

// regulars says which people come to a site: those who have been there on earlier
// days, new ones, and new ones once more.
type regulars struct {
	a     *audience
	site  *Site
	start time.Time
	pool  float64 // how many there are
	fresh uint64  // new ones so far
}

func (p *regulars) begin(r *rand.Rand, number uint64, w wanted) (Actor, script) {
	if w.preview {
		return previewVisit(p.a, p.site, number, r, w.to)
	}
	here := label(p.site.Name)
	switch at := r.Float64(); {
	case at < .12: // regulars of the whole estate
		n := uint64(1000 * r.Float64() * r.Float64())
		return p.a.visitOf(p.site, r, mix(label("regular"), n)>>24, true, w.to)
	case at < .45: // the site's own, some of them much more regular than others
		n := uint64(p.pool * r.Float64() * r.Float64())
		return p.a.visitOf(p.site, r, mix(here, n)>>24, true, w.to)
	case at < .57 && p.fresh > 0:
		back := uint64(r.Int64N(int64(min(p.fresh, 2000))))
		return p.a.visitOf(p.site, r, mix(here, uint64(p.start.Unix()), p.fresh-back)>>24, true, w.to)
	}
	p.fresh++
	return p.a.visitOf(p.site, r, mix(here, uint64(p.start.Unix()), p.fresh)>>24, false, w.to)
}

// length is the mean number of requests of a source's visits while all is well,
// so that a site's traffic has the rate that was asked for.
func length(seed uint64, begin func(r *rand.Rand, number uint64) (Actor, script)) float64 {
	const sample = 200
	requests := 0
	for i := range uint64(sample) {
		_, s := begin(stream(seed, label("length"), i), i)
		var answers []Answer
		for {
			step, ok := s.next(answers)
			if !ok {
				break
			}
			answers = answers[:0]
			for j := range step.Requests {
				answers = append(answers, Answer{Status: step.Requests[j].resource.Status})
			}
			requests += len(step.Requests)
		}
	}
	return max(1, float64(requests)/sample)
}
