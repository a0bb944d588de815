package nginx

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

func regularsOf(site string, clients ...string) schemas.SiteRegulars {
	s := schemas.SiteRegulars{Site: site}
	for _, c := range clients {
		s.Clients = append(s.Clients, netip.MustParseAddr(c))
	}
	return s
}

// A regular passes before what weir decided, on its own site and nowhere else, and never
// before a person's decision.
func TestRegularsPassInNginx(t *testing.T) {
	s := newServer(t, includeHTTP, site)
	byHand := func(m Measure) Measure { m.Hand = true; return m }
	s.apply(Set{
		Regulars: NewRegularList(
			[]schemas.SiteRegulars{regularsOf("a.example", "198.51.100.1", "2001:db8:1:2::"), regularsOf("default", "198.51.100.1")},
			[]schemas.SiteRegulars{regularsOf("b.example", "198.51.100.1", "198.51.100.2"), regularsOf("BAD {", "198.51.100.9")},
		),
		Measures: []Measure{
			measure("i1-1", schemas.Block, schemas.ScopeSignature, `user_agent="Bad"`),
			measure("i1-2", schemas.Block, schemas.ScopePrefix, "203.0.113.0/24"),
			byHand(measure("m1-3", schemas.Throttle, schemas.ScopeSignature, `user_agent="Worse"`)),
			measure("i1-4", schemas.Block, schemas.ScopeSignature, `user_agent="Worse"`),
			byHand(measure("m1-5", schemas.Block, schemas.ScopeClient, "198.51.100.2")),
		},
	})
	s.start()
	w := s.dial()
	for _, x := range []struct {
		host, from, agent string
		status            int
		decision          string
	}{
		{"a.example", "198.51.100.1", "Bad", 200, ""},
		{"default", "198.51.100.1", "Bad", 200, ""},
		{"b.example", "198.51.100.1", "Bad", 200, ""},
		{"c.example", "198.51.100.1", "Bad", 403, "i1-1"}, // of another site
		{"a.example", "198.51.100.3", "Bad", 403, "i1-1"}, // a newcomer
		{"a.example", "2001:db8:1:2::7", "Bad", 200, ""},
		{"a.example", "2001:db8:1:3::7", "Bad", 403, "i1-1"},
		{"a.example", "198.51.100.2", "Good", 403, "m1-5"},
		{"b.example", "198.51.100.2", "Good", 403, "m1-5"}, // a regular whom a person refused
		{"a.example", "198.51.100.1", "Worse", 429, "m1-3"},
		{"a.example", "198.51.100.3", "Worse", 403, "i1-4"},
		{"a.example", "203.0.113.5", "Good", 403, "i1-2"},
	} {
		status, body := w.say(get(x.host, "/x", x.from, "User-Agent: "+x.agent))
		if status != x.status || !strings.Contains(body, x.decision) {
			t.Errorf("%s from %s as %s: %d %q, want %d for %q", x.host, x.from, x.agent, status, body, x.status, x.decision)
		}
	}
}

// Regulars reach a running nginx with the next change, and by themselves a little later.
func TestRegularsOfARunningEdge(t *testing.T) {
	s := newServer(t, includeHTTP, site)
	s.start()
	e := newEnforcer(t, s.options())
	e.Regulars(3, []schemas.SiteRegulars{regularsOf("h.example", "10.0.0.1")})
	e.Apply(added(blocked(1)), added(blocked(2)))
	e.attempt(within(t))
	for _, x := range []struct {
		from   string
		status int
	}{{"10.0.0.1", 200}, {"10.0.0.2", 403}} {
		if err := s.until(within(t), get("h.example", "/", x.from), answers(x.status)); err != nil {
			t.Error(x.from, err)
		}
	}
	e.Regulars(3, nil)
	if wait := e.until(time.Now()); wait <= 0 || wait > regularsPace {
		t.Errorf("regulars alone are loaded after %s", wait)
	}
	e.attempt(within(t))
	s.refuses(t, "10.0.0.1")
}
