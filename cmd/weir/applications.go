package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// profilesOf are the applications that the configuration names.
func profilesOf(c config.Config) (map[string]*profile.Profile, error) {
	profiles := make(map[string]*profile.Profile)
	for site, s := range c.Sites {
		if s.Profile == "" {
			continue
		}
		p, err := profile.ByName(s.Profile)
		if err != nil {
			return nil, usageError{err}
		}
		profiles[site] = p
	}
	return profiles, nil
}

// maxApplications bounds the sites whose application is looked for.
const maxApplications = 1024

// applications recognises what sites are from their requests.
type applications struct {
	catalogue *profile.Catalogue
	named     map[string]config.Site

	mu    sync.Mutex // logs that are followed share it
	sites map[string]*profile.Recogniser
	paths map[string][]string // see machines; it is replaced, not changed
}

func newApplications(c config.Config) *applications {
	a := &applications{catalogue: profile.NewCatalogue(), named: c.Sites, sites: make(map[string]*profile.Recogniser), paths: make(map[string][]string)}
	profiles, _ := profilesOf(c) // a configuration names none that there is not
	for site, p := range profiles {
		a.paths[site] = p.Expressions(profile.Machine)
	}
	return a
}

// machines are, by site, expressions of the paths that machines call: of the applications
// that the configuration names, and of those that were recognised. That a site is taken for
// another takes many requests that it serves, and spares no client, prefix or signature: the
// worst that it does is that a measure on the whole site leaves these paths alone.
func (a *applications) machines() map[string][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.paths
}

// add takes one request, and reports the application of its site where it is recognised
// with it, and the configuration does not name one.
func (a *applications) add(r *schemas.Request) (found *profile.Profile) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.sites[string(r.Site)]
	if !ok {
		if len(a.sites) == maxApplications || a.named[string(r.Site)].Profile != "" {
			return nil
		}
		s = a.catalogue.Recogniser()
		a.sites[string(r.Site)] = s
	}
	if !s.Add(r.Path, r.Query, r.Status) {
		return nil
	}
	a.paths = maps.Clone(a.paths)
	delete(a.paths, string(r.Site))
	if found = s.Found(); found != nil {
		a.paths[string(r.Site)] = found.Expressions(profile.Machine)
	}
	return found
}

// telling is add that logs what was recognised.
func (a *applications) telling(log *slog.Logger) func(*schemas.Request) {
	return func(r *schemas.Request) {
		if found := a.add(r); found != nil {
			log.Info("a site looks like an application whose paths are known: measures on the whole site leave what machines call there alone; name it to have all of them understood", "site", string(r.Site),
				"profile", found.Name(), "configuration", fmt.Sprintf("sites: {%s: {profile: %s}}", r.Site, found.Name()))
		}
	}
}

// recognised is a site and the application that it looks like.
type recognised struct {
	Site    string `json:"site"`
	Profile string `json:"profile"`
}

// all is what was recognised so far, by site.
func (a *applications) all() (list []recognised) {
	for site, s := range a.sites {
		if found := s.Weigh(); found != nil {
			list = append(list, recognised{site, found.Name()})
		}
	}
	slices.SortFunc(list, func(a, b recognised) int { return cmp.Compare(a.Site, b.Site) })
	return list
}

func printApplications(w io.Writer, list []recognised) {
	for i, one := range list {
		if i == shownSites {
			fmt.Fprintf(w, "  application      and %d sites more\n", len(list)-i)
			return
		}
		site := one.Site
		if site == "" {
			site = "this site"
		}
		fmt.Fprintf(w, "  application      %s looks like %s: sites: {%s: {profile: %s}} in the configuration has its paths understood\n",
			printable(site, 80), one.Profile, printable(cmp.Or(one.Site, "its name"), 80), one.Profile)
	}
}
