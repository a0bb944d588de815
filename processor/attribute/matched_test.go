package attribute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestWhomASignatureMatchedIsStopped: bots that ask for pages that are there now and then, with nothing that
// visitors do not send, are stopped there, too, once a signature has matched them; visitors whom
// none has matched are not, and no known one is.
func TestWhomASignatureMatchedIsStopped(t *testing.T) {
	for seed := range uint64(3) {
		normal, suspect, r := people(seed, 4000)
		mixed := make(map[string]bool)
		for range 400 {
			c := r.Uint32()
			agent := agents[r.IntN(len(agents))]
			for i := range 4 {
				path, encoding := fmt.Sprintf("/%x/%d", r.Uint32(), i), "gzip, deflate"
				if i == 3 { // a page as everybody asks for it
					path, encoding = fmt.Sprintf("/page%d", r.IntN(30)), "gzip, br"
				}
				q := request(c, agent, encoding, path, "", schemas.CookieNone)
				suspect.take(q)
				mixed[clientText(schemas.ClientOf(q.Client).As16())] = true
			}
		}
		guest := request(7, agents[0], "gzip, deflate", "/x/1", "", schemas.CookieNone)
		normal.take(request(7, agents[0], "gzip, br", "/page1", "https://www.example.org/", schemas.CookieSome))
		suspect.take(guest)
		normal.Span, suspect.Span = 4000*time.Second, time.Minute
		stopped, byMatch, others := 0, 0, 0
		probes := func(client netip.Addr) bool { return client.As4()[3]%16 == 0 }
		for _, m := range Analyse(normal, suspect, Budget{MaxClients: 4096, Probe: probes}) {
			switch {
			case m.Scope != schemas.ScopeClient:
			case m.Value == clientText(schemas.ClientOf(guest.Client).As16()):
				t.Errorf("seed %d: a client that the site knows is measured", seed)
			case mixed[m.Value] && m.Action == schemas.Block:
				stopped++
				if e := m.Evidence.Traits; len(e) > 1 && e[0].Trait == "matched" {
					byMatch++
					if probes(netip.MustParseAddr(m.Value)) || e[0].Bits < 3 {
						t.Fatalf("seed %d: %s: %+v", seed, m.Value, e)
					}
				}
			default:
				others++
			}
		}
		if stopped < 300 || byMatch < 200 || others > 2 {
			t.Errorf("seed %d: %d of 400 bots are stopped, %d for what a signature matched, and %d others", seed, stopped, byMatch, others)
		}
	}
}

// TestNobodyIsMatchedWhereSignaturesAreEnough: what stops the attack is enough.
func TestNobodyIsMatchedWhereSignaturesAreEnough(t *testing.T) {
	normal, suspect, r := people(1, 4000)
	bots(suspect, r, 600, "gzip, deflate")
	suspect.Span = time.Minute
	measures := Analyse(normal, suspect, Budget{MaxClients: 4096})
	for _, m := range measures {
		if m.Scope == schemas.ScopeClient && m.Action == schemas.Block {
			t.Fatalf("%s is blocked beside %d measures", m.Value, len(measures))
		}
	}
}

// TestWhomAChallengeMatchedIsChallenged: where too little is known of visitors for a block, the client is asked, too.
func TestWhomAChallengeMatchedIsChallenged(t *testing.T) {
	normal, suspect, r := people(2, 250)
	for range 400 {
		c, agent := r.Uint32(), "Firefox/9"
		for i := range 4 {
			q := request(c, agent, "gzip, br", fmt.Sprintf("/%x/%d", r.Uint32(), i), "", schemas.CookieNone)
			if i == 3 {
				q = request(c, agents[r.IntN(len(agents))], "gzip, br", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone)
			}
			suspect.take(q)
		}
	}
	normal.Span, suspect.Span = 4000*time.Second, time.Minute
	a := newAnalysis(normal, suspect, Budget{MaxClients: 4096}.withDefaults())
	a.share, a.soft = a.budget.Soft, true
	a.mine()
	_, rules := a.rules(a.choose(nil))
	by := charge{rows: a.charged, doubt: a.doubt, open: a.open}
	measures := a.matchedClients(by, rules, schemas.Challenge)
	for _, m := range measures {
		if m.Action != schemas.Challenge || m.Evidence.Traits[0].Trait != "matched" {
			t.Fatalf("%s of %s: %+v", m.Action, m.Value, m.Evidence.Traits)
		}
	}
	if len(measures) < 300 {
		t.Errorf("%d of 400 are asked", len(measures))
	}
	if a.budget.MaxMatched = 7; len(a.matchedClients(by, rules, schemas.Challenge)) != 7 {
		t.Error("more than the room for them")
	}
	if a.budget.MaxMatched = -1; len(a.matchedClients(by, rules, schemas.Challenge)) != 0 {
		t.Error("some where there is no room")
	}
	a.budget.MaxMatched = 4096
	clear(a.open)
	if by.open = a.open; len(a.matchedClients(by, rules, schemas.Challenge)) > 0 {
		t.Error("clients are asked where signatures leave nothing")
	}
}

