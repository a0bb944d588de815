package nginx

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// far is an expiry that no test reaches.
var far = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

func measure(id string, action schemas.Action, scope schemas.Scope, value string, sites ...string) Measure {
	return Measure{ID: id, Action: action, Scope: scope, Value: value, Sites: sites, Expires: far}
}

// everything has each scope, several measures of one key, and sites.
var everything = Set{
	Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8:a::/48")},
	Measures: []Measure{
		measure("i1-1", schemas.Block, schemas.ScopeClient, "198.51.100.7"),
		measure("i1-2", schemas.Throttle, schemas.ScopeClient, "198.51.100.8"),
		measure("i1-3", schemas.Block, schemas.ScopeClient, "198.51.100.8", "shop.example.org"),
		measure("i1-4", schemas.Block, schemas.ScopeClient, "2001:db8:1:2::"),
		measure("i1-5", schemas.Block, schemas.ScopeClient, "2001:db8::/64"),
		measure("i1-6", schemas.Challenge, schemas.ScopePrefix, "203.0.113.0/24"),
		measure("i1-7", schemas.Block, schemas.ScopePrefix, "203.0.113.128/25", "a.example", "b.example"),
		measure("i1-8", schemas.Block, schemas.ScopePrefix, "2001:db8:ff00::/40"),
		measure("i1-9", schemas.Block, schemas.ScopeSignature, `user_agent="Bad" accept_language=""`),
		measure("i1-10", schemas.Throttle, schemas.ScopeSignature, `method="HEAD"`, "shop.example.org"),
		measure("i1-11", schemas.Throttle, schemas.ScopeSignature, `user_agent="Bad"`),
		measure("i1-12", schemas.Throttle, schemas.ScopeSite, "default"),
		measure("i1-13", schemas.Block, schemas.ScopeSite, strings.Repeat("long.", 30)+"example"),
		measure("i1-14", schemas.Block, schemas.ScopeClient, "192.0.2.1"),
		measure("i1-15", schemas.Throttle, schemas.ScopeClient, "203.0.113.200"),
	},
}

func TestVerdictsInNginx(t *testing.T) {
	s := newServer(t, includeHTTP, site)
	s.apply(everything)
	s.start()
	tests := []struct {
		host, from, line string
		action, decision string
	}{
		{"www.example.org", "198.51.100.6", "", "allow", ""},
		{"www.example.org", "198.51.100.7", "", "block", "i1-1"},
		{"www.example.org", "::ffff:198.51.100.7", "", "block", "i1-1"},
		{"www.example.org", "198.51.100.8", "", "throttle", "i1-2"},
		{"Shop.Example.org:8080", "198.51.100.8", "", "block", "i1-3"},
		{"www.example.org", "2001:db8:1:2:3:4:5:6", "", "block", "i1-4"},
		{"www.example.org", "2001:db8:1:2::", "", "block", "i1-4"},
		{"www.example.org", "2001:db8:1:3::", "", "allow", ""},
		{"www.example.org", "2001:db8::1", "", "block", "i1-5"},
		{"www.example.org", "2001:db8:0:1::1", "", "allow", ""},
		{"www.example.org", "203.0.113.1", "", "challenge", "i1-6"},
		{"www.example.org", "203.0.113.129", "", "challenge", "i1-6"},
		{"b.example", "203.0.113.129", "", "block", "i1-7"},
		{"b.example", "203.0.113.200", "", "throttle", "i1-15"}, // a client comes before a prefix
		{"www.example.org", "2001:db8:ff12:3456::1", "", "block", "i1-8"},
		{"www.example.org", "198.51.100.6", "User-Agent: Bad", "block", "i1-9"},
		{"www.example.org", "198.51.100.6", "User-Agent: bad", "allow", ""},
		{"www.example.org", "198.51.100.6", "User-Agent: Bad\r\nAccept-Language: de", "throttle", "i1-11"},
		{"default", "198.51.100.6", "", "throttle", "i1-12"},
		{strings.Repeat("long.", 30) + "example", "198.51.100.6", "", "block", "i1-13"},
		{strings.Repeat("long.", 30) + "examplf", "198.51.100.6", "", "allow", ""},
		{"www.example.org", "192.0.2.1", "User-Agent: Bad", "allow", ""}, // allowlisted
		{"www.example.org", "2001:db8:a::1", "User-Agent: Bad", "allow", ""},
	}
	w := s.dial()
	for _, x := range tests {
		lines := []string{}
		if x.line != "" {
			lines = append(lines, x.line)
		}
		status, body := w.say(get(x.host, "/x.zip", x.from, lines...))
		want := map[string]int{"allow": 200, "block": 403, "challenge": 429, "throttle": 429}[x.action]
		if status != want || !strings.Contains(body, x.decision) {
			t.Errorf("%s from %s %s: %d %q, want %s for %q", x.host, x.from, x.line, status, body, x.action, x.decision)
		}
		if x.action == "allow" && !strings.HasPrefix(body, "allow||") {
			t.Errorf("%s from %s: %q, want no decision", x.host, x.from, body)
		}
	}
	status, _ := w.say("HEAD / HTTP/1.1\r\nHost: shop.example.org\r\nX-Forwarded-For: 198.51.100.6\r\n\r\n")
	if status != 429 {
		t.Errorf("HEAD at the shop: %d, want 429", status)
	}
}

