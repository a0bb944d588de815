package simulate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Config says what happens: ordinary hours, then the attack, then a tail of
// ordinary minutes. Start from Default.
type Config struct {
	// Seed is what everything is drawn from.
	Seed uint64
	// Start is when the log begins. People's hours follow its clock, in UTC.
	Start time.Time
	// Ordinary is how long all is well before the attack begins.
	Ordinary time.Duration
	// Tail is how long the log goes on after the attack's end.
	Tail time.Duration
	// Scale multiplies every site's traffic, and above 1 its capacity.
	Scale float64
	// Sites is the estate. Pages, audience and regulars follow from Seed and name.
	Sites []SiteConfig
	// Attack is the attack; with 0 Requests there is none and no time for it.
	Attack Attack
	// Plain is an estate without TLS, all HTTP/1.1, as on loopback.
	Plain bool

	scene  *plot // what a Scenario adds
	abroad bool  // the audience is another country's
}

// ThemeNames lists what sites can be.
func ThemeNames() []string { return slices.Sorted(maps.Keys(themes)) }

// SiteConfig is one site of the estate.
type SiteConfig struct {
	Name  string  // host name, lower case
	Theme string  // one of ThemeNames
	Rate  float64 // requests/s, the mean over a day
	// Workers is how many requests the application works on at once; 0 is the theme's own.
	Workers int
	// Queue is how many more may wait; what comes then gets 502. 0 is 400.
	Queue int
	// Timeout is after how long nginx gives up waiting and answers 504. 0 is 60 s.
	Timeout time.Duration
}

// Attack is the opening story's: many addresses, a handful of requests each.
type Attack struct {
	Site      string        // the attacked site's name; "" is the first
	Requests  int           // exactly so many; at least one an address
	Addresses int           // distinct ones
	Duration  time.Duration // all requests are sent within it
	// Existing is the share of requests to pages that exist, 0 to 1.
	Existing float64
}

// Default is six hours of five sites, then 10,000 requests of 3,500 addresses in
// ten minutes at the website on a Saturday at 05:08, then ten ordinary minutes:
// about 300,000 lines.
func Default() Config {
	return Config{
		Seed:     1,
		Start:    time.Date(2026, time.November, 20, 23, 8, 0, 0, time.UTC),
		Ordinary: 6 * time.Hour,
		Tail:     10 * time.Minute,
		Scale:    1,
		Sites: []SiteConfig{
			{Name: "www.example.org", Theme: "website", Rate: 6},
			{Name: "shop.example.org", Theme: "shop", Rate: 4.5},
			{Name: "forum.example.org", Theme: "forum", Rate: 3.5},
			{Name: "forge.example.org", Theme: "forge", Rate: 5},
			{Name: "packages.example.org", Theme: "packages", Rate: 2.5},
		},
		Attack: Attack{Requests: 10000, Addresses: 3500, Duration: 10 * time.Minute, Existing: 0.08},
	}
}

// Bounds on a Config, so that a slip of the hand does not eat the machine.
const (
	maxSites     = 10000
	maxAddresses = 5_000_000
	maxRequests  = 50_000_000
	maxSpan      = 400 * 24 * time.Hour
)

// Validate says what is wrong with a Config, in one line, or nil.
func (c *Config) Validate() error {
	switch {
	case len(c.Sites) == 0 || len(c.Sites) > maxSites:
		return fmt.Errorf("simulate: %d sites; give 1 to %d", len(c.Sites), maxSites)
	case c.Start.Year() < 1971 || c.Start.Year() > 2200:
		return fmt.Errorf("simulate: start %s; give a time between 1971 and 2200", c.Start.Format(time.RFC3339))
	case c.Ordinary < 0 || c.Tail < 0 || c.Ordinary > maxSpan || c.Tail > maxSpan:
		return fmt.Errorf("simulate: ordinary %s and tail %s; give 0 to 400 days each", c.Ordinary, c.Tail)
	case !(c.Scale > 0 && c.Scale <= 1000):
		return fmt.Errorf("simulate: scale %v; give more than 0, at most 1000", c.Scale)
	}
	names := map[string]bool{}
	for i := range c.Sites {
		s := &c.Sites[i]
		if err := s.validate(); err != nil {
			return err
		}
		if names[s.Name] {
			return fmt.Errorf("simulate: site %q stands twice; give every site its own name", s.Name)
		}
		names[s.Name] = true
	}
	return c.Attack.validate(names)
}

func (s *SiteConfig) validate() error {
	if s.Name == "" || len(s.Name) > 255 {
		return fmt.Errorf("simulate: site name %q; give a host name of 1 to 255 bytes", s.Name)
	}
	for _, c := range []byte(s.Name) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return fmt.Errorf("simulate: site name %q; give a host name of a-z, 0-9, '-' and '.'", s.Name)
		}
	}
	if _, ok := themes[s.Theme]; !ok {
		return fmt.Errorf("simulate: site %s has theme %q; give one of %s", s.Name, s.Theme, strings.Join(ThemeNames(), ", "))
	}
	if !(s.Rate > 0 && s.Rate <= 10000) || math.IsNaN(s.Rate) {
		return fmt.Errorf("simulate: site %s has rate %v; give more than 0, at most 10000 requests/s", s.Name, s.Rate)
	}
	if s.Workers < 0 || s.Queue < 0 || s.Timeout < 0 {
		return fmt.Errorf("simulate: site %s has %d workers, queue %d, timeout %s; none may be negative",
			s.Name, s.Workers, s.Queue, s.Timeout)
	}
	return nil
}

func (a *Attack) validate(names map[string]bool) error {
	switch {
	case a.Requests == 0:
		return nil
	case a.Requests < 0 || a.Requests > maxRequests:
		return fmt.Errorf("simulate: attack of %d requests; give 0 (none) to %d", a.Requests, maxRequests)
	case a.Addresses < 1 || a.Addresses > a.Requests || a.Addresses > maxAddresses:
		return fmt.Errorf("simulate: attack from %d addresses; give 1 to %d, no more than its %d requests",
			a.Addresses, maxAddresses, a.Requests)
	case a.Duration < time.Second || a.Duration > maxSpan:
		return fmt.Errorf("simulate: attack lasts %s; give one second to 400 days", a.Duration)
	case !(a.Existing >= 0 && a.Existing <= 1):
		return fmt.Errorf("simulate: attack asks for existing pages at a share of %v; give 0 to 1", a.Existing)
	case a.Site != "" && !names[a.Site]:
		return fmt.Errorf("simulate: attack on %q, which is not a site of the estate", a.Site)
	}
	return nil
}

// AttackSite is the name of the attacked site, "" without an attack.
func (c *Config) AttackSite() string {
	if c.Attack.Requests == 0 {
		return ""
	}
	if c.Attack.Site == "" {
		return c.Sites[0].Name
	}
	return c.Attack.Site
}

// End is how long after Start the last request is sent; those then in flight are
// still answered and logged.
func (c *Config) End() time.Duration {
	if c.scene != nil {
		return c.Ordinary + c.scene.span + c.Tail
	}
	if c.Attack.Requests == 0 {
		return c.Ordinary + c.Tail
	}
	return c.Ordinary + c.Attack.Duration + c.Tail
}
