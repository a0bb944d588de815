package attribute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// browse is a person's visit: a page, what it brings with it, and perhaps another. Few
// load nothing, as behind a network that keeps assets, and leaves after a page.
func browse(s *Sample, r *rand.Rand, agent string) {
	c := r.Uint32()
	see := func(path, referer string, cookie schemas.Cookie, asset bool) {
		q := request(c, agent, "gzip, br", path, referer, cookie)
		var t Traits
		s.x.Profile(&t, q)
		s.x.Rest(&t, q)
		s.AddTraits(s.x.ClientHash(schemas.ClientOf(q.Client).As16()), &t, q, Mark{Fresh: true, Asset: asset})
		s.Requests++
	}
	see(fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone, false)
	if r.IntN(150) == 0 {
		return
	}
	for range 1 + r.IntN(3) {
		see("/style.css", "https://www.example.org/", schemas.CookieSome, true)
		see(fmt.Sprintf("/page%d", r.IntN(30)), "https://www.example.org/", schemas.CookieSome, false)
	}
}

// mimics are bots with the visitors' own programs, that ask for the visitors' own pages: no
// request of theirs is unlike a visitor's first.
func mimics(s *Sample, r *rand.Rand, n int) {
	for range n {
		q := request(r.Uint32(), agents[r.IntN(len(agents))], "gzip, br", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone)
		s.take(q)
		s.take(q)
	}
}

func people(seed uint64, known int) (normal, suspect *Sample, r *rand.Rand) {
	x := NewExtractor(seed)
	r = rand.New(rand.NewPCG(seed, 7))
	normal, suspect = NewSample(x, 1<<16), NewSample(x, 4096)
	for range known {
		browse(normal, r, agents[r.IntN(len(agents))])
	}
	for range 60 {
		browse(suspect, r, agents[r.IntN(len(agents))])
	}
	normal.Span, suspect.Span = time.Duration(known)*time.Second, time.Minute
	return normal, suspect, r
}

// TestClientsByWhatTheyDo: who speaks as a visitor and does what no visitor does is measured by
// its address, and next to nobody else is.
func TestClientsByWhatTheyDo(t *testing.T) {
	normal, suspect, r := people(4, 4000)
	persons := map[string]bool{}
	for i := range suspect.clients {
		persons[clientText(suspect.clients[i].addr)] = true
	}
	mimics(suspect, r, 900)
	measures := Analyse(normal, suspect, Budget{MaxClients: 4096, Site: "www.example.org"})
	bots, touched, sums := 0, 0, map[schemas.Action]float64{}
	for _, m := range measures {
		if m.Scope != schemas.ScopeClient {
			continue
		}
		sums[m.Action] += m.Collateral
		if persons[m.Value] {
			touched++
		} else {
			bots++
		}
		if m.Together > 0.02 || m.Action == schemas.Block && m.Together > 0.005 || m.CollateralClients < 2500 {
			t.Fatalf("%s %s touches, with the others, %.4f of %d", m.Action, m.Value, m.Together, m.CollateralClients)
		}
		e := m.Evidence
		if len(e.Traits) == 0 || e.Traits[0].Trait != "conduct" || !strings.Contains(e.Traits[0].Value, "loads nothing") || e.Traits[0].Bits < 3 ||
			len(e.SQL) == 0 || e.RiskRatio < minOdds {
			t.Fatalf("the evidence against %s: %+v", m.Value, e)
		}
	}
	if sums[schemas.Block] > 0.005+1e-9 || sums[schemas.Challenge] > 0.02+1e-9 {
		t.Errorf("added up, they touch more than the budget: %v", sums)
	}
	if bots < 700 || touched > 3 {
		t.Errorf("%d of 900 bots are measured, and %d of 60 people", bots, touched)
	}
	if few := Analyse(normal, suspect, Budget{MaxClients: 10}); len(few) > 10 {
		t.Errorf("%d measures where ten may be", len(few))
	}
	spare := func(netip.Addr) bool { return true }
	if none := Analyse(normal, suspect, Budget{MaxClients: 10, Spare: spare}); len(none) > 0 {
		t.Errorf("a proxy's address is measured: %+v", none[0])
	}
	challenged := func(netip.Addr) schemas.Action { return schemas.Block }
	if none := Analyse(normal, suspect, Budget{MaxClients: 10, Measured: challenged}); len(none) > 0 {
		t.Errorf("one that is blocked is measured again: %+v", none[0])
	}
}

