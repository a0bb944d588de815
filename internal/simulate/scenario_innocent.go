package simulate

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// innocentScenarios are what looks like an attack and is none.
func innocentScenarios() []Scenario {
	calm := func(name, role, says string, span time.Duration, cast func(*stage, *plot) []source) Scenario {
		return Scenario{Name: name, Says: says, role: role, span: span, build: func(_ *Params, s *plot) {
			s.add(func(st *stage) []source { return cast(st, s) })
		}}
	}
	quiet := calm("quiet", "main", "days and nights, and nothing else", 24*time.Hour, func(*stage, *plot) []source { return nil })
	quiet.Quiet = true
	newborn := calm("newborn", "main", "a new site in its first hour", time.Hour, newbornSite)
	newborn.build = func(p *Params, s *plot) {
		s.newborn = true
		s.add(func(st *stage) []source { return newbornSite(st, s) })
	}
	browser := calm("browser", "main", "a new browser version in a day", 24*time.Hour, newBrowser)
	return []Scenario{
		quiet,
		calm("frontpage", "main", "a crowd from a front page", 40*time.Minute, func(st *stage, s *plot) []source {
			to := st.site.pages[15+int(st.c.Seed%40)]
			return []source{st.crowd("crowd", s.scaled(3000), st.begin, 6*time.Minute, st.visitor(to, "https://news.example.com/")),
				st.crowd("previews", s.scaled(60), st.begin, 3*time.Minute, st.previewOf(to))}
		}),
		calm("newsletter", "shop", "a newsletter with a query of its own for every click", 40*time.Minute, func(st *stage, s *plot) []source {
			return []source{st.crowd("readers", s.scaled(2500), st.begin, 7*time.Minute, st.reader(st.site.pages[30]))}
		}),
		calm("previews", "main", "a link shown by thousands of servers", 20*time.Minute, func(st *stage, s *plot) []source {
			to := st.site.pages[25]
			return []source{st.crowd("previews", s.scaled(4000), st.begin, 40*time.Second, st.previewOf(to)),
				st.crowd("crowd", s.scaled(400), st.begin+20*time.Second, 5*time.Minute, st.visitor(to, "https://social.example.net/"))}
		}),
		calm("release", "packages", "a release that makes every machine update at once", 40*time.Minute, release),
		calm("deploy", "main", "a deploy that breaks pages and assets", 30*time.Minute, brokenDeploy),
		calm("outage", "shop", "an outage; visitors reload", 20*time.Minute, outage),
		calm("hang", "shop", "an application that hangs; visitors wait, give up and try again", 20*time.Minute, hang),
		calm("crawl", "forum", "an eager search engine", 40*time.Minute, eagerCrawl),
		calm("office", "shop", "a course of many people behind one address", 40*time.Minute, func(st *stage, s *plot) []source {
			return []source{st.crowd("office", s.scaled(250), st.begin, 5*time.Minute, st.colleague(st.a.network.offices[3]))}
		}),
		newborn,
		calm("migrated", "main", "a site whose pages have moved", time.Hour, migrated),
		browser,
		calm("webhooks", "shop", "a payment service that catches up", 30*time.Minute, webhooks),
		calm("fediverse", "forum", "an inbox that thousands of servers post to", 40*time.Minute, fediverse),
		calm("farm", "forge", "a build farm that clones", 30*time.Minute, buildFarm),
		calm("partner", "shop", "a partner's daily crawl", 30*time.Minute, partner),
	}
}

func newbornSite(st *stage, s *plot) []source {
	return []source{st.crowd("launch", s.scaled(800), st.begin+15*time.Minute, 15*time.Minute, st.visitor(st.site.pages[0], "https://news.example.com/"))}
}

func (st *stage) previewOf(to *Resource) func(*rand.Rand, uint64) (Actor, script) {
	return func(r *rand.Rand, number uint64) (Actor, script) {
		id, address, own := st.a.program("l", mix(st.seed, number)>>20)
		p := one(own, previews)
		if chance(own, .85) { // a server that names itself
			p = library(fmt.Sprintf("http.rb/5.%d.0 (Mastodon/4.%d.%d; +https://%s%d.example/) Bot", own.IntN(4), 2+own.IntN(4), own.IntN(9), one(own, words), own.IntN(900)), "gzip", "HTTP/1.1", tlsOpenSSL)
		}
		do := &pace{}
		do.add(st.a.request(&p, st.site, address, p.tls.connection(r), to, to.Path))
		return st.oneStep(Tool, id, do)
	}
}

// release: machines that look once a day look now.
func release(st *stage, s *plot) []source {
	return []source{st.crowd("machines", s.scaled(2500), st.begin, 8*time.Minute, func(r *rand.Rand, number uint64) (Actor, script) {
		id, address, own := st.a.program("d", uint64(r.IntN(9000)))
		p, do := one(own, packageManagers), &pace{}
		tls, suite := p.tls.connection(r), own.IntN(2)*2
		ask := func(x *Resource) {
			do.add(st.a.request(&p, st.site, address, tls, x, x.Path))
			do.wait(r, 120*ms)
		}
		ask(st.site.tools[suite])
		ask(st.site.tools[suite+1])
		for range geometric(r, 8, 60) {
			ask(st.site.tools[4+r.IntN(len(st.site.tools)-4)])
		}
		return st.oneStep(Tool, id, do)
	})}
}

