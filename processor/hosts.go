package processor

import (
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// siteOf is the site that a request counts for: that of its host, where the host has a
// place among the sites (see window.Admission), or Other.
func (c *Counter) siteOf(r *schemas.Request) *countedSite {
	second := c.latest / 1000
	if s, ok := c.index[string(r.Site)]; ok {
		// One request a second is evidence enough, and costs nothing.
		if s.place != nil && s.place.Last() < second {
			v := c.visit(r, second)
			c.admission.Visit(s.place, &v)
		}
		return s
	}
	if c.know.has(string(r.Site)) { // it was a site before a restart
		if s := c.siteNamed(string(r.Site)); s.name != Other {
			return s
		}
	}
	v := c.visit(r, second)
	place, gone := c.admission.Admit(r.Site, &v)
	if gone != "" {
		c.dismiss(gone)
	}
	if place == nil {
		return c.siteNamed(Other)
	}
	s := c.add(string(r.Site))
	s.place = place
	return s
}

// visit is the evidence that a request is for its host.
func (c *Counter) visit(r *schemas.Request, second int64) window.Visit {
	client := schemas.ClientOf(r.Client)
	network := networkOf(client.As16(), client.Is4() || client.Is4In6())
	return window.Visit{
		Second: second, Network: xxh3.HashSeed(network[:], c.seed+3),
		Host: xxh3.HashSeed(r.Site, c.seed+6), Served: r.Status > 0 && r.Status < 400,
		Regular: c.Regular(client, r.UserAgent),
	}
}

// siteNamed is the site of a name that is known to be one, or Other where there is no place.
func (c *Counter) siteNamed(name string) *countedSite {
	if s, ok := c.index[name]; ok {
		return s
	}
	if name == Other {
		return c.add(name)
	}
	place := c.admission.Restore(name, c.latest/1000)
	if place == nil {
		return c.siteNamed(Other)
	}
	s := c.add(name)
	s.place = place
	return s
}

func (c *Counter) add(name string) *countedSite {
	s := &countedSite{c: c, name: name, salt: c.saltOf(name), known: c.know.hold(name)}
	c.sites = append(c.sites, s)
	c.index[name] = s
	c.count.sites.Set(float64(len(c.sites)))
	return s
}

// dismiss forgets a site that has lost its place. It was silent, so nothing of it is open.
func (c *Counter) dismiss(name string) {
	c.forgetHosts()
	delete(c.index, name)
	c.sites = slices.DeleteFunc(c.sites, func(s *countedSite) bool { return s.name == name && len(s.panes) == 0 })
	c.know.release(name)
	c.count.sites.Set(float64(len(c.sites)))
}

// Leave is called last, where others share what is known of the sites: this counter needs it
// no more.
func (c *Counter) Leave() {
	for name := range c.index {
		c.know.release(name)
	}
	c.index, c.sites = nil, nil
}
