package nginx

import (
	"net/netip"
	"testing"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// FuzzFiles: whatever a decision says, nginx takes the files, and who is in no decision is
// answered: what cannot be carried exactly is refused, and nothing of it is written.
func FuzzFiles(f *testing.F) {
	f.Add(uint8(0), uint8(0), "i1-1", "192.0.2.1", "www.example.org", "mastodon")
	f.Add(uint8(1), uint8(1), "i1;}", "10.0.0.0/8", "a b", "apt")
	f.Add(uint8(2), uint8(2), "i1-3", `path_shape="/a1/x3" method="GET"`, "default", "gitlab")
	f.Add(uint8(2), uint8(0), "i1-4", `referer="other" user_agent="$host\\\"; } #"`, "~.*", "forgejo")
	f.Add(uint8(3), uint8(0), "i1-5", "www.example.org", "www.example.org", "nextcloud")
	f.Add(uint8(2), uint8(2), "i1-6", `path_known="no" method="GET"`, "www.example.org", "none")
	f.Add(uint8(3), uint8(0), "x\n", "$host", "h;\nmap", "woocommerce")
	scopes := []schemas.Scope{schemas.ScopeClient, schemas.ScopePrefix, schemas.ScopeSignature, schemas.ScopeSite, "another"}
	actions := []schemas.Action{schemas.Block, schemas.Challenge, schemas.Throttle, "another"}
	f.Fuzz(func(t *testing.T, scope, action uint8, id, value, at, app string) {
		one := Measure{ID: id, Action: actions[int(action)%len(actions)], Scope: scopes[int(scope)%len(scopes)], Value: value, Expires: far}
		everywhere, there := one, one
		there.Sites = []string{at, "other.example"}
		there.Hand = true
		s := newServer(t, includeHTTP, site)
		s.single()
		if err := Install(s.dir(), SnippetOptions{UnknownRate: 12}); err != nil {
			t.Fatal(err)
		}
		var machines []profile.Rule
		if p, err := profile.ByName(app); err == nil {
			machines = p.Rules(profile.Machine)
		}
		s.apply(Set{
			Limit: true,
			Lists: NewLists(knownPaths(at, "/", value), knownPaths(value, "/"+id),
				knownOf(schemas.ListedAgents, at, value, id), knownOf(schemas.ListedAgents, value, id), knownOf(schemas.ListedQueries, at, value, id)),
			Measures: []Measure{everywhere, there, measure("i0-1", schemas.Block, schemas.ScopeClient, "203.0.113.250")},
			Machines: map[string][]profile.Rule{at: machines, value: machines},
			Regulars: NewRegularList([]schemas.SiteRegulars{{Site: at, Clients: []netip.Addr{netip.MustParseAddr("198.51.100.1")}}}),
		})
		s.start() // it fails where nginx -t would
		if status, body := s.dial().say(get("nobody.example", "/nothing", "203.0.113.250", "X: y")); status != 403 && status != 429 {
			t.Errorf("%+v: who is blocked gets %d %q", one, status, body)
		}
	})
}