// brokenDeploy: for 12 minutes pages fail half the time, and the new assets are not there.
func brokenDeploy(st *stage, _ *plot) []source {
	broken := &Resource{Method: "GET", Status: 500, Size: 600, Text: true, Service: 40 * ms}
	gone := &Resource{Method: "GET", Status: 404, Size: 153, Text: true}
	r := stream(st.seed, label("deploy"))
	return []source{
		&happening{at: st.begin, site: st.site, do: func() {
			st.site.change = func(x *Resource) *Resource {
				switch {
				case x.Service > 0 && x.Status < 400 && chance(r, .7):
					return broken
				case x.Service == 0 && chance(r, .5):
					return gone
				}
				return x
			}
		}},
		&happening{at: st.begin + 12*time.Minute, site: st.site, do: func() { st.site.change = nil }},
	}
}

// outage: the application is down for 8 minutes; whoever wants something tries again.
func outage(st *stage, _ *plot) []source {
	down := &Resource{Method: "GET", Status: 502, Size: 150, Text: true, Service: ms}
	return []source{
		&happening{at: st.begin, site: st.site, do: func() {
			st.site.reloads = 6
			st.site.change = func(x *Resource) *Resource {
				if x.Service > 0 {
					return down
				}
				return x
			}
		}},
		&happening{at: st.begin + 8*time.Minute, site: st.site, do: func() { st.site.change, st.site.reloads = nil, 0 }},
	}
}

// hang: for 8 minutes whatever the application works on takes it half a minute, as where its database waits for something;
// soon everybody waits for a place, too.
func hang(st *stage, _ *plot) []source {
	return []source{
		&happening{at: st.begin, site: st.site, do: func() {
			st.site.reloads = 3
			late := map[*Resource]*Resource{}
			st.site.change = func(x *Resource) *Resource {
				if x.Service == 0 {
					return x
				}
				if late[x] == nil {
					slow := *x
					slow.Service = 30 * time.Second
					late[x] = &slow
				}
				return late[x]
			}
		}},
		&happening{at: st.begin + 8*time.Minute, site: st.site, do: func() { st.site.change, st.site.reloads = nil, 0 }},
	}
}

// eagerCrawl: a search engine, from its published addresses, at some requests a second.
func eagerCrawl(st *stage, s *plot) []source {
	c := &crawlers[int(st.c.Seed%3)]
	return []source{st.spread("crawl", s.scaled(1600), func(r *rand.Rand, _ uint64) (Actor, script) {
		address, do := crawlAddress(r, c), &pace{}
		tls := c.tls.connection(r)
		for range 10 {
			page := one(r, st.site.pages)
			uri := page.uri(r)
			switch at := r.Float64(); {
			case at < .15:
				page, uri = st.site.missing, deadLink(r, st.site)
			case at < .3 && len(st.site.actions) > 0:
				page = one(r, st.site.actions)
				if page.Method != "GET" {
					page = st.site.pages[0]
				}
				uri = page.uri(r)
			}
			do.add(st.a.request(&c.profile, st.site, address, tls, page, uri))
			do.wait(r, 900*ms)
		}
		return st.oneStep(Crawler, "c"+address.String(), do)
	})}
}

// migrated: all pages have new addresses from a moment on; old ones lead there.
func migrated(st *stage, _ *plot) []source {
	return []source{&happening{at: st.begin, site: st.site, do: func() {
		r := stream(st.seed, label("migrated"))
		st.site.moved = map[*Resource]string{}
		for i, x := range st.site.pages {
			if i == 0 || x.Method != "GET" {
				continue
			}
			old := x.Path
			x.Path = fmt.Sprintf("/%s/%s", one(r, []string{"en", "site", "p"}), slug(r, 3)+fmt.Sprint(i))
			st.site.moved[x] = old
			st.site.known[x.Path] = x
			st.site.known[old] = &Resource{Method: "GET", Path: old, Status: 301, Size: 160, Text: true, Service: 20 * ms}
		}
	}}}
}

// newBrowser: within a day most of those with the newest Chromium have the next.
func newBrowser(st *stage, _ *plot) (all []source) {
	const steps = 48
	for i := range steps {
		share := .9 * float64(i+1) / steps
		all = append(all, &happening{at: st.begin + time.Duration(i)*(st.end-st.begin)/steps, site: st.site, do: func() { st.a.updated = share }})
	}
	return all
}

