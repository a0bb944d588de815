package simulate

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// clientMaker makes a visit of the program with a number; r is the visit's own.
type clientMaker func(a *audience, site *Site, number uint64, r *rand.Rand) (Actor, script)

// pace adds requests to a step, one after another.
type pace struct {
	step Step
	at   time.Duration
}

func (p *pace) add(q Request) {
	q.Delay = p.at
	p.step.Requests = append(p.step.Requests, q)
}

// wait lets about so much time pass.
func (p *pace) wait(r *rand.Rand, median time.Duration) {
	p.at += time.Duration(logNormal(r, float64(median), .5))
}

func (p *pace) script() script { return &once{step: p.step} }

func feedVisit(a *audience, site *Site, number uint64, r *rand.Rand) (Actor, script) {
	id, address, own := a.program("f", number)
	p := one(own, feedReaders)
	feed := one(own, site.feeds)
	tls, do := p.tls.connection(r), pace{}
	changed := chance(r, .1)
	q := a.request(&p, site, address, tls, feed, feed.Path)
	q.Conditional = !changed && !chance(own, .2) // some ask without
	do.add(q)
	if changed && chance(r, .3) {
		do.wait(r, time.Second)
		page := site.page(r)
		do.add(a.request(&p, site, address, tls, page, page.uri(r)))
	}
	return Actor{Tool, id}, do.script()
}

func monitorVisit(a *audience, site *Site, number uint64, r *rand.Rand) (Actor, script) {
	id, address, own := a.program("m", number)
	p := one(own, monitors)
	page, do := site.pages[0], pace{}
	q := a.request(&p, site, address, p.tls.connection(r), page, page.Path)
	if chance(own, .4) {
		q.Method = "HEAD"
	}
	q.Patience = 10 * time.Second
	do.add(q)
	return Actor{Monitor, id}, do.script()
}

// crawlVisit is a while of a crawler's: pages, now and then one that is gone, and
// addresses made up to see how the site says "not found".
func crawlVisit(a *audience, site *Site, _ uint64, r *rand.Rand) (Actor, script) {
	weights := make([]float64, len(crawlers))
	for i := range crawlers {
		weights[i] = crawlers[i].weight
	}
	c := &crawlers[newTable(weights).pick(r)]
	address, do := crawlAddress(r, c), pace{}
	tls := c.tls.connection(r)
	if chance(r, .3) {
		do.add(a.request(&c.profile, site, address, tls, site.robots, site.robots.Path))
		do.wait(r, 2*time.Second)
	}
	for range geometric(r, 6, 60) {
		// Crawlers walk the whole tree, not its popular end.
		page := one(r, site.pages)
		uri := page.uri(r)
		switch at := r.Float64(); {
		case at < .06:
			page, uri = site.missing, deadLink(r, site)
		case at < .07:
			page, uri = site.missing, "/"+text(r, lower+digits, 10)+".html"
		case at < .10 && len(page.assets) > 0:
			page = one(r, page.assets)
			uri = page.Path
		}
		q := a.request(&c.profile, site, address, tls, page, uri)
		q.Conditional = page.Kept && chance(r, .5)
		do.add(q)
		do.wait(r, 9*time.Second)
	}
	return Actor{Crawler, "c" + address.String()}, do.script()
}

func crawlAddress(r *rand.Rand, c *crawler) netip.Addr {
	b := netip.MustParseAddr(c.network).As4()
	b[3] = byte(1 + r.IntN(30)) // few machines, often seen
	return netip.AddrFrom4(b)
}

// previewVisit is a service that looks at a link that somebody posted.
func previewVisit(a *audience, site *Site, number uint64, r *rand.Rand, to *Resource) (Actor, script) {
	id, address, own := a.program("l", number)
	p, do := one(own, previews), pace{}
	do.add(a.request(&p, site, address, p.tls.connection(r), to, to.uri(r)))
	if len(to.assets) > 0 && chance(r, .5) {
		do.wait(r, 300*ms)
		do.add(a.request(&p, site, address, p.tls.connection(r), to.assets[0], to.assets[0].Path))
	}
	return Actor{Tool, id}, do.script()
}

