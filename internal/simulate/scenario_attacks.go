package simulate

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"
)

// attackScenarios are the attacks. Sizes are those of the opening story and its like;
// Params.Strength multiplies them.
func attackScenarios() []Scenario {
	attack := func(name, role, says string, span time.Duration, build func(*Params, *plot)) Scenario {
		return Scenario{Name: name, Says: says, Attack: true, role: role, span: span, build: build}
	}
	hard := func(s Scenario) Scenario { s.Hard = true; return s }
	all := []Scenario{
		attack("opening", "main", "random pages, 3 requests an address, a library's default headers", 10*time.Minute, one1(func(n *assault) {})),
		attack("perfect", "main", "the same with everything a browser sends", 10*time.Minute, one1(func(n *assault) { n.profile = n.st.browserPerfect })),
		attack("estate", "", "five sites, 300,000 addresses", 20*time.Minute, estateAttack),
		attack("bust", "main", "pages that exist, each with a query that no cache has; no 404", 10*time.Minute, one1(func(n *assault) { n.ask = n.st.bust() })),
		attack("search", "main", "the search, for random words", 10*time.Minute, one1(func(n *assault) {
			n.ask = func(r *rand.Rand) (*Resource, string) {
				x := n.site.Resource("GET", "/search")
				return x, "/search?q=" + text(r, lower, 3+r.IntN(9)) + "+" + one(r, words)
			}
		})),
		attack("forge", "forge", "a forge scraped at two requests an address", 30*time.Minute, one1(func(n *assault) {
			n.requests, n.addresses = n.scaled(24000), n.scaled(12000)
			n.profile = n.st.mimic
			n.ask = func(r *rand.Rand) (*Resource, string) { x := one(r, n.site.pages); return x, x.uri(r) }
		})),
		attack("page", "main", "one page hammered", 10*time.Minute, one1(func(n *assault) {
			x := n.site.pages[int(n.st.seed%10)]
			n.ask = func(*rand.Rand) (*Resource, string) { return x, x.Path }
		})),
		attack("tool", "shop", "a single tool that says what it is", 10*time.Minute, one1(func(n *assault) {
			p := scripts[3+int(n.st.seed%5)]
			n.profile = func(*rand.Rand) profile { return p }
			n.ask = func(r *rand.Rand) (*Resource, string) { x := one(r, n.site.pages); return x, x.uri(r) }
		})),
		attack("scan", "main", "a botnet that tries known holes", 10*time.Minute, one1(func(n *assault) {
			n.ask = func(r *rand.Rand) (*Resource, string) {
				path := one(r, probes)
				if chance(r, .4) { // in a folder
					path = "/" + one(r, words) + path
				}
				return n.site.Resource("GET", path), path
			}
		})),
		attack("scanner", "shop", "four machines that try names by the thousand", 10*time.Minute, one1(func(n *assault) {
			n.addresses = 4
			n.address = n.st.a.network.hostingV4
			n.ask = func(r *rand.Rand) (*Resource, string) {
				path := one(r, probes)
				if chance(r, .7) { // a list of words
					path = "/" + one(r, words) + one(r, []string{"", "/", ".php", ".bak", ".zip", "/" + one(r, words)})
				}
				return n.site.Resource("GET", path), path
			}
		})),
		hard(attack("ramp", "main", "from nothing to five times the normal in an hour", time.Hour, one1(func(n *assault) {
			n.requests, n.addresses = n.scaled(60000), n.scaled(20000)
			n.when = func(r *rand.Rand) float64 { return math.Sqrt(r.Float64()) }
		}))),
		attack("pulses", "shop", "half a minute on, a minute and a half off", 16*time.Minute, one1(func(n *assault) {
			n.when = func(r *rand.Rand) float64 { return (float64(r.IntN(8)) + .25*r.Float64()) / 8 }
		})),
		hard(attack("cgnat", "main", "from behind the addresses that visitors share", 10*time.Minute, one1(func(n *assault) {
			n.addresses = 360
			n.address = func(r *rand.Rand) netip.Addr {
				if chance(r, .1) {
					return one(r, n.st.a.network.offices)
				}
				return n.st.a.network.carrierV4(r, r.IntN(5))
			}
		}))),
		attack("v6", "main", "another address of the /64 for every request", 10*time.Minute, one1(func(n *assault) {
			n.addresses, n.fresh = n.scaled(700), true
			n.address = func(r *rand.Rand) netip.Addr { return withInterface(r, v6(r)) }
		})),
		attack("hosted", "main", "browsers' headers, from a few networks of hosting providers", 10*time.Minute, one1(func(n *assault) {
			n.profile = n.st.mimic
			n.ask = func(r *rand.Rand) (*Resource, string) { x := one(r, n.site.pages); return x, x.uri(r) }
			n.address = n.st.rented()
		})),
		hard(attack("referer", "main", "browser's headers, and referers of the site itself", 10*time.Minute, one1(func(n *assault) {
			n.profile = n.st.browserPerfect
			n.dress = func(r *rand.Rand, q *Request) {
				q.Referer = n.st.a.scheme() + n.site.Name + n.site.page(r).Path
				q.Cookie = n.site.cookies && chance(r, .5)
			}
		}))),
		attack("post", "forum", "a flood of POST", 10*time.Minute, one1(func(n *assault) {
			var posts []*Resource
			for _, x := range n.site.actions {
				if x.Method == "POST" {
					posts = append(posts, x)
				}
			}
			n.ask = func(r *rand.Rand) (*Resource, string) { x := one(r, posts); return x, x.Path }
		})),
		attack("googlebot", "main", "one that calls itself Googlebot, from elsewhere", 10*time.Minute, one1(func(n *assault) {
			n.profile = func(*rand.Rand) profile { return crawlers[0].profile }
			n.addresses = n.scaled(1200)
		})),
		hard(attack("dear", "shop", "three requests a second for the dearest page", 20*time.Minute, one1(func(n *assault) {
			x := n.site.dearest()
			n.requests, n.addresses = n.scaled(3600), n.scaled(1800)
			n.profile = n.st.mimic
			n.ask = func(r *rand.Rand) (*Resource, string) { return x, x.uri(r) }
		}))),
		hard(attack("incrowd", "main", "a flood inside a front-page crowd", 20*time.Minute, func(p *Params, s *plot) {
			s.add(func(st *stage) []source {
				to := st.site.pages[20]
				n := st.assault("b")
				n.begin, n.span = st.begin+3*time.Minute, st.end-st.begin-3*time.Minute
				return []source{st.crowd("crowd", s.scaled(1500), st.begin, 4*time.Minute, st.visitor(to, "https://news.example.com/")), n.prepare()}
			})
		})),
		hard(attack("inrelease", "forum", "a flood while thousands of servers post to an inbox", 20*time.Minute, func(p *Params, s *plot) {
			s.add(func(st *stage) []source {
				n := st.assault("b")
				n.begin, n.span = st.begin+4*time.Minute, st.end-st.begin-4*time.Minute
				return append(fediverse(st, s), n.prepare())
			})
		})),
		attack("warmed", "main", "bots that came as visitors the days before", 10*time.Minute, one1(func(n *assault) {
			n.warm = 2
			n.profile = n.st.mimic
		})),
		attack("adaptive", "main", "bots that change how they speak when they are blocked", 15*time.Minute, one1(func(n *assault) {
			n.requests = n.scaled(15000)
			n.brain = &brain{patience: 60}
		})),
		hard(attack("browsers", "main", "full browsers that load assets", 15*time.Minute, one1(func(n *assault) {
			n.requests, n.addresses, n.browser = n.scaled(6000), n.scaled(4000), true
			n.profile = n.st.mimic
			n.ask = func(r *rand.Rand) (*Resource, string) { x := one(r, n.site.pages); return x, x.uri(r) }
			n.dress = func(r *rand.Rand, q *Request) {
				if chance(r, .6) {
					q.Referer = one(r, []string{"https://www.google.com/", n.st.a.scheme() + n.site.Name + "/"})
				}
			}
		}))),
	}
	for i := range all {
		all[i].Closed = all[i].Name == "adaptive"
		if all[i].Name == "estate" {
			all[i].most = 10 // 3,000,000 addresses
		}
	}
	return all
}