// webhooks: a service that was down sends what it has.
func webhooks(st *stage, s *plot) []source {
	p := library("PaymentService/1.4 (+https://pay.example.com/webhooks)", "gzip", "HTTP/1.1", tlsJava)
	x := st.site.known["POST /webhooks/payment"]
	call := func(n int, gap time.Duration) func(*rand.Rand, uint64) (Actor, script) {
		return func(r *rand.Rand, number uint64) (Actor, script) {
			do := &pace{}
			address := addrOf(0x36a0c000 | uint32(number%6+10))
			for range n {
				do.add(st.a.request(&p, st.site, address, p.tls.connection(r), x, x.Path))
				do.wait(r, gap)
			}
			return st.oneStep(Tool, fmt.Sprint("pay", number%6), do)
		}
	}
	return []source{st.throughout("webhooks", .02*st.c.scene.size, call(1, ms)), st.crowd("catching up", s.scaled(300), st.begin, 3*time.Minute, call(20, 400*ms))}
}

// fediverse: an account on this server has many followers; one post brings them all.
func fediverse(st *stage, s *plot) []source {
	inbox := &Resource{Method: "POST", Path: "/inbox", Status: 202, Size: 0, Service: 25 * ms}
	actor := &Resource{Method: "GET", Path: "/users/" + words[int(st.c.Seed%50)], Status: 200, Size: 1900, Text: true, Service: 20 * ms}
	st.site.known["POST /inbox"], st.site.known[actor.Path] = inbox, actor
	deliver := func(many uint64) func(*rand.Rand, uint64) (Actor, script) {
		return func(r *rand.Rand, _ uint64) (Actor, script) {
			number := uint64(float64(many) * r.Float64() * r.Float64())
			id, address, own := st.server("i", mix(label(st.site.Name), number)>>20)
			p := library(fmt.Sprintf("%s/%d.%d.%d (+https://%s%d.example/)", one(own, []string{"Mastodon", "Pleroma", "Misskey", "Akkoma", "Lemmy"}), 2+own.IntN(3), own.IntN(9), own.IntN(9), one(own, words), own.IntN(900)),
				one(own, []string{"gzip", "gzip, deflate", ""}), one(own, []string{"HTTP/1.1", "HTTP/2.0"}), one(own, []tlsProfile{tlsOpenSSL, tlsGo}))
			do := &pace{}
			if chance(r, .3) {
				do.add(st.a.request(&p, st.site, address, p.tls.connection(r), actor, actor.Path))
				do.wait(r, 300*ms)
			}
			do.add(st.a.request(&p, st.site, address, p.tls.connection(r), inbox, inbox.Path))
			return st.oneStep(Tool, id, do)
		}
	}
	return []source{st.throughout("usual", .25*st.c.scene.size, deliver(1500)), st.crowd("viral", s.scaled(6000), st.begin, 5*time.Minute, deliver(6000))}
}

// buildFarm: two hundred machines of one provider clone the same repositories.
func buildFarm(st *stage, s *plot) []source {
	p := gitClients[1]
	prefix := st.a.network.hosting[int(st.c.Seed%uint64(len(st.a.network.hosting)))]
	return []source{st.crowd("farm", s.scaled(1500), st.begin, 5*time.Minute, func(r *rand.Rand, _ uint64) (Actor, script) {
		number := r.IntN(200)
		address, do := addrOf(prefix|uint32(number/100)<<8|uint32(number%100+20)), &pace{}
		tls := p.tls.connection(r)
		for range 1 + r.IntN(3) {
			i := r.IntN(min(5, len(st.site.tools)/2)) * 2
			refs, pack := st.site.tools[i], st.site.tools[i+1]
			do.add(st.a.request(&p, st.site, address, tls, refs, refs.uri(r)))
			do.wait(r, 100*ms)
			do.add(st.a.request(&p, st.site, address, tls, pack, pack.Path))
			do.wait(r, 400*ms)
		}
		return st.oneStep(Tool, fmt.Sprint("ci", number), do)
	})}
}

// partner: one machine that reads the whole catalogue, every day at this hour.
func partner(st *stage, s *plot) []source {
	p := library("catalogue-sync/2.1 (partner.example.com)", "gzip", "HTTP/1.1", tlsJava)
	address := st.a.network.hostingV4(stream(st.seed, label("partner")))
	visit := func(begin time.Duration) *crowd {
		c := &crowd{site: st.site, seed: mix(st.seed, label("partner"), uint64(begin)), times: []time.Duration{begin}}
		c.begin = func(r *rand.Rand, _ uint64) (Actor, script) {
			do := &pace{}
			for range s.scaled(9000) {
				x := one(r, st.site.pages)
				do.add(st.a.request(&p, st.site, address, p.tls.connection(r), x, x.Path))
				do.wait(r, 150*ms)
			}
			return st.oneStep(Tool, "partner", do)
		}
		return c
	}
	all := []source{visit(st.begin)}
	for day := 24 * time.Hour; day < st.begin; day += 24 * time.Hour {
		all = append(all, visit(st.begin-day))
	}
	return all
}
