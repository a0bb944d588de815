package simulate

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Scenario is something that happens to a site, an attack or not, whose truth is known.
// Constants of the processor are tuned on the estate "tuning" and seeds below
// ScorecardSeeds. What was changed is tried on the estate "scorecard" and the seeds from
// there on; the table that is published is of "heldout" and the seeds from HeldOutSeeds on,
// which nothing is changed for.
type Scenario struct {
	Name string
	Says string // one line for a person
	// Attack is false where nobody must be blocked.
	Attack bool
	// Hard is an attack that shares what an edge can see with visitors.
	Hard bool
	// Quiet is an innocent scenario without anything but ordinary traffic.
	Quiet bool
	// Silent is an attack that no log shows: the edge's vitals do, and nothing is decided.
	Silent bool
	// Closed is set where attackers, or people whom measures hurt, look at their answers: the truth
	// then depends on what an edge does, and only Closed can play it whole.
	Closed bool
	// Joined is an attack whose traits people begin to share midway.
	Joined bool

	most  float64       // of strength; 0 is MostSize
	role  string        // the site of the estate that it happens to; "" is all of them
	span  time.Duration // at size 1
	tail  time.Duration // 0 is 10 min
	build func(p *Params, s *plot)
}

// What a site's size and a scenario's strength may be.
const (
	LeastSize = 0.05
	MostSize  = 100.0
)

// MostStrength is the greatest strength that a scenario can be played with in the memory of an
// ordinary machine.
func (s *Scenario) MostStrength() float64 {
	if s.most > 0 {
		return s.most
	}
	return MostSize
}

// ScorecardSeeds is the least seed of the scorecard; those below are for tuning.
const ScorecardSeeds = 1000

// HeldOutSeeds is the least seed of the held-out estate.
const HeldOutSeeds = 5000

// Estates are the names of those that scenarios can happen on.
func Estates() []string { return []string{"tuning", "scorecard", "heldout"} }

// FirstSeed is the first seed that is played on an estate.
func FirstSeed(estate string) uint64 {
	switch estate {
	case "scorecard":
		return ScorecardSeeds
	case "heldout":
		return HeldOutSeeds
	}
	return 1
}

// Params are what a scenario is played with. The zero value of each is its default.
type Params struct {
	Seed     uint64
	Estate   string        // one of Estates; "tuning"
	Base     time.Duration // ordinary traffic before it; 6 h
	Size     float64       // of the site: multiplies its traffic; 1
	Strength float64       // of what happens; 1
	Hour     int           // UTC hour of day in which it begins
	Span     time.Duration // how long a quiet time lasts; others have their own
}

// Scenarios is the library, attacks first.
func Scenarios() []Scenario {
	return slices.Concat(attackScenarios(), joinedScenarios(), silentScenarios(), innocentScenarios())
}

// FindScenario is the one of that name.
func FindScenario(name string) (Scenario, error) {
	var names []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("simulate: no scenario %q; there are %s", name, strings.Join(names, ", "))
}

// estateSite is a site of an estate by the role that scenarios know it by.
type estateSite struct {
	role string
	SiteConfig
}

// estates are those that scenarios happen on: other applications, names, rates, and
// another country's visitors; read only.
var estates = map[string][]estateSite{
	"tuning": {
		{"main", SiteConfig{Name: "www.example.org", Theme: "website", Rate: 6}},
		{"shop", SiteConfig{Name: "shop.example.org", Theme: "shop", Rate: 4.5}},
		{"forum", SiteConfig{Name: "forum.example.org", Theme: "forum", Rate: 3.5}},
		{"forge", SiteConfig{Name: "forge.example.org", Theme: "forge", Rate: 5}},
		{"packages", SiteConfig{Name: "packages.example.org", Theme: "packages", Rate: 2.5}},
	},
	"scorecard": {
		{"main", SiteConfig{Name: "www.example.net", Theme: "magazine", Rate: 8}},
		{"shop", SiteConfig{Name: "store.example.net", Theme: "shop", Rate: 3, Workers: 5}},
		{"forum", SiteConfig{Name: "wiki.example.net", Theme: "wiki", Rate: 5}},
		{"forge", SiteConfig{Name: "git.example.net", Theme: "forge", Rate: 7, Workers: 8}},
		{"packages", SiteConfig{Name: "dl.example.net", Theme: "packages", Rate: 4}},
	},
	"heldout": {
		{"main", SiteConfig{Name: "www.example.edu", Theme: "council", Rate: 5}},
		{"shop", SiteConfig{Name: "buy.example.edu", Theme: "shop", Rate: 6, Workers: 8}},
		{"forum", SiteConfig{Name: "board.example.edu", Theme: "board", Rate: 4}},
		{"forge", SiteConfig{Name: "code.example.edu", Theme: "forge", Rate: 3.5, Workers: 5}},
		{"packages", SiteConfig{Name: "mirror.example.edu", Theme: "packages", Rate: 7}},
	},
}

