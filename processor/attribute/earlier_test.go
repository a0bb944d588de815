package attribute

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// deliver is what servers do at an inbox: each has an agent of its own, and speaks as a library.
func deliver(s *Sample, r *rand.Rand, n int) map[string]bool {
	names := make(map[string]bool, n)
	for range n {
		q := request(r.Uint32(), fmt.Sprintf("Server/4.%d (+https://s%d.example/)", r.IntN(9), r.IntN(900)), "gzip, deflate", "/inbox", "", schemas.CookieNone)
		s.take(q)
		names[clientText(schemas.ClientOf(q.Client).As16())] = true
	}
	return names
}

// TestWhoCameBeforeTheAttackIsNoneOfIt: servers post to an inbox by the thousand when a botnet comes that
// speaks as a library does, too. What normal times have not shown is theirs as well as the bots'.
func TestWhoCameBeforeTheAttackIsNoneOfIt(t *testing.T) {
	touched := func(before bool) (harmed, bots int) {
		for seed := range uint64(3) {
			normal, suspect, r := people(seed, 2000)
			earlier := NewSample(normal.x, 4096)
			deliver(earlier, r, 1500)
			earlier.Span = 4 * time.Minute
			budget := Budget{MaxClients: 4096}
			if before {
				budget.Earlier = earlier
			}
			servers := deliver(suspect, r, 300)
			for range 500 {
				suspect.take(request(r.Uint32(), agents[r.IntN(len(agents))], "gzip, deflate", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone))
			}
			for _, m := range Analyse(normal, suspect, budget) {
				switch {
				case m.Scope == schemas.ScopeClient && servers[m.Value]:
					harmed++
				case m.Scope == schemas.ScopeClient:
					bots++
				default:
					if ok, _ := m.Signature.Match(request(9, "Server/4.1 (+https://s1.example/)", "gzip, deflate", "/inbox", "", schemas.CookieNone), nil); ok {
						harmed += len(servers)
					} else {
						bots++
					}
				}
			}
		}
		return harmed, bots
	}
	if people, _ := touched(false); people == 0 {
		t.Error("nobody is touched where nothing is known of those before: this shows nothing")
	}
	if people, bots := touched(true); people > 3*300/200 || bots == 0 {
		t.Errorf("%d of 900 servers are touched, by %d measures on bots beside", people, bots)
	}
}

// TestEarlierIsABudgetOfItsOwn: what touches too many of those before is nothing, and a block is to be
// certified by them.
func TestEarlierIsABudgetOfItsOwn(t *testing.T) {
	for _, x := range []struct {
		clients, touched int
		soft, want       bool
	}{
		{2000, 0, false, true}, {2000, 4, false, true}, {2000, 10, false, false},
		{200, 0, false, false}, // too few for any block
		{200, 0, true, true}, {200, 2, true, false}, {2000, 20, true, true}, {2000, 60, true, false},
	} {
		share := 0.005
		if x.soft {
			share = 0.015
		}
		if got := (&earlier{clients: x.clients}).within(x.touched, share, x.soft); got != x.want {
			t.Errorf("%d of %d, soft %t: %t", x.touched, x.clients, x.soft, got)
		}
	}
	var nobody *earlier
	if !nobody.allows(nil, 0.005, false) || len(nobody.guests()) != 0 {
		t.Error("nobody forbids something")
	}
}

// TestANewNameSaysNoMoreThanThatItIsNew: an agent that one suspect has and no normal client says what a
// new agent says, of which normal clients have many.
func TestANewNameSaysNoMoreThanThatItIsNew(t *testing.T) {
	x := NewExtractor(1)
	r := rand.New(rand.NewPCG(1, 2))
	normal, suspect := NewSample(x, 1<<16), NewSample(x, 4096)
	for i := range 1000 {
		agent := agents[i%len(agents)]
		if i%4 == 0 {
			agent = fmt.Sprintf("Server/%d", i)
		}
		normal.take(request(r.Uint32(), agent, "gzip", "/page1", "", schemas.CookieNone))
	}
	for i := range 400 {
		agent := "python-requests/2.3"
		if i%8 == 0 {
			agent = fmt.Sprintf("Server/4%d", i)
		}
		suspect.take(request(r.Uint32(), agent, "gzip", "/page1", "", schemas.CookieNone))
	}
	normal.Span, suspect.Span = 1000*time.Second, time.Minute
	a := newAnalysis(normal, suspect, Budget{}.withDefaults())
	s := a.scorer()
	say := func(agent string) float64 {
		var first Traits
		x.Profile(&first, request(1, agent, "gzip", "/", "", schemas.CookieNone))
		return s.ofTrait(schemas.TraitUserAgent, &first, aSuspect)
	}
	if one, many := say("Server/40"), say("python-requests/2.3"); one > 0 || many < 4 {
		t.Errorf("a name of one server speaks with %.1f bits for the attack, what most of the attack have with %.1f", one, many)
	}
}
