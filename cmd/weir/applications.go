package main

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
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
const maxApplications = schemas.MaxApplications

// applications knows what sites are: what the configuration names, what this process
// recognises from their requests, and what other edges have told.
type applications struct {
	catalogue *profile.Catalogue
	named     map[string]*profile.Profile

	mu    sync.Mutex // logs that are followed share it
	sites map[string]*profile.Recogniser
	found map[string]*profile.Profile            // here
	told  map[string]map[string]*profile.Profile // by the edge that says so
	watch func(map[string][]profile.Rule)        // nil: nobody
}

func newApplications(c config.Config) *applications {
	named, _ := profilesOf(c) // a configuration names none that there is not
	return &applications{
		catalogue: profile.NewCatalogue(), named: named, sites: make(map[string]*profile.Recogniser),
		found: make(map[string]*profile.Profile), told: make(map[string]map[string]*profile.Profile),
	}
}

// of is what a site is; nil where that is not known.
func (a *applications) of(site string) *profile.Profile {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known()[site]
}

// known are all sites that something is known of: what the configuration names counts before
// what was recognised here, and that before what other edges say, of whom most count. The
// mutex is held.
func (a *applications) known() map[string]*profile.Profile {
	votes := make(map[string]map[*profile.Profile]int)
	for _, sites := range a.told {
		for site, p := range sites {
			if votes[site] == nil {
				votes[site] = make(map[*profile.Profile]int)
			}
			votes[site][p]++
		}
	}
	all := make(map[string]*profile.Profile, len(votes))
	for site, by := range votes {
		for p, n := range by {
			if old := all[site]; old == nil || n > by[old] || n == by[old] && p.Name() < old.Name() {
				all[site] = p
			}
		}
	}
	maps.Copy(all, a.found)
	maps.Copy(all, a.named)
	return all
}

// watched calls f with the rules of what machines call, by site, now and whenever they
// change. That a site is taken for another takes many requests that it serves, and spares no
// client, prefix or signature: the worst that it does is that a measure on the whole site
// leaves these paths alone.
func (a *applications) watched(f func(map[string][]profile.Rule)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watch = f
	a.changed()
}

// changed tells whoever watches. The mutex is held.
func (a *applications) changed() {
	if a.watch == nil {
		return
	}
	rules, of := make(map[string][]profile.Rule), make(map[string][]profile.Rule)
	for site, p := range a.known() {
		if of[p.Name()] == nil {
			of[p.Name()] = p.Rules(profile.Machine)
		}
		rules[site] = of[p.Name()]
	}
	a.watch(rules)
}

// add takes one request, and reports the application of its site where it is recognised
// with it, and the configuration does not name one.
func (a *applications) add(r *schemas.Request) (found *profile.Profile) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.sites[string(r.Site)]
	if !ok {
		if s = a.room(r); s == nil {
			return nil
		}
		a.sites[string(r.Site)] = s
	}
	if !s.Add(r.Path, r.Query, r.Status) {
		return nil
	}
	delete(a.found, string(r.Site))
	if found = s.Found(); found != nil {
		a.found[string(r.Site)] = found
	}
	a.changed()
	return found
}

// Where there is no room, one request of so many makes its site take the place of the least
// served of a few: random hosts take nobody's place for long.
const (
	oneNewcomerOf = 16
	ofSome        = 8
)

// room is where a new site's requests are added; nil where it has none. The mutex is held.
func (a *applications) room(r *schemas.Request) *profile.Recogniser {
	if a.named[string(r.Site)] != nil || r.Status >= 400 {
		return nil
	}
	if len(a.sites) < maxApplications {
		return a.catalogue.Recogniser()
	}
	if rand.IntN(oneNewcomerOf) != 0 {
		return nil
	}
	least, looked := "", 0
	for site, s := range a.sites { // in no order
		if looked == 0 || s.Served() < a.sites[least].Served() {
			least = site
		}
		if looked++; looked == ofSome {
			break
		}
	}
	s := a.sites[least]
	delete(a.sites, least)
	delete(a.found, least)
	s.Reset()
	return s
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

// application is what a site is known to be.
type application struct {
	Profile string `json:"profile"`
	Named   bool   `json:"named"` // by the configuration; recognised where not
}

// list is what is known of all sites.
func (a *applications) list() map[string]application {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[string]application)
	for site, p := range a.known() {
		all[site] = application{p.Name(), a.named[site] != nil}
	}
	return all
}
