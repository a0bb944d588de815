package simulate

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// reading is a person's visit: a page, its assets, a pause, the next page; a
// failed page is tried again once or twice.
type reading struct {
	a       *audience
	site    *Site
	r       *rand.Rand
	who     identity
	client  netip.Addr
	tls     string
	cookie  bool
	cached  bool // has the site's shared assets
	joined  bool // speaks as an attack does that was there before
	pages   int  // still to see
	reloads int  // still to try
	referer string
	uri     string
	suffix  string // query of the link that they come by
	current *Resource
	state   int
}

const (
	entering = iota
	waiting  // for the page
	loading  // its assets
	over
)

// visitOf begins a person's visit. known people have been here before; to is the
// page that they come for, nil for any.
func (a *audience) visitOf(site *Site, r *rand.Rand, number uint64, known bool, to *Resource) (Actor, script) {
	v := &reading{a: a, site: site, r: r, who: a.person(number)}
	if a.updated > 0 {
		v.who.update(a.updated, mix(number, label("update")))
	}
	v.client = v.who.address(r)
	v.tls = v.who.tls.connection(r)
	v.cookie = known && site.cookies && v.who.cookies && !chance(r, .15)
	v.cached = known && !chance(r, .3)
	v.pages = geometric(r, 2.8, 40)
	v.reloads = r.IntN(3) + site.reloads
	v.current = to
	v.referer = v.source(to != nil)
	return Actor{Person, v.who.id}, v
}

// source is where a visit comes from: a bookmark or an application without
// referer, a search engine, another site.
func (v *reading) source(shared bool) string {
	at := v.r.Float64()
	if !v.who.referer || at < .36 || shared && at < .6 {
		return ""
	}
	switch {
	case at < .75:
		return "https://www.google.com/"
	case at < .82:
		return one(v.r, []string{"https://duckduckgo.com/", "https://www.bing.com/", "https://www.ecosia.org/"})
	case at < .9:
		return one(v.r, []string{"https://news.example.com/", "https://social.example.net/", "https://t.co/", "https://www.reddit.com/"})
	}
	return "https://" + one(v.r, words) + ".example.com/"
}

func (v *reading) next(answers []Answer) (Step, bool) {
	switch v.state {
	case entering:
		v.choose(v.current)
		return v.page(0), true
	case waiting:
		return v.answered(answers[0])
	case loading:
		return v.onward()
	}
	return Step{}, false
}

// answered goes on after the page's answer.
func (v *reading) answered(a Answer) (Step, bool) {
	switch {
	case a.failed():
		if v.reloads == 0 || !chance(v.r, .7) {
			return v.leave()
		}
		v.reloads--
		return v.page(time.Duration(logNormal(v.r, 2, .8) * float64(time.Second))), true
	case a.refused():
		return v.leave()
	case a.Status == 301: // to where it is now
		v.state = entering
		v.suffix = "" // and no other way round
		for to, old := range v.site.moved {
			if old == v.current.Path {
				v.current, v.uri = to, to.Path
				break
			}
		}
		return v.page(time.Duration(20+v.r.IntN(100)) * ms), true
	case a.Status >= 400:
		if !chance(v.r, .5) {
			return v.leave()
		}
		return v.onward()
	}
	v.cookie = v.site.cookies && v.who.cookies
	assets := v.assets()
	if len(assets) == 0 {
		return v.onward()
	}
	v.state = loading
	return Step{After: time.Duration(20+v.r.IntN(120)) * ms, Requests: assets}, true
}

func (v *reading) leave() (Step, bool) {
	v.state = over
	return Step{}, false
}

// onward is the next page, reached from this one.
func (v *reading) onward() (Step, bool) {
	v.pages--
	if v.pages <= 0 {
		return v.leave()
	}
	v.referer = ""
	if v.who.referer && !chance(v.r, .02) {
		v.referer = v.a.scheme() + v.site.Name + v.uri
	}
	if v.current.Method != "GET" { // it sent them on to a page
		v.choose(v.site.page(v.r))
		return v.page(time.Duration(20+v.r.IntN(100)) * ms), true
	}
	if v.current.Status < 400 && chance(v.r, .12) {
		v.choose(one(v.r, v.site.actions))
	} else {
		v.choose(nil)
	}
	pause := min(logNormal(v.r, 14, 1.1), 900)
	if pause > 75 { // nginx has closed the connection
		v.tls = v.who.tls.connection(v.r)
	}
	return v.page(time.Duration(pause * float64(time.Second))), true
}

// choose takes a page, or what somebody once linked to and is gone.
func (v *reading) choose(to *Resource) {
	switch {
	case to != nil:
	case chance(v.r, .015):
		v.current, v.uri = v.site.missing, deadLink(v.r, v.site)
		return
	default:
		to = v.site.page(v.r)
	}
	v.current, v.uri = to, to.uri(v.r)
	if v.state == entering && v.suffix != "" {
		v.uri += "?" + v.suffix
		return
	}
	if old := v.site.moved[to]; old != "" && v.state == entering && chance(v.r, .5) {
		v.current, v.uri = v.site.known[old], old
		return
	}
	if to.query == nil && v.state == entering && chance(v.r, .03) {
		v.uri += "?utm_source=" + one(v.r, []string{"newsletter", "social", "mail"}) + "&utm_medium=link"
	}
}

func (v *reading) page(after time.Duration) Step {
	v.state = waiting
	q := v.request(v.current, v.uri, v.referer)
	q.Patience = time.Duration(logNormal(v.r, v.who.patience, .4) * float64(time.Second))
	return Step{After: after, Requests: []Request{q}}
}

func (v *reading) request(x *Resource, uri, referer string) Request {
	q := v.a.request(&v.who.profile, v.site, v.client, v.tls, x, uri)
	q.Referer, q.Cookie, q.joined = referer, v.cookie, v.joined
	return q
}

// assets are what the page needs that the browser has not: the shared ones on the
// first page, its own pictures on each.
func (v *reading) assets() []Request {
	if !v.who.assets || v.current.Method != "GET" {
		return nil
	}
	referer := ""
	if v.who.referer {
		referer = v.a.scheme() + v.site.Name + v.uri
	}
	var step []Request
	add := func(x *Resource, kept bool) {
		q := v.request(x, x.Path, referer)
		q.Conditional = kept
		q.Delay = time.Duration(v.r.IntN(60)+25*len(step)) * ms
		step = append(step, q)
	}
	for _, x := range v.site.shared {
		if !v.cached {
			add(x, false)
		} else if chance(v.r, .02) {
			add(x, true)
		}
	}
	if !v.cached && chance(v.r, .4) {
		add(v.site.known["/favicon.ico"], false)
	}
	v.cached = true
	for _, x := range v.current.assets {
		if !chance(v.r, .15) {
			add(x, false)
		}
	}
	// Delays are drawn with overlap: browsers ask for several at once.
	for i := 1; i < len(step); i++ {
		for j := i; j > 0 && step[j].Delay < step[j-1].Delay; j-- {
			step[j], step[j-1] = step[j-1], step[j]
		}
	}
	return step
}
