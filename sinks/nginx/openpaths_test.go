package nginx

import (
	"net/netip"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// TestAllowedPaths: what is asked of an allowlisted path is let through whatever is decided, on that site
// and nowhere else, and nothing that only looks like it is; who writes odd paths gains nothing.
func TestAllowedPaths(t *testing.T) {
	s := newServer(t, includeHTTP, site)
	set := Set{
		Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")},
		AllowPaths: map[string][]string{"shop.example.org": {"/healthz", "/hooks/", `/odd"$;{}\.(x)`},
			"www.example.org": {"/v1.0/ping"}},
		Measures: []Measure{
			measure("i1-1", schemas.Block, schemas.ScopeClient, "198.51.100.7"),
			measure("i1-2", schemas.Block, schemas.ScopePrefix, "203.0.113.0/24"),
			measure("i1-3", schemas.Block, schemas.ScopeSignature, `user_agent="Bad"`),
			measure("i1-4", schemas.Block, schemas.ScopeSite, "www.example.org"),
		},
	}
	s.apply(set)
	s.start()
	w := s.dial()
	for _, x := range []struct {
		host, path, from, line string
		want                   int
	}{
		{"shop.example.org", "/healthz", "198.51.100.7", "", 200},
		{"shop.example.org", "/healthz?full=1", "203.0.113.9", "", 200},
		{"shop.example.org", "/hooks/stripe", "198.51.100.6", "User-Agent: Bad", 200},
		{"shop.example.org", `/odd"$;{}\.(x)`, "198.51.100.7", "", 200},
		{"shop.example.org", "/healthz/more", "198.51.100.7", "", 403},
		{"shop.example.org", "/Healthz", "198.51.100.7", "", 403},
		{"shop.example.org", "/hooks", "198.51.100.7", "", 403},
		{"shop.example.org", "/x?/healthz", "198.51.100.7", "", 403},
		{"shop.example.org", "/x/healthz", "198.51.100.7", "", 403},
		{"shop.example.org", "/hooks/../admin", "198.51.100.7", "", 403},
		{"shop.example.org", "/hooks/%2e%2e/admin", "198.51.100.7", "", 403},
		{"shop.example.org", "/a/../healthz", "198.51.100.7", "", 200},
		{"shop.example.org", "/odd", "198.51.100.7", "", 403},
		{"other.example.org", "/healthz", "198.51.100.7", "", 403},
		{"www.example.org", "/v1.0/ping", "198.51.100.6", "", 200},
		{"www.example.org", "/v1x0/ping", "198.51.100.6", "", 403},
		{"www.example.org", "/", "192.0.2.1", "", 200}, // allowed by its address, as ever
	} {
		var lines []string
		if x.line != "" {
			lines = append(lines, x.line)
		}
		if status, body := w.say(get(x.host, x.path, x.from, lines...)); status != x.want {
			t.Errorf("%s%s from %s %s: %d %q, want %d", x.host, x.path, x.from, x.line, status, body, x.want)
		}
	}
}