// mixedBots are a flood's first seconds: most bots have sent one request, which a signature matches, and some another for a page that
// there is. It returns those who were seen by a sample of all, too.
func mixedBots(r *rand.Rand, bots, twice int, samples ...*Sample) map[string]bool {
	mixed := make(map[string]bool)
	for i := range bots {
		c, agent := r.Uint32(), agents[r.IntN(len(agents))]
		q := request(c, agent, "gzip, deflate", fmt.Sprintf("/%x/%d", r.Uint32(), i), "", schemas.CookieNone)
		mixed[clientText(schemas.ClientOf(q.Client).As16())] = true
		for _, s := range samples {
			s.take(q)
			if i < twice {
				s.take(request(c, agent, "gzip, br", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone))
			}
		}
	}
	return mixed
}

// measuredOf counts the measures on such clients, for what a signature has matched.
func measuredOf(measures []Measure, clients map[string]bool) (n int) {
	for _, m := range measures {
		if m.Scope == schemas.ScopeClient && clients[m.Value] && m.Evidence.Traits[0].Trait == Matched {
			n++
		}
	}
	return n
}

// TestWhatBotsAskForBesidesCounts: of bots that have sent one request each nothing is left open, though of what they ask for next much is.
func TestWhatBotsAskForBesidesCounts(t *testing.T) {
	normal, suspect, r := people(1, 4000)
	mixed := mixedBots(r, 1200, 12, suspect)
	normal.Span, suspect.Span = 4000*time.Second, time.Minute
	if n := measuredOf(Analyse(normal, suspect, Budget{MaxClients: 4096}), mixed); n < 1000 {
		t.Errorf("%d of 1200 bots are stopped, where all that those ask for who come again is open", n)
	}
}

// TestAllWhomSignaturesMatchedAreStopped: those too that the suspects, a draw of many, leave out.
func TestAllWhomSignaturesMatchedAreStopped(t *testing.T) {
	normal, _, r := people(1, 4000)
	suspect, whole := NewSample(normal.x, 512), NewSample(normal.x, 8192)
	mixed := mixedBots(r, 3000, 300, suspect, whole)
	normal.Span, suspect.Span, whole.Span = 4000*time.Second, time.Minute, time.Minute
	suspect.Requests, whole.Requests = 3300, 3300
	if !suspect.Thinned() || whole.Thinned() {
		t.Fatal("no draw, or one of all")
	}
	budget := Budget{MaxClients: 8192}
	part := measuredOf(Analyse(normal, suspect, budget), mixed)
	budget.Whole = whole
	if n := measuredOf(Analyse(normal, suspect, budget), mixed); n < 2500 || part > 600 {
		t.Errorf("%d of 3000 bots are stopped, and %d of those drawn", n, part)
	}
	budget.Prefixes = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	if n := measuredOf(Analyse(normal, suspect, budget), mixed); n > 0 {
		t.Errorf("%d are stopped though they are in a prefix in force", n)
	}
}

// TestBotsThatCameBeforeMakeNoNetworkVisitors: a network is spared for visitors who came from it, and not for clients that said that they
// were browsers and did nothing that browsers do.
func TestBotsThatCameBeforeMakeNoNetworkVisitors(t *testing.T) {
	sample, _, _ := people(1, 0)
	for i, from := range []struct {
		cookie  schemas.Cookie
		clients uint32
		spared  bool
	}{{schemas.CookieSome, 2, true}, {schemas.CookieSome, 1, false}, {schemas.CookieNone, 3, false}} {
		first := uint32(100+i)<<24 | 1<<8
		for n := range from.clients {
			sample.take(request(first+n, "Firefox/9", "gzip, br", "/page1", "", from.cookie))
		}
		client := request(first, "", "", "/", "", from.cookie).Client
		if sample.networks()[network(client.As16())] != from.spared {
			t.Errorf("of %d clients with cookie %d: spared is not %t", from.clients, from.cookie, from.spared)
		}
	}
}
