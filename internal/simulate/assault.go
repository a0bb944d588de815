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

// assault is an attack by many addresses: what its bots have in common is in its fields.
type assault struct {
	st        *stage
	site      *Site
	name      string
	requests  int
	addresses int
	begin     time.Duration
	span      time.Duration

	// when draws a moment of the attack, 0 to 1; nil is waves, as nodes come and go.
	when func(r *rand.Rand) float64
	// profile is how a bot speaks; r is the bot's own.
	profile func(r *rand.Rand) profile
	// ask is what a request is for.
	ask func(r *rand.Rand) (x *Resource, uri string)
	// address draws a bot's address; nil is all over the world.
	address func(r *rand.Rand) netip.Addr
	// dress is what a request has besides; nil is nothing.
	dress func(r *rand.Rand, q *Request)
	// fresh draws another interface of the bot's /64 for each request.
	fresh bool
	// warm is how many requests a bot made in the time before, as an ordinary visitor.
	warm int
	// brain is set where bots look at their answers.
	brain *brain
	// browser is set where bots load what a page has with it.
	browser bool

	seed uint64
	bots []bot
	sent int
}

// brain is what an attack that adapts knows: after so many refusals it changes how it speaks.
type brain struct {
	refused, epoch int
	patience       int
}

func (n *assault) prepare() *assault {
	n.seed = mix(n.st.seed, label(n.name), label(n.site.Name))
	r := stream(n.seed)
	n.addresses = max(1, min(n.addresses, n.requests))
	if n.when == nil {
		phase, waves := r.Float64()*2*math.Pi, float64(2+r.IntN(4))
		n.when = func(r *rand.Rand) float64 {
			u := r.Float64()
			return u + .4/(2*math.Pi*waves)*(math.Sin(2*math.Pi*waves*u+phase)-math.Sin(phase))
		}
	}
	if n.address == nil {
		n.address = n.anywhere
	}
	counts := make([]int, n.addresses)
	for i := range n.requests {
		if i < len(counts) {
			counts[i]++
		} else {
			counts[r.IntN(len(counts))]++
		}
	}
	taken := make(map[netip.Addr]bool, n.addresses)
	for i, count := range counts {
		n.bots = append(n.bots, n.recruit(r, int32(i), count, taken))
	}
	sort.Slice(n.bots, func(i, j int) bool {
		if n.bots[i].first != n.bots[j].first {
			return n.bots[i].first < n.bots[j].first
		}
		return n.bots[i].number < n.bots[j].number
	})
	return n
}

func (n *assault) recruit(r *rand.Rand, number int32, requests int, taken map[netip.Addr]bool) bot {
	times := make([]time.Duration, 0, requests+n.warm)
	for range n.warm { // negative: before the attack
		times = append(times, -time.Duration(r.Float64()*float64(max(n.begin-10*time.Minute, 0)))-10*time.Minute)
	}
	for range requests {
		times = append(times, time.Duration(min(max(n.when(r), 0), .99999)*float64(n.span)))
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	b := bot{number: number, times: times, first: times[0]}
	for range 20 { // where there are few addresses, bots share them
		b.client = n.address(r)
		if client := schemas.ClientOf(b.client); !taken[client] {
			taken[client] = true
			break
		}
	}
	for i := range times {
		times[i] -= b.first
	}
	return b
}

// anywhere is where bots mostly are: homes all over the world, some of them the
// audience's own providers', and rented machines.
func (n *assault) anywhere(r *rand.Rand) netip.Addr {
	network := n.st.a.network
	switch at := r.Float64(); {
	case at < .45:
		return network.worldV4(r)
	case at < .60:
		return network.homeV4(r)
	case at < .75:
		return network.hostingV4(r)
	case at < .96:
		return addrOf(publicV4(r))
	}
	return withInterface(r, v6(r))
}

func (n *assault) next() (*Visit, bool) {
	if n.sent == len(n.bots) {
		return nil, false
	}
	b := n.bots[n.sent]
	n.sent++
	r := stream(n.seed, uint64(b.number))
	v := &Visit{Start: n.begin + b.first, Site: n.site, Actor: Actor{Bot, n.name + strconv.Itoa(int(b.number))}}
	bot := &attacker{n: n, b: b, r: r, p: n.profile(r)}
	if n.brain == nil && !n.browser {
		v.script = &once{step: bot.all()}
		return v, true
	}
	v.script = bot
	return v, true
}

// attacker is one bot at work.
type attacker struct {
	n      *assault
	b      bot
	r      *rand.Rand
	p      profile
	at     int // requests made
	epoch  int
	loaded bool
	page   *Resource
}

// all is everything that a bot sends that looks at no answer.
func (t *attacker) all() (step Step) {
	for range t.b.times {
		q := t.request()
		q.Delay = t.b.times[t.at-1]
		step.Requests = append(step.Requests, q)
	}
	return step
}

func (t *attacker) request() Request {
	n, r := t.n, t.r
	x, uri := n.ask(r)
	warm := t.at < n.warm
	if warm {
		x = n.site.page(r)
		uri = x.uri(r)
	}
	client := t.b.client
	if n.fresh {
		client = withInterface(r, client.As16())
	}
	q := n.st.a.request(&t.p, n.site, client, t.p.tls.connection(r), x, uri)
	q.Patience = botPatience(r)
	q.warm = warm
	if n.dress != nil {
		n.dress(r, &q)
	}
	t.at++
	t.page = x
	return q
}

// next is what a bot does that looks at its answers, or loads what pages need.
func (t *attacker) next(answers []Answer) (Step, bool) {
	n := t.n
	if n.brain != nil && len(answers) > 0 && answers[0].refused() {
		if n.brain.refused++; n.brain.refused >= n.brain.patience {
			n.brain.refused = 0
			n.brain.epoch++
		}
	}
	if n.browser && t.at > 0 && !t.loaded && len(answers) > 0 && !answers[0].failed() && answers[0].Status < 400 {
		t.loaded = true
		if assets := t.assets(); len(assets) > 0 {
			return Step{After: 60 * ms, Requests: assets}, true
		}
	}
	if t.at >= len(t.b.times) {
		return Step{}, false
	}
	if n.brain != nil && t.epoch != n.brain.epoch {
		t.epoch = n.brain.epoch
		t.p = libraries[(t.epoch+int(n.seed%97))%len(libraries)]
		t.p.agent = listedAgent(t.r)
		if t.epoch%2 == 0 { // now and then a browser's own headers
			t.p, _ = n.st.a.browsers.draw(t.r)
		}
	}
	after := time.Duration(0)
	if t.at > 0 {
		after = t.b.times[t.at] - t.b.times[t.at-1]
	}
	return Step{After: after, Requests: []Request{t.request()}}, true
}

func (t *attacker) assets() (all []Request) {
	for _, list := range [][]*Resource{t.n.site.shared, t.page.assets} {
		for _, x := range list {
			q := t.n.st.a.request(&t.p, t.n.site, t.b.client, t.p.tls.connection(t.r), x, x.Path)
			q.Referer = t.n.st.a.scheme() + t.n.site.Name + t.page.Path
			q.Delay = time.Duration(25*len(all)) * ms
			q.Cookie = t.n.site.cookies
			all = append(all, q)
		}
	}
	return all
}
