package simulate

import (
	"math/rand/v2"
	"net/netip"
	"sort"
	"strconv"
	"time"
)

// crowd is visits that have a reason in common: many within minutes.
type crowd struct {
	site  *Site
	seed  uint64
	times []time.Duration
	begin func(r *rand.Rand, number uint64) (Actor, script)
	count uint64
}

// crowd makes n visits from a moment on, most within the given time, a few long after.
func (st *stage) crowd(name string, n int, from, mostly time.Duration, begin func(r *rand.Rand, number uint64) (Actor, script)) *crowd {
	c := &crowd{site: st.site, seed: mix(st.seed, label(name)), begin: begin}
	r := stream(c.seed)
	for range n {
		c.times = append(c.times, from+time.Duration((r.ExpFloat64()+.15*r.ExpFloat64())*float64(mostly)))
	}
	sort.Slice(c.times, func(i, j int) bool { return c.times[i] < c.times[j] })
	return c
}

// spread makes n visits evenly over the scene.
func (st *stage) spread(name string, n int, begin func(r *rand.Rand, number uint64) (Actor, script)) *crowd {
	c := &crowd{site: st.site, seed: mix(st.seed, label(name)), begin: begin}
	r := stream(c.seed)
	for range n {
		c.times = append(c.times, st.begin+time.Duration(r.Float64()*float64(st.end-st.begin)))
	}
	sort.Slice(c.times, func(i, j int) bool { return c.times[i] < c.times[j] })
	return c
}

// throughout makes visits at random at a rate, from the log's begin on: what is normal for
// this site and the theme does not have.
func (st *stage) throughout(name string, rate float64, begin func(r *rand.Rand, number uint64) (Actor, script)) *crowd {
	c := &crowd{site: st.site, seed: mix(st.seed, label(name)), begin: begin}
	r := stream(c.seed)
	for at := time.Duration(0); at < st.end; {
		at += time.Duration(r.ExpFloat64() / rate * float64(time.Second))
		c.times = append(c.times, at)
	}
	return c
}

func (c *crowd) next() (*Visit, bool) {
	if int(c.count) == len(c.times) {
		return nil, false
	}
	at := c.times[c.count]
	c.count++
	actor, script := c.begin(stream(c.seed, c.count), c.count)
	return &Visit{Start: at, Site: c.site, Actor: actor, script: script}, true
}

// visitor is somebody new who comes by a link from another page.
func (st *stage) visitor(to *Resource, referer string) func(*rand.Rand, uint64) (Actor, script) {
	return func(r *rand.Rand, number uint64) (Actor, script) {
		actor, s := st.a.visitOf(st.site, r, mix(st.seed, label("visitor"), number)>>24, false, to)
		v := s.(*reading)
		if v.who.referer && chance(r, .7) { // others come from an application
			v.referer = referer
		}
		v.pages = 1
		if chance(r, .25) {
			v.pages = geometric(r, 2.5, 10)
		}
		return actor, v
	}
}

// reader is somebody on the newsletter's list: known here or not, with a link of their own.
func (st *stage) reader(to *Resource) func(*rand.Rand, uint64) (Actor, script) {
	return func(r *rand.Rand, number uint64) (Actor, script) {
		n, known := mix(st.seed, label("reader"), number)>>24, false
		if chance(r, .4) {
			n, known = mix(label(st.site.Name), uint64(2000*r.Float64()))>>24, true
		}
		actor, s := st.a.visitOf(st.site, r, n, known, to)
		v := s.(*reading)
		v.referer = ""
		v.suffix = "utm_source=newsletter&utm_campaign=" + strconv.Itoa(int(st.c.Seed%90)+10) + "&mc_eid=" + text(r, hexDigits, 10)
		return actor, v
	}
}

// colleague is somebody behind an office's one address.
func (st *stage) colleague(office netip.Addr) func(*rand.Rand, uint64) (Actor, script) {
	return func(r *rand.Rand, number uint64) (Actor, script) {
		actor, s := st.a.visitOf(st.site, r, mix(st.seed, label("colleague"), number)>>24, chance(r, .3), nil)
		v := s.(*reading)
		v.client = office
		if chance(r, .8) { // the same installation for all
			v.who.agent, v.who.protocol, v.who.tls = families[3].at(152), "HTTP/2.0", tlsChrome
			v.who.language, v.who.encoding = locales[0].chromium, "gzip, deflate, br, zstd"
			v.tls = v.who.tls.connection(r)
		}
		return actor, v
	}
}

// oneStep is a program's visit.
func (st *stage) oneStep(kind Kind, id string, do *pace) (Actor, script) {
	return Actor{kind, id}, do.script()
}

// servers are n machines that each speak for themselves: their addresses.
func (st *stage) server(kind string, number uint64) (string, netip.Addr, *rand.Rand) {
	id, address, own := st.a.program(kind, number)
	return id, address, own
}