// TestWhoMissesOnceIsAsked: who has asked once for what there is not may have followed a dead link, and is asked for something at the most; who
// does so again is blocked, challenged in between or not.
func TestWhoMissesOnceIsAsked(t *testing.T) {
	for _, c := range []struct {
		misses  int
		stopped bool // the last was
		blocked bool
	}{{1, false, false}, {2, false, true}, {2, true, false}, {3, true, true}} {
		normal, suspect, r := people(4, 4000)
		for range 900 {
			client, agent := r.Uint32(), agents[r.IntN(len(agents))]
			for n := range c.misses {
				q := request(client, agent, "gzip, br", fmt.Sprintf("/old%d", r.IntN(30)), "", schemas.CookieNone)
				q.Status = 404
				stopped := c.stopped && n == c.misses-1
				if stopped {
					q.Status = 503
				}
				var t Traits
				suspect.x.Profile(&t, q)
				suspect.x.Rest(&t, q)
				suspect.AddTraits(suspect.x.ClientHash(schemas.ClientOf(q.Client).As16()), &t, q, Mark{Fresh: true, Stopped: stopped})
				suspect.Requests++
			}
		}
		actions := map[schemas.Action]int{}
		for _, m := range Analyse(normal, suspect, Budget{MaxClients: 4096, MaxMatched: -1}) {
			if m.Scope == schemas.ScopeClient {
				actions[m.Action]++
			}
		}
		if actions[schemas.Block] > 0 != c.blocked || actions[schemas.Block]+actions[schemas.Challenge] < 300 {
			t.Errorf("after %d misses, the last stopped: %t: %v", c.misses, c.stopped, actions)
		}
	}
}

// TestNobodyIsMeasuredTooSoon: who came just now has had no time to load anything, whom the site
// failed cannot, and whom it knows may do what it likes.
func TestNobodyIsMeasuredTooSoon(t *testing.T) {
	normal, suspect, r := people(5, 4000)
	late := NewSample(suspect.x, 4096)
	mimics(late, r, 900)
	budget := Budget{MaxClients: 4096}
	young := suspect.Clone()
	young.Young(true)
	young.Merge(late, false)
	if measures := Analyse(normal, young, budget); len(measures) > 0 {
		t.Errorf("who came just now is measured: %+v", measures[0])
	}
	young.Young(false)
	young.Merge(late, false)
	if measures := Analyse(normal, young, budget); len(measures) < 700 {
		t.Errorf("%d are measured once they have had time", len(measures))
	}
	failed := suspect.Clone()
	for range 900 {
		q := request(r.Uint32(), agents[0], "gzip, br", "/page1", "", schemas.CookieNone)
		q.Status = 502
		failed.take(q)
	}
	if measures := Analyse(normal, failed, budget); len(measures) > 0 {
		t.Errorf("whom the site failed is measured: %+v", measures[0])
	}
	known := normal.Clone()
	known.Merge(late, false)
	old := suspect.Clone()
	old.Merge(late, false)
	if measures := Analyse(known, old, budget); len(measures) > 0 {
		t.Errorf("whom the site knows is measured: %+v", measures[0])
	}
}

// TestACrowdIsNotMeasured: ten times as many people as ever are people.
func TestACrowdIsNotMeasured(t *testing.T) {
	normal, suspect, r := people(6, 4000)
	for range 900 {
		browse(suspect, r, agents[r.IntN(len(agents))])
	}
	if measures := Analyse(normal, suspect, Budget{MaxClients: 4096}); len(measures) > 5 {
		t.Errorf("%d of 960 people are measured", len(measures))
	}
}

// TestElsewhereCertifies: a young site blocks what none of the estate's other sites' visitors
// is, and asks for a challenge where one is.
func TestElsewhereCertifies(t *testing.T) {
	normal, suspect, r := people(7, 400)
	bots(suspect, r, 900, "gzip, deflate")
	other := NewSample(normal.x, 1<<16)
	for range 3000 {
		browse(other, r, agents[r.IntN(len(agents))])
	}
	budget := Budget{Elsewhere: []*Sample{other}}
	measures := Analyse(normal, suspect, budget)
	if len(measures) == 0 || measures[0].Action != schemas.Block || measures[0].Stops < 0.7 {
		t.Fatalf("of what 3,000 visitors elsewhere are not: %+v", measures)
	}
	for i := range 3 {
		other.take(request(r.Uint32(), agents[i], "gzip, deflate", "/", "", schemas.CookieNone))
	}
	for _, agent := range agents {
		other.take(request(r.Uint32(), agent, "gzip, deflate", "/", "", schemas.CookieNone))
	}
	for _, m := range Analyse(normal, suspect, budget) {
		if m.Action == schemas.Block {
			t.Errorf("blocked, though a visitor elsewhere is that: %s", m.Value)
		}
	}
}

