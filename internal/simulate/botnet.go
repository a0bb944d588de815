package simulate

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"sort"
	"strconv"
	"time"

	"github.com/weir-project/weir/schemas"
)

// botnet is the opening story's attack: every address makes a handful of requests
// for random pages, with one library's headers and an agent from a list.
type botnet struct {
	a       *audience
	site    *Site
	c       *Config
	seed    uint64
	library profile
	bots    []bot // by their first request
	sent    int
}

type bot struct {
	first  time.Duration
	number int32
	times  []time.Duration // after first, ascending, the first 0
	client netip.Addr
}

func newBotnet(a *audience, site *Site, c *Config) *botnet {
	n := &botnet{a: a, site: site, c: c, seed: mix(c.Seed, label("botnet"), uint64(c.Start.Unix()))}
	r := stream(n.seed)
	n.library = libraryOf(c.Seed, c.Plain)
	counts := make([]int, c.Attack.Addresses)
	for i := range c.Attack.Requests {
		if i < len(counts) {
			counts[i]++ // at least one each
		} else {
			counts[r.IntN(len(counts))]++
		}
	}
	// Its strength comes in waves, as nodes come and go.
	phase, waves := r.Float64()*2*math.Pi, float64(2+r.IntN(4))
	taken := make(map[netip.Addr]bool, len(counts))
	n.bots = make([]bot, len(counts))
	for i := range n.bots {
		n.bots[i] = n.recruit(r, int32(i), counts[i], phase, waves, taken)
	}
	sort.Slice(n.bots, func(i, j int) bool {
		if n.bots[i].first != n.bots[j].first {
			return n.bots[i].first < n.bots[j].first
		}
		return n.bots[i].number < n.bots[j].number
	})
	return n
}

// recruit draws one bot: its address, and when it sends.
func (n *botnet) recruit(r *rand.Rand, number int32, requests int, phase, waves float64, taken map[netip.Addr]bool) bot {
	span := float64(n.c.Attack.Duration)
	u := r.Float64()
	at := span * (u + .4/(2*math.Pi*waves)*(math.Sin(2*math.Pi*waves*u+phase)-math.Sin(phase)))
	times := make([]time.Duration, requests)
	for i := range times {
		times[i] = time.Duration(math.Mod(max(at, 0), span))
		at += logNormal(r, 25e9, 1) // what goes beyond the end begins anew
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	b := bot{first: times[0], number: number, times: times, client: n.address(r, taken)}
	for i := range times {
		times[i] -= b.first
	}
	return b
}

// address draws from where bots are: homes all over the world, some of them the
// audience's own providers', and rented machines.
func (n *botnet) address(r *rand.Rand, taken map[netip.Addr]bool) netip.Addr {
	for {
		var address netip.Addr
		switch at := r.Float64(); {
		case at < .45:
			address = n.a.network.worldV4(r)
		case at < .60:
			address = n.a.network.homeV4(r)
		case at < .75:
			address = n.a.network.hostingV4(r)
		case at < .96:
			address = addrOf(publicV4(r))
		default:
			address = withInterface(r, v6(r))
		}
		if client := schemas.ClientOf(address); !taken[client] {
			taken[client] = true
			return address
		}
	}
}

// botPatience is how long a bot waits for an answer: as long as people do, whose median is anything from 6 to 16 s with a
// spread of .4 (identity.patience), so that when somebody hangs up gives nobody away.
func botPatience(r *rand.Rand) time.Duration { return time.Duration(logNormal(r, 10.6e9, .485)) }

func (n *botnet) next() (*Visit, bool) {
	if n.sent == len(n.bots) {
		return nil, false
	}
	b := n.bots[n.sent]
	n.sent++
	r := stream(n.seed, uint64(b.number))
	p := n.library
	p.agent = listedAgent(r)
	step := Step{}
	for _, at := range b.times {
		x, uri := n.page(r)
		q := n.a.request(&p, n.site, b.client, p.tls.connection(r), x, uri)
		q.Delay = at
		q.Patience = botPatience(r)
		if chance(r, .05) {
			q.Referer = one(r, []string{"https://www.google.com/", "https://www.bing.com/", n.a.scheme() + n.site.Name + "/"})
		}
		step.Requests = append(step.Requests, q)
	}
	return &Visit{
		Start: n.c.Ordinary + b.first, Site: n.site,
		Actor:  Actor{Bot, "b" + strconv.Itoa(int(b.number))},
		script: &once{step: step},
	}, true
}

// page is what a bot asks for: rarely a page that there is.
func (n *botnet) page(r *rand.Rand) (*Resource, string) {
	if chance(r, n.c.Attack.Existing) {
		x := n.site.page(r)
		return x, x.uri(r)
	}
	uri := randomPage(r, n.site)
	return n.site.Resource("GET", uri), uri // what is made up may be there all the same
}
