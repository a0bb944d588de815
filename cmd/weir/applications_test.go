package main

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"testing"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// The nginx of a weir run hears what machines call of the sites that the configuration
// names and of those that were recognised; requests that a site does not serve are no sign.
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
	machines := nginxOptions(c, apps, slog.New(slog.DiscardHandler), nil).Machines()
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
		called := slices.ContainsFunc(machines[x.site], func(e string) bool { return regexp.MustCompile(e).MatchString(x.path) })
		if called != x.want {
			t.Errorf("machines call %s%s: %v, want %v", x.site, x.path, called, x.want)
		}
	}
}