func (p Params) withDefaults(most float64) (Params, error) {
	if p.Estate == "" {
		p.Estate = "tuning"
	}
	if p.Base == 0 {
		p.Base = 6 * time.Hour
	}
	if p.Size == 0 {
		p.Size = 1
	}
	if p.Strength == 0 {
		p.Strength = 1
	}
	switch {
	case estates[p.Estate] == nil:
		return p, fmt.Errorf("simulate: estate %q; give one of %s", p.Estate, strings.Join(Estates(), ", "))
	case p.Hour < 0 || p.Hour > 23:
		return p, fmt.Errorf("simulate: hour %d; give 0 to 23", p.Hour)
	case !(p.Size >= LeastSize && p.Size <= MostSize):
		return p, fmt.Errorf("simulate: size %v; give %v to %v", p.Size, LeastSize, MostSize)
	case !(p.Strength >= LeastSize && p.Strength <= most):
		return p, fmt.Errorf("simulate: strength %v; give %v to %v", p.Strength, LeastSize, most)
	case p.Base < 0 || p.Base > maxSpan || p.Span < 0 || p.Span > maxSpan:
		return p, fmt.Errorf("simulate: base %s and span %s; give 0 (the usual) to 400 days each", p.Base, p.Span)
	}
	return p, nil
}

// Config is the scenario as Run, Write and Closed take it.
func (s *Scenario) Config(p Params) (Config, error) {
	p, err := p.withDefaults(s.MostStrength())
	if err != nil {
		return Config{}, err
	}
	day := 1 + int(p.Seed%27)
	c := Config{
		Seed: p.Seed, Scale: p.Size, Ordinary: p.Base, Tail: 10 * time.Minute, abroad: p.Estate != "tuning",
		scene: &plot{name: s.Name, role: s.role, span: s.span, size: p.Size, strength: p.Strength},
	}
	if s.tail != 0 {
		c.Tail = s.tail
	}
	if p.Span != 0 && s.Quiet {
		c.scene.span = p.Span
	}
	s.build(&p, c.scene)
	c.Start = time.Date(2026, time.November, day, p.Hour, 8, 0, 0, time.UTC).Add(-p.Base)
	for _, site := range estates[p.Estate] {
		if s.role == "" || s.role == site.role {
			c.Sites = append(c.Sites, site.SiteConfig)
		}
	}
	if c.scene.newborn {
		c.Ordinary = 0
	}
	return c, c.Validate()
}

// Begins is when what a scenario is about begins.
func (c *Config) Begins() time.Time { return c.Start.Add(c.Ordinary) }

// plot is what a scenario adds to ordinary traffic.
type plot struct {
	name     string
	role     string
	span     time.Duration // from Ordinary on
	size     float64
	strength float64
	newborn  bool                              // the site has no past
	beneath  func(since time.Duration) beneath // what no request shows; nil is nothing
	cast     []func(s *stage) []source
}

func (s *plot) add(cast func(*stage) []source) { s.cast = append(s.cast, cast) }

// stage is where a scene plays.
type stage struct {
	c          *Config
	a          *audience
	sites      []*Site
	site       *Site // the first
	seed       uint64
	begin, end time.Duration
}

func (s *plot) sources(c *Config, a *audience, sites []*Site) (all []source) {
	at := &stage{
		c: c, a: a, sites: sites, site: sites[0], begin: c.Ordinary, end: c.Ordinary + s.span,
		seed: mix(c.Seed, label("scene"), label(s.name)),
	}
	for _, cast := range s.cast {
		all = append(all, cast(at)...)
	}
	return all
}

// happening changes something at a moment: a visit of nobody, after which it is done.
type happening struct {
	at   time.Duration
	site *Site
	do   func()
	done bool
}

func (h *happening) next() (*Visit, bool) {
	if h.done {
		h.do()
		return nil, false
	}
	h.done = true
	return &Visit{Start: h.at, Site: h.site, script: &once{done: true}}, true
}