// one1 is a scene of one assault, which starts as the opening story's.
func one1(change func(*assault)) func(*Params, *plot) {
	return func(_ *Params, s *plot) {
		s.add(func(st *stage) []source {
			n := st.assault("b")
			change(n)
			return []source{n.prepare()}
		})
	}
}

func (s *plot) scaled(n int) int { return max(1, int(float64(n)*s.strength)) }

func (n *assault) scaled(count int) int { return n.st.c.scene.scaled(count) }

// assault is the opening story's, to be changed.
func (st *stage) assault(name string) *assault {
	n := &assault{
		st: st, site: st.site, name: name, begin: st.begin, span: st.end - st.begin,
		requests: st.c.scene.scaled(10000), addresses: st.c.scene.scaled(3500),
	}
	library := libraryOf(st.c.Seed, st.c.Plain)
	n.profile = func(r *rand.Rand) profile {
		p := library
		p.agent = listedAgent(r)
		return p
	}
	n.ask = func(r *rand.Rand) (*Resource, string) {
		if chance(r, .08) {
			x := n.site.page(r)
			return x, x.uri(r)
		}
		uri := randomPage(r, n.site)
		return n.site.Resource("GET", uri), uri
	}
	n.dress = func(r *rand.Rand, q *Request) {
		if chance(r, .05) {
			q.Referer = one(r, []string{"https://www.google.com/", "https://www.bing.com/", st.a.scheme() + n.site.Name + "/"})
		}
	}
	return n
}