// TestAYoungSiteBlocksWhatProgramsAreNot: of a site with few visitors, traits that programs do not have
// together are blocked, as far as the budget goes, and what says that it is a program is challenged.
func TestAYoungSiteBlocksWhatProgramsAreNot(t *testing.T) {
	normal, suspect, r := people(7, 400)
	bots(suspect, r, 900, "gzip, deflate")
	alone := Analyse(normal, suspect, Budget{})
	if len(alone) == 0 || alone[0].Action != schemas.Block || alone[0].Stops < 0.7 {
		t.Fatalf("of what no browser is: %+v", alone)
	}
	blocks := 0.0
	for _, m := range alone {
		if m.Action == schemas.Block {
			blocks += m.Collateral
			if m.Collateral > 0.005 || m.CollateralClients < 300 {
				t.Errorf("%s touches %.4f of %d", m.Value, m.Collateral, m.CollateralClients)
			}
		}
	}
	normal, suspect, r = people(7, 400)
	for range 900 {
		suspect.take(request(r.Uint32(), "python-requests/2.32.3", "gzip, deflate", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone))
	}
	for _, m := range Analyse(normal, suspect, Budget{}) {
		if m.Action == schemas.Block {
			t.Errorf("%s is blocked on %d clients' word", m.Value, m.CollateralClients)
		}
	}
}

// TestManyRareOnesArePeople: what no normal client showed costs what its traits would have
// led to expect, so that a list of lucky finds cannot go on for ever.
func TestManyRareOnesArePeople(t *testing.T) {
	normal, suspect, _ := people(8, 2000)
	a := newAnalysis(normal, suspect, Budget{}.withDefaults())
	x := normal.x
	at := func(t schemas.Trait, v string) item { return item{t, x.hash(t, []byte(v))} }
	never := []item{at(schemas.TraitUserAgent, "never seen")}
	frequent := []item{at(schemas.TraitUserAgent, agents[0]), at(schemas.TraitPathShape, "/m2")}
	if got := a.doubtful(never, 0); got > 2*leastDoubt {
		t.Errorf("an agent that nobody has costs %.2f", got)
	}
	if got := a.doubtful(frequent, 0); got != 1 {
		t.Errorf("what hundreds were to be expected to show, and nobody does, costs %.2f: it cannot be", got)
	}
	expected := float64(a.normal.shownBy(frequent[0]))
	if got := a.doubtful(frequent[:1], int(expected)-3); got < 3 || got > 3.5 {
		t.Errorf("three fewer than expected cost %.2f", got)
	}
}

// TestGuestsAreNotThoseWhoPretend: who came before as a browser and did nothing that browsers do is
// no visitor to be spared; a program that says what it is needs to do no such thing.
func TestGuestsAreNotThoseWhoPretend(t *testing.T) {
	s := NewSample(NewExtractor(9), 64)
	r := rand.New(rand.NewPCG(9, 1))
	browser := "Mozilla/5.0 (X11; Linux x86_64; rv:157.0) Gecko/20100101 Firefox/157.0"
	bot := request(1, browser, "gzip, br", "/page1", "", schemas.CookieNone)
	feed := request(2, "curl/8.5.0", "gzip", "/feed.xml", "", schemas.CookieNone)
	walker := request(3, browser, "gzip, br", "/page2", "https://www.example.org/", schemas.CookieNone)
	further := request(3, browser, "gzip, br", "/docs/page3", "https://www.example.org/page2", schemas.CookieNone)
	liar := request(4, browser, "gzip, br", "/page4", "https://www.example.org/", schemas.CookieNone)
	failed := request(5, browser, "gzip, br", "/page5", "", schemas.CookieNone)
	failed.Status = 502
	for _, q := range []*schemas.Request{bot, feed, walker, further, liar, failed} {
		s.take(q)
	}
	browse(s, r, browser)
	guests := s.Guests()
	of := func(q *schemas.Request) uint64 { return s.x.ClientHash(schemas.ClientOf(q.Client).As16()) }
	if len(guests) != 3 || guests[of(bot)] || !guests[of(feed)] || !guests[of(walker)] || guests[of(liar)] || guests[of(failed)] {
		t.Errorf("%d guests; the bot %v, the feed reader %v, who follows links %v, who says so once %v, who got nothing %v",
			len(guests), guests[of(bot)], guests[of(feed)], guests[of(walker)], guests[of(liar)], guests[of(failed)])
	}
}

// TestDescending: a heap that is read to any place gives what a sorted list has up to there, and
// can be read again.
func TestDescending(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := make([]scored, rapid.IntRange(0, 40).Draw(t, "length"))
		for i := range list {
			list[i] = scored{client: &client{hash: uint64(i)}, score: float64(rapid.IntRange(0, 9).Draw(t, "score"))}
		}
		want := slices.SortedFunc(slices.Values(list), higher)
		for range 2 {
			up, got := rapid.IntRange(0, len(list)).Draw(t, "up to"), []scored(nil)
			for top := range descending(list) {
				if len(got) == up {
					break
				}
				got = append(got, top)
			}
			if !slices.Equal(got, want[:up]) {
				t.Fatalf("%v, want %v", got, want[:up])
			}
		}
	})
}
