package main

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// maxTargets bounds the requests of which it is said what they are to an application.
const maxTargets = 8192

// targets are requests of a log, a uniform sample where there are many: what a site is, and
// so what they are to it, is known at the log's end.
type targets struct {
	seen   int
	random *rand.Rand // the same log gives the same sample
	kept   []target
}

type target struct {
	site, path, query string
	duration          int64 // microseconds
	timed             bool
}

func newTargets() *targets { return &targets{random: rand.New(rand.NewPCG(1, 2))} }

func (t *targets) add(r *schemas.Request) {
	at := len(t.kept)
	if t.seen++; at == maxTargets {
		if at = t.random.IntN(t.seen); at >= maxTargets {
			return
		}
	} else {
		t.kept = append(t.kept, target{})
	}
	t.kept[at] = target{string(r.Site), string(r.Path), string(r.Query), r.Duration, r.Fields.Has(schemas.FieldDuration)}
}

// kindShare is what part of a site's requests are of a kind, and what part of the time of
// all it takes to answer them, where the log says that.
type kindShare struct {
	Requests float64  `json:"requests"`
	Time     *float64 `json:"time,omitempty"`
}

// shares are those of a site, by the names of the kinds; nil of a site without requests.
func (t *targets) shares(site string, p *profile.Profile) map[string]kindShare {
	var requests, time [profile.NumKinds]float64
	all, took := 0.0, 0.0
	for i := range t.kept {
		x := &t.kept[i]
		if x.site != site {
			continue
		}
		k := p.Kind([]byte(x.path), []byte(x.query))
		requests[k]++
		all++
		if x.timed {
			time[k] += float64(x.duration)
			took += float64(x.duration)
		}
	}
	if all == 0 {
		return nil
	}
	shares := make(map[string]kindShare)
	for k := range profile.Kind(profile.NumKinds) {
		s := kindShare{Requests: requests[k] / all}
		if took > 0 {
			part := time[k] / took
			s.Time = &part
		}
		shares[k.String()] = s
	}
	return shares
}

// recognised is a site and the application that it is, or looks like.
type recognised struct {
	Site    string               `json:"site"`
	Profile string               `json:"profile"`
	Named   bool                 `json:"named,omitempty"` // by the configuration
	Kinds   map[string]kindShare `json:"kinds,omitempty"`
}

// all is what is known of the sites of a log, by site; those that the configuration names
// where the log has requests of them.
func (a *applications) all(t *targets) (list []recognised) {
	for site, s := range a.sites {
		if found := s.Weigh(); found != nil {
			list = append(list, recognised{Site: site, Profile: found.Name(), Kinds: t.shares(site, found)})
		}
	}
	for site, p := range a.named {
		if shares := t.shares(site, p); shares != nil {
			list = append(list, recognised{Site: site, Profile: p.Name(), Named: true, Kinds: shares})
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
		if one.Named {
			fmt.Fprintf(w, "  application      %s is %s\n", printable(site, 80), one.Profile)
		} else {
			fmt.Fprintf(w, "  application      %s looks like %s: sites: {%s: {profile: %s}} in the configuration has its paths understood\n",
				printable(site, 80), one.Profile, printable(cmp.Or(one.Site, "its name"), 80), one.Profile)
		}
		var parts []string
		for k := range profile.Kind(profile.NumKinds) {
			s, ok := one.Kinds[k.String()]
			if !ok || s.Requests == 0 {
				continue
			}
			part := fmt.Sprintf("%.1f %% %s", 100*s.Requests, kindWords[k])
			if s.Time != nil {
				part += fmt.Sprintf(" (%.0f %% of the time)", 100**s.Time)
			}
			parts = append(parts, part)
		}
		if len(parts) > 0 {
			fmt.Fprintf(w, "                   %s\n", strings.Join(parts, ", "))
		}
	}
}

// kindWords are what requests of a kind are called.
var kindWords = [profile.NumKinds]string{profile.Page: "pages", profile.Asset: "assets", profile.Machine: "machines", profile.Dear: "dear"}

// kindOf is what a path, perhaps with its query, is to an application; "" for a page and
// where there is no application.
func kindOf(p *profile.Profile, target string) string {
	if p == nil || !strings.HasPrefix(target, "/") {
		return ""
	}
	path, query, _ := strings.Cut(target, "?")
	if k := p.Kind([]byte(path), []byte(query)); k != profile.Page {
		return k.String()
	}
	return ""
}
