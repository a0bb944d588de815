package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// An edge hears what machines call of the sites that the configuration names and of those
// that were recognised; requests that a site does not serve are no sign.
func TestMachinesOfRecognisedSites(t *testing.T) {
	c := config.Default()
	c.Nginx.Directory = t.TempDir()
	c.Sites = map[string]config.Site{"named.example.org": {Profile: "apt"}}
	apps := newApplications(c)
	tell := apps.telling(slog.New(slog.DiscardHandler))
	for i := range 2000 {
		for site, status := range map[string]uint16{"social.example.org": 200, "attacked.example.org": 404, "named.example.org": 200} {
			path := []byte([]string{"/packs/x.js", "/users/someone/inbox", "/users/someone/statuses/1", "/@someone"}[i%4])
			tell(&schemas.Request{Site: []byte(site), Path: path, Status: status})
		}
		tell(&schemas.Request{Site: fmt.Appendf(nil, "random%d.example.org", i), Path: []byte("/inbox"), Status: 200})
	}
	var machines map[string][]profile.Rule
	apps.watched(func(rules map[string][]profile.Rule) { machines = rules })
	if len(machines) != 2 {
		t.Errorf("machines call %d sites, want 2", len(machines))
	}
	for _, x := range []struct {
		site, path string
		want       bool
	}{
		{"social.example.org", "/users/someone/inbox", true},
		{"social.example.org", "/explore", false},
		{"named.example.org", "/dists/stable/InRelease", true},
		{"named.example.org", "/users/someone/inbox", false},
	} {
		rules := machines[x.site]
		first := slices.IndexFunc(rules, func(r profile.Rule) bool { return regexp.MustCompile(r.Expression).MatchString(x.path + "?") })
		if called := first >= 0 && rules[first].Of; called != x.want {
			t.Errorf("machines call %s%s: %v, want %v", x.site, x.path, called, x.want)
		}
	}
}

// serves adds requests that a site has served.
func (a *applications) serves(site string, paths ...string) {
	for i := range 600 {
		a.add(&schemas.Request{Site: []byte(site), Path: []byte(paths[i%len(paths)]), Status: 200})
	}
}

// Sites that come later, a hostile crowd of them with one request each, take no place for
// long from one that is asked for.
func TestManyHostsTakeNoPlace(t *testing.T) {
	a := newApplications(config.Default())
	for i := range 50 * maxApplications {
		a.add(&schemas.Request{Site: fmt.Appendf(nil, "random%d.example", i), Path: []byte("/inbox"), Status: 200})
		if i > 2*maxApplications {
			a.add(&schemas.Request{Site: []byte("social.example"), Path: []byte([]string{"/packs/x.js", "/users/jo/inbox"}[i%2]), Status: 200})
		}
	}
	if p := a.of("social.example"); p == nil || p.Name() != "mastodon" {
		t.Errorf("found %v among many", p)
	}
	if len(a.sites) > maxApplications {
		t.Errorf("%d sites are kept", len(a.sites))
	}
}

// What a collector recognises is told over NATS to an edge that reads no requests, and a
// real nginx there leaves it alone; a collector that starts anew tells it again, until it
// sees something else.
func TestRecognisedReachesEveryEdge(t *testing.T) {
	edge := newLiveEdge(t)
	until := func(what string, inbox int) {
		t.Helper()
		edge.until(what, nil, func() bool { return edge.ask("/inbox") == inbox && edge.ask("/explore") == http.StatusForbidden })
	}
	collector := func() *applicationsTeller {
		return &applicationsTeller{apps: newApplications(config.Default()), bus: nearBus{edge.bus}, edge: "web1", log: slog.New(slog.DiscardHandler), started: time.Now()}
	}
	tell := func(c *applicationsTeller) {
		t.Helper()
		if err := c.step(edge.ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	told := func() map[string]string {
		t.Helper()
		_, data, err := edge.bus.Last(edge.ctx, schemas.StreamEdges, schemas.SubjectApplications("web1"))
		if err != nil || data == nil {
			return nil
		}
		list, err := schemas.DecodeApplications(data)
		if err != nil {
			t.Fatal(err)
		}
		return list.Sites
	}
	site := added("i1-1", "i1", "weir", "shop.example")
	site.Scope, site.Value, site.Expires = schemas.ScopeSite, "shop.example", time.Now().Add(time.Hour)
	edge.decide(site)
	until("the measure is not in force", http.StatusForbidden)

	first := collector()
	if tell(first); told() != nil {
		t.Error("nothing was recognised, and that is told")
	}
	first.apps.serves("shop.example", "/packs/x.js", "/users/jo/inbox")
	tell(first)
	until("what machines call is not left alone", http.StatusOK)

	second := collector()
	second.apps.serves("forge.example", "/assets/js/index.js", "/jo/x/src/branch/main/a.go")
	if tell(second); told()["shop.example"] != "mastodon" || told()["forge.example"] != "forgejo" {
		t.Errorf("told after a start: %v", told())
	}
	second.apps.serves("shop.example", "/news/1", "/news/2")
	if tell(second); len(told()) != 1 {
		t.Errorf("told of a site that is another: %v", told())
	}
	until("what machines called is left alone for ever", http.StatusForbidden)
}