// browserPerfect is a browser's profile whole, in versions that go round in lists, in a
// language from anywhere: a botnet does not know this site's audience.
func (st *stage) browserPerfect(r *rand.Rand) profile {
	f, version := listed(r)
	l := &locales[r.IntN(len(locales))]
	return f.profile(version, [...]string{l.chromium, l.gecko, l.webkit}[f.engine])
}

// mimic is a profile as people all over the world have it: the browsers of the day,
// mostly in English.
func (st *stage) mimic(r *rand.Rand) profile {
	p, _ := st.a.browsers.draw(r)
	if chance(r, .6) {
		p.language = "en-US,en;q=0.9"
	}
	return p
}

// rented draws from where one can rent machines by the thousand: six /20 of hosting providers, and two /48.
func (st *stage) rented() func(*rand.Rand) netip.Addr {
	own := stream(st.seed, label("rented"))
	var blocks []uint32
	for range 6 {
		blocks = append(blocks, one(own, st.a.network.hosting)|uint32(own.IntN(16))<<12)
	}
	homes := [2][16]byte{v6(own), v6(own)}
	return func(r *rand.Rand) netip.Addr {
		if chance(r, .1) { // a /64 each
			prefix := one(r, homes[:])
			binary.BigEndian.PutUint16(prefix[6:], uint16(r.IntN(1<<16)))
			return withInterface(r, prefix)
		}
		return addrOf(one(r, blocks) | uint32(r.IntN(16))<<8 | uint32(1+r.IntN(254)))
	}
}

// bust asks for pages that there are, each time with another query.
func (st *stage) bust() func(*rand.Rand) (*Resource, string) {
	key := []string{"_", "v", "rnd", "nocache", ""}[st.c.Seed%5]
	return func(r *rand.Rand) (*Resource, string) {
		x, k := st.site.page(r), key
		if k == "" {
			k = text(r, lower, 4)
		}
		return x, x.Path + "?" + k + "=" + strconv.FormatUint(r.Uint64(), 36)
	}
}

func (s *Site) dearest() *Resource {
	best := s.pages[0]
	for _, x := range s.actions {
		if x.Method == "GET" && x.Service > best.Service {
			best = x
		}
	}
	return best
}

func estateAttack(_ *Params, s *plot) {
	s.add(func(st *stage) (all []source) {
		for _, site := range st.sites {
			n := st.assault("b")
			n.site = site
			n.requests, n.addresses = s.scaled(150000), s.scaled(60000)
			all = append(all, n.prepare())
		}
		return all
	})
}