// scriptVisit is somebody's script. A few call themselves a browser.
func scriptVisit(a *audience, site *Site, _ uint64, r *rand.Rand) (Actor, script) {
	// 150 scripts, some busier than others.
	id, address, own := a.program("s", label(site.Name)+uint64(150*r.Float64()*r.Float64()))
	p, do := one(own, scripts), pace{}
	if chance(own, .02) {
		p.agent = listedAgent(own)
	}
	for range geometric(r, 2, 12) {
		page := site.page(r)
		do.add(a.request(&p, site, address, p.tls.connection(r), page, page.uri(r)))
		do.wait(r, 1500*ms)
	}
	return Actor{Tool, id}, do.script()
}

// scanVisit is background noise: a list of known holes, tried in a row.
func scanVisit(a *audience, site *Site, number uint64, r *rand.Rand) (Actor, script) {
	id, address, own := a.program("x", mix(label(site.Name), number)>>24)
	p := one(own, scripts)
	p.tls = one(own, []tlsProfile{tlsOpenSSL, tlsGo, tlsOld})
	if chance(own, .6) {
		p.agent = listedAgent(own)
	}
	if chance(own, .3) {
		p.language = "en-US,en;q=0.5"
	}
	do := pace{}
	for range geometric(r, 7, 60) {
		path := one(r, probes)
		if chance(r, .12) {
			path = "/" + text(r, lower+digits, 4+r.IntN(9))
		}
		x := site.Resource("GET", path)
		if chance(r, .08) {
			x = site.pages[0]
			path = "/"
		}
		q := a.request(&p, site, address, p.tls.connection(r), x, path)
		if x == site.missing && chance(r, .08) {
			q.Method = "POST"
		}
		do.add(q)
		do.wait(r, 700*ms)
	}
	return Actor{Scanner, id}, do.script()
}

func listedAgent(r *rand.Rand) string {
	f, version := listed(r)
	return f.at(version)
}

// apiVisit is a program that asks or tells one thing again and again.
func apiVisit(a *audience, site *Site, number uint64, r *rand.Rand) (Actor, script) {
	id, address, own := a.program("a", mix(label(site.Name), number)>>24)
	p, x, do := one(own, apiClients), one(own, site.tools), pace{}
	do.add(a.request(&p, site, address, p.tls.connection(r), x, x.uri(r)))
	return Actor{Tool, id}, do.script()
}

// runner is a build machine's agent; read only.
var runner = library("act_runner/0.2.13", "gzip", "HTTP/2.0", tlsGo)

// gitVisit is a fetch or a clone, or a build machine that asks for work.
func gitVisit(a *audience, site *Site, _ uint64, r *rand.Rand) (Actor, script) {
	do := pace{}
	if chance(r, .5) {
		id, address, _ := a.program("r", uint64(r.IntN(9)))
		x := site.known["POST /api/actions/jobs/request"]
		tls := runner.tls.connection(r)
		for range 5 {
			do.add(a.request(&runner, site, address, tls, x, x.Path))
			do.wait(r, 4*time.Second)
		}
		return Actor{Tool, id}, do.script()
	}
	id, address, own := a.program("g", uint64(600*r.Float64()*r.Float64()))
	p, tls := one(own, gitClients), ""
	tls = p.tls.connection(r)
	i := r.IntN(len(site.tools)/2) * 2
	refs, pack := site.tools[i], site.tools[i+1]
	do.add(a.request(&p, site, address, tls, refs, refs.uri(r)))
	if chance(r, .6) {
		do.wait(r, 150*ms)
		for range 1 + r.IntN(2) {
			do.add(a.request(&p, site, address, tls, pack, pack.Path))
			do.wait(r, 300*ms)
		}
	}
	return Actor{Tool, id}, do.script()
}

// packageVisit is a machine that looks for updates and gets some.
func packageVisit(a *audience, site *Site, _ uint64, r *rand.Rand) (Actor, script) {
	id, address, own := a.program("d", uint64(r.IntN(4000)))
	p, do := one(own, packageManagers), pace{}
	tls := p.tls.connection(r)
	suite := own.IntN(2) * 2
	ask := func(x *Resource, kept bool) {
		q := a.request(&p, site, address, tls, x, x.Path)
		q.Conditional = kept
		do.add(q)
		do.wait(r, 120*ms)
	}
	changed := chance(r, .35)
	ask(site.tools[suite], !changed)
	if changed {
		ask(site.tools[suite+1], false)
		for range geometric(r, 5, 60) {
			ask(site.tools[4+r.IntN(len(site.tools)-4)], false)
		}
	}
	return Actor{Tool, id}, do.script()
}
