package judge

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

var start = time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC)

func decision(id string, action schemas.Action, scope schemas.Scope, value string, sites ...string) schemas.Event {
	return schemas.Event{
		Type: schemas.DecisionAdded, Time: start, Sites: sites,
		Decision: &schemas.Decision{ID: id, Action: action, Scope: scope, Value: value, Expires: start.Add(10 * time.Minute)},
	}
}

func request(at time.Duration, client, site string) *schemas.Request {
	return &schemas.Request{
		Time: start.Add(at).UnixMilli(), Client: netip.MustParseAddr(client), Site: []byte(site),
		Method: []byte("GET"), Path: []byte("/a/b"), Protocol: []byte("HTTP/1.1"), UserAgent: []byte("curl/8"),
		Fields: schemas.FieldUserAgent | schemas.FieldReferer,
	}
}

func TestJudge(t *testing.T) {
	all := []schemas.Event{
		decision("d-client", schemas.Throttle, schemas.ScopeClient, "192.0.2.1"),
		decision("d-64", schemas.Block, schemas.ScopeClient, "2001:db8:1:2:3::4"),
		decision("d-prefix", schemas.Block, schemas.ScopePrefix, "192.0.2.0/24", "shop.example.org"),
		decision("d-wide", schemas.Challenge, schemas.ScopePrefix, "192.0.0.0/16"),
		decision("d-curl", schemas.Challenge, schemas.ScopeSignature, `user_agent="curl/8" referer="none"`, "www.example.org"),
		decision("d-post", schemas.Block, schemas.ScopeSignature, `method="GET" path_shape="/a1/a1"`, "www.example.org"),
		decision("d-site", schemas.Throttle, schemas.ScopeSite, "down.example.org", "down.example.org"),
	}
	for _, c := range []struct {
		name   string
		r      *schemas.Request
		action schemas.Action
		id     string
	}{
		{"before it has reached the edge", request(1999*time.Millisecond, "192.0.2.1", "x"), schemas.Allow, ""},
		{"client before prefix, though milder", request(2*time.Second, "192.0.2.1", "shop.example.org"), schemas.Throttle, "d-client"},
		{"expired", request(10*time.Minute, "192.0.2.1", "x"), schemas.Allow, ""},
		{"the client of an IPv6 address is its /64", request(time.Minute, "2001:db8:1:2:ffff::1", "x"), schemas.Block, "d-64"},
		{"another /64", request(time.Minute, "2001:db8:1:3::1", "x"), schemas.Allow, ""},
		{"block before challenge among prefixes", request(time.Minute, "192.0.2.2", "shop.example.org"), schemas.Block, "d-prefix"},
		{"a longer prefix of another site does not hide a shorter one", request(time.Minute, "192.0.2.2", "x"), schemas.Challenge, "d-wide"},
		{"block before challenge among signatures", request(time.Minute, "198.51.100.1", "www.example.org"), schemas.Block, "d-post"},
		{"signature of another site", request(time.Minute, "198.51.100.1", "x"), schemas.Allow, ""},
		{"site", request(time.Minute, "198.51.100.1", "down.example.org"), schemas.Throttle, "d-site"},
		{"allowlist first", request(time.Minute, "192.0.2.77", "shop.example.org"), schemas.Allow, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := New(Options{Propagation: 2 * time.Second, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.77/32")}})
			for _, event := range all {
				if err := e.Apply(event); err != nil {
					t.Fatal(err)
				}
			}
			if action, id := e.Judge(c.r); action != c.action || id != c.id {
				t.Errorf("got %s by %q, want %s by %q", action, id, c.action, c.id)
			}
		})
	}
}

func TestUnknownTraitNeverMatches(t *testing.T) {
	e := New(Options{})
	if err := e.Apply(decision("d", schemas.Block, schemas.ScopeSignature, `accept_language=""`)); err != nil {
		t.Fatal(err)
	}
	r := request(time.Minute, "192.0.2.1", "x") // its format carries no accept_language
	if action, _ := e.Judge(r); action != schemas.Allow {
		t.Errorf("a trait that the format does not carry matched as empty: %s", action)
	}
	r.Fields |= schemas.FieldAcceptLanguage
	if action, _ := e.Judge(r); action != schemas.Block {
		t.Errorf("an empty, known trait did not match: %s", action)
	}
}

func TestRenewedRemovedSwept(t *testing.T) {
	e := New(Options{Propagation: time.Second})
	added := decision("d", schemas.Block, schemas.ScopeClient, "192.0.2.1")
	at := func(d time.Duration) schemas.Action {
		action, _ := e.Judge(request(d, "192.0.2.1", "x"))
		return action
	}
	must := func(event schemas.Event) {
		t.Helper()
		if err := e.Apply(event); err != nil {
			t.Fatal(err)
		}
	}
	must(added)
	renewed := added
	renewed.Type, renewed.Time = schemas.DecisionRenewed, start.Add(9*time.Minute)
	renewed.Decision = &schemas.Decision{ID: "d", Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.1", Expires: start.Add(19 * time.Minute)}
	must(renewed)
	if at(15*time.Minute) != schemas.Block {
		t.Error("renewed, but not in force")
	}
	removed := renewed
	removed.Type, removed.Time = schemas.DecisionRemoved, start.Add(16*time.Minute)
	must(removed)
	if at(16*time.Minute+999*time.Millisecond) != schemas.Block || at(16*time.Minute+time.Second) != schemas.Allow {
		t.Error("a removal counts from its time plus the propagation")
	}
	late := decision("other", schemas.Block, schemas.ScopeClient, "192.0.2.2")
	late.Time = start.Add(time.Hour)
	must(late)
	if e.Held() != 1 {
		t.Errorf("holds %d decisions, want the live one only", e.Held())
	}
}

func TestApplyRefuses(t *testing.T) {
	e := New(Options{})
	for _, event := range []schemas.Event{
		decision("d", schemas.Block, schemas.ScopeClient, "localhost"),
		decision("d", schemas.Block, schemas.ScopePrefix, "192.0.2.1"),
		decision("d", schemas.Block, schemas.ScopeSignature, "agent=x"),
		decision("d", schemas.Block, "planet", "earth"),
	} {
		if err := e.Apply(event); err == nil || e.Held() != 0 {
			t.Errorf("%s %q was taken", event.Scope, event.Value)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	e := New(Options{})
	for i := range 10000 {
		_ = e.Apply(decision(fmt.Sprintf("c%d", i), schemas.Block, schemas.ScopeClient, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()))
	}
	for i := range 50 {
		_ = e.Apply(decision(fmt.Sprintf("s%d", i), schemas.Block, schemas.ScopeSignature, fmt.Sprintf(`user_agent="agent %d" referer="none"`, i), "www.example.org"))
	}
	r := request(time.Minute, "192.0.2.9", "www.example.org")
	b.ReportAllocs()
	for b.Loop() {
		e.Judge(r)
	}
}

// A decision on a whole site leaves what machines call there alone; one on a client does not.
func TestSiteDecisionsSpareMachines(t *testing.T) {
	app, err := profile.ByName("mastodon")
	if err != nil {
		t.Fatal(err)
	}
	e := New(Options{Profiles: map[string]*profile.Profile{"social.example.org": app}})
	for _, d := range []schemas.Event{
		decision("d-site", schemas.Block, schemas.ScopeSite, "social.example.org", "social.example.org"),
		decision("d-plain", schemas.Block, schemas.ScopeSite, "www.example.org", "www.example.org"),
		decision("d-client", schemas.Block, schemas.ScopeClient, "192.0.2.1"),
	} {
		if err := e.Apply(d); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ client, site, path, want string }{
		{"192.0.2.9", "social.example.org", "/explore", "d-site"},
		{"192.0.2.9", "social.example.org", "/inbox", ""},
		{"192.0.2.9", "social.example.org", "//%69nbox", ""},
		{"192.0.2.9", "social.example.org", "/api/../explore", "d-site"},
		{"192.0.2.9", "social.example.org", "/api/%2e%2e/explore", "d-site"},
		{"192.0.2.9", "social.example.org", "/api/v2/search", "d-site"},
		{"192.0.2.1", "social.example.org", "/inbox", "d-client"},
		{"192.0.2.9", "www.example.org", "/inbox", "d-plain"},
	} {
		r := request(time.Minute, c.client, c.site)
		r.Path = []byte(c.path)
		if _, got := e.Judge(r); got != c.want {
			t.Errorf("%s %s%s: decision %q, want %q", c.client, c.site, c.path, got, c.want)
		}
	}
}

// Which paths a site has counts from when the edge has been told, for requests of that time.
func TestKnownPaths(t *testing.T) {
	e := New(Options{Propagation: 2 * time.Second})
	asked := func(at time.Duration, site, path string) schemas.Action {
		r := request(at, "192.0.2.1", site)
		r.Path = []byte(path)
		action, _ := e.Judge(r)
		return action
	}
	for _, event := range []schemas.Event{
		decision("d-no", schemas.Throttle, schemas.ScopeSignature, `referer="none" path_known="no"`),
		decision("d-yes", schemas.Block, schemas.ScopeSignature, `user_agent="curl/8" path_known="yes"`, "b"),
	} {
		if err := e.Apply(event); err != nil {
			t.Fatal(err)
		}
	}
	if got := asked(5*time.Second, "a", "/x"); got != schemas.Allow {
		t.Errorf("without a list an unknown path gets %s", got)
	}
	e.Known(start.Add(8*time.Second), &schemas.SiteList{Site: "a", Entries: []string{"/", "/known"}})
	e.Known(start.Add(8*time.Second), &schemas.SiteList{Site: "b", Entries: []string{"/"}})
	e.Known(start.Add(18*time.Second), &schemas.SiteList{Site: "a", Entries: []string{"/", "/known", "/x"}})
	for _, c := range []struct {
		at         time.Duration
		site, path string
		want       schemas.Action
	}{
		{9 * time.Second, "a", "/x", schemas.Allow},
		{10 * time.Second, "a", "/x", schemas.Throttle},
		{10 * time.Second, "a", "/Known", schemas.Allow},
		{10 * time.Second, "a", "/known/", schemas.Throttle},
		{10 * time.Second, "a", "no path", schemas.Allow},
		{20 * time.Second, "a", "/x", schemas.Allow},
		{10 * time.Second, "a", "/img/new.PNG", schemas.Allow}, // what a page brings
		{10 * time.Second, "a", "/img/new.PNG/x", schemas.Throttle},
		{12 * time.Second, "a", "/x", schemas.Throttle}, // a line that comes late
		{20 * time.Second, "b", "/", schemas.Block},
		{20 * time.Second, "b", "/x", schemas.Throttle},
		{20 * time.Second, "c", "/x", schemas.Allow},
	} {
		if got := asked(c.at, c.site, c.path); got != c.want {
			t.Errorf("%s %s after %s: %s, want %s", c.site, c.path, c.at, got, c.want)
		}
	}
	r := request(20*time.Second, "192.0.2.1", "a")
	if n := testing.AllocsPerRun(100, func() { e.Judge(r) }); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// TestProbes: a client that is drawn is let past what weir decided on more than itself, and
// the decision is named; not past its own, nor past a person's.
func TestProbes(t *testing.T) {
	const key = "00c0ffee"
	at := time.Minute
	var probe, other netip.Addr
	for n := 1; !probe.IsValid() || !other.IsValid(); n++ {
		client := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
		if schemas.Probe(key, client, start.Add(at).UnixMilli()) {
			probe = client
		} else {
			other = client
		}
	}
	weirs := func(id string, action schemas.Action, scope schemas.Scope, value string, sites ...string) schemas.Event {
		e := decision(id, action, scope, value, sites...)
		e.Origin, e.Probes = schemas.OriginWeir, key
		return e
	}
	byHand := decision("m-curl", schemas.Throttle, schemas.ScopeSignature, `user_agent="curl/8"`, "hand.example.org")
	byHand.Origin = "anna"
	own := weirs("i-own", schemas.Block, schemas.ScopeClient, probe.String(), "own.example.org")
	own.Probes = ""
	e := New(Options{})
	for _, event := range []schemas.Event{
		weirs("i-curl", schemas.Block, schemas.ScopeSignature, `user_agent="curl/8"`),
		weirs("i-prefix", schemas.Challenge, schemas.ScopePrefix, "198.18.0.0/16", "www.example.org"),
		byHand, own,
	} {
		if err := e.Apply(event); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		client netip.Addr
		site   string
		action schemas.Action
		id     string
	}{
		{probe, "x", schemas.Allow, "i-curl"}, {other, "x", schemas.Block, "i-curl"},
		{probe, "www.example.org", schemas.Allow, "i-prefix"}, {other, "www.example.org", schemas.Challenge, "i-prefix"},
		{probe, "hand.example.org", schemas.Throttle, "m-curl"}, {other, "hand.example.org", schemas.Block, "i-curl"},
		{probe, "own.example.org", schemas.Block, "i-own"}, {other, "own.example.org", schemas.Block, "i-curl"},
	} {
		if action, id := e.Judge(request(at, c.client.String(), c.site)); action != c.action || id != c.id {
			t.Errorf("%s at %s: %s %q, want %s %q", c.client, c.site, action, id, c.action, c.id)
		}
	}
}

// TestAllowedPaths: as at nginx.
func TestAllowedPaths(t *testing.T) {
	e := New(Options{AllowPaths: map[string][]string{"shop.example.org": {"/healthz", "/hooks/"}}})
	if err := e.Apply(decision("d1", schemas.Block, schemas.ScopeClient, "198.51.100.7")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]schemas.Action{
		"/healthz": schemas.Allow, "/hooks/stripe": schemas.Allow, "/a/../healthz": schemas.Allow, "/%68ealthz": schemas.Allow,
		"/healthz/more": schemas.Block, "/hooks": schemas.Block, "/hooks/../admin": schemas.Block, "/hooks/%2e%2e/admin": schemas.Block, "/": schemas.Block,
	} {
		r := request(time.Minute, "198.51.100.7", "shop.example.org")
		r.Path = []byte(path)
		if got, _ := e.Judge(r); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		r.Site = []byte("www.example.org")
		if got, _ := e.Judge(r); got != schemas.Block {
			t.Errorf("%s of another site: %s", path, got)
		}
	}
}

// TestJudgeNetworks: where a client comes from counts in a score, the request's own address is asked, and nothing is allocated.
func TestJudgeNetworks(t *testing.T) {
	e := New(Options{})
	if err := e.Apply(decision("d-score", schemas.Challenge, schemas.ScopeScore, `12 of user_agent:2 "curl/8"=9 wide_network:0 "198.0.0.0/8"=3 narrow_network:0 "2a02:1200::/24"=3`, "www.example.org")); err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string]schemas.Action{
		"198.51.100.1": schemas.Challenge, "203.0.113.1": schemas.Allow, "2a02:12ff::1": schemas.Challenge, "2a02:1300::1": schemas.Allow,
	} {
		r := request(time.Minute, client, "www.example.org")
		if action, id := e.Judge(r); action != want || (id != "") != (want != schemas.Allow) {
			t.Errorf("%s: %s by %q, want %s", client, action, id, want)
		}
		if n := testing.AllocsPerRun(100, func() { e.Judge(r) }); n > 0 {
			t.Errorf("%s: %v allocations", client, n)
		}
	}
}