// A measure on a whole site leaves what machines call there alone, and no other site's.
func TestSiteMeasuresSpareMachines(t *testing.T) {
	forum, err := profile.ByName("mastodon")
	if err != nil {
		t.Fatal(err)
	}
	shop, err := profile.ByName("woocommerce")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, includeHTTP, site)
	s.apply(Set{
		Measures: []Measure{
			measure("i1-1", schemas.Block, schemas.ScopeSite, "social.example.org"),
			measure("i1-2", schemas.Block, schemas.ScopeSite, "www.example.org"),
			measure("i1-3", schemas.Block, schemas.ScopeClient, "198.51.100.7"),
			measure("i1-4", schemas.Block, schemas.ScopeSite, "shop.example.org"),
		},
		Machines: map[string][]profile.Rule{"social.example.org": forum.Rules(profile.Machine), "shop.example.org": shop.Rules(profile.Machine), "unused.example.org": forum.Rules(profile.Machine)},
	})
	s.start()
	w := s.dial()
	for _, x := range []struct {
		host, path, from string
		want             int
	}{
		{"social.example.org", "/explore", "198.51.100.6", 403},
		{"social.example.org", "/inbox", "198.51.100.6", 200},
		{"social.example.org", "/users/someone/inbox?x=1", "198.51.100.6", 200},
		{"social.example.org", "/explore?/inbox", "198.51.100.6", 403},
		{"social.example.org", "//%69nbox", "198.51.100.6", 200},
		{"social.example.org", "/api/../explore", "198.51.100.6", 403},
		{"social.example.org", "/api/%2e%2e/explore", "198.51.100.6", 403},
		{"social.example.org", "/api/v1/instance", "198.51.100.6", 200},
		{"social.example.org", "/api/v2/search?q=x", "198.51.100.6", 403}, // dear, before it is the API's
		{"shop.example.org", "/?wc-api=wc_stripe", "198.51.100.6", 200},
		{"shop.example.org", "/?page=2&wc-api", "198.51.100.6", 200},
		{"shop.example.org", "/?page=wc-api", "198.51.100.6", 403},
		{"shop.example.org", "/wp-json/wc/store/v1/cart", "198.51.100.6", 403},
		{"shop.example.org", "/wp-json/wc/v3/orders?page=2", "198.51.100.6", 200},
		{"social.example.org", "/inbox", "198.51.100.7", 403}, // a client that attacks is no machine to spare
		{"www.example.org", "/inbox", "198.51.100.6", 403},
		{"other.example.org", "/inbox", "198.51.100.6", 200},
	} {
		if status, body := w.say(get(x.host, x.path, x.from)); status != x.want {
			t.Errorf("%s%s from %s: %d %q, want %d", x.host, x.path, x.from, status, body, x.want)
		}
	}
}

// A site's application may be recognised long after its measure came.
func TestMachinesAreTold(t *testing.T) {
	forum, err := profile.ByName("mastodon")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, includeHTTP, site)
	s.start()
	o := s.options()
	o.OldWorkers = func() int { return 0 } // of other tests' nginx there may be many
	e := newEnforcer(t, o)
	running(t, e)
	ctx := within(t)
	e.Apply(added(measure("i1-1", schemas.Block, schemas.ScopeSite, "social.example.org")))
	expect := func(path string, want int) {
		t.Helper()
		if err := s.until(ctx, get("social.example.org", path, "198.51.100.6"), answers(want)); err != nil {
			t.Error(err)
		}
	}
	expect("/inbox", 403)
	e.Machines(map[string][]profile.Rule{"social.example.org": forum.Rules(profile.Machine)})
	expect("/inbox", 200)
	expect("/explore", 403)
}
