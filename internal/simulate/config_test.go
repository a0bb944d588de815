package simulate

import (
	"testing"
	"time"
)

// small is a story that takes a fraction of a second.
func small(seed uint64) Config {
	c := Default()
	c.Seed = seed
	c.Ordinary, c.Tail = 15*time.Minute, 3*time.Minute
	c.Attack.Requests, c.Attack.Addresses, c.Attack.Duration = 1500, 520, 90*time.Second
	return c
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*Config)
		want  string
	}{
		{"default", func(*Config) {}, ""},
		{"no attack", func(c *Config) { c.Attack = Attack{} }, ""},
		{"no sites", func(c *Config) { c.Sites = nil }, "simulate: 0 sites; give 1 to 10000"},
		{"no start", func(c *Config) { c.Start = time.Time{} }, "simulate: start 0001-01-01T00:00:00Z; give a time between 1971 and 2200"},
		{"back in time", func(c *Config) { c.Tail = -1 }, "simulate: ordinary 6h0m0s and tail -1ns; give 0 to 400 days each"},
		{"scale", func(c *Config) { c.Scale = 0 }, "simulate: scale 0; give more than 0, at most 1000"},
		{"name", func(c *Config) { c.Sites[1].Name = "Shop" }, `simulate: site name "Shop"; give a host name of a-z, 0-9, '-' and '.'`},
		{"nameless", func(c *Config) { c.Sites[1].Name = "" }, `simulate: site name ""; give a host name of 1 to 255 bytes`},
		{"twice", func(c *Config) { c.Sites[1].Name = c.Sites[0].Name }, `simulate: site "www.example.org" stands twice; give every site its own name`},
		{"theme", func(c *Config) { c.Sites[0].Theme = "zine" }, `simulate: site www.example.org has theme "zine"; give one of board, council, forge, forum, magazine, packages, shop, website, wiki`},
		{"rate", func(c *Config) { c.Sites[0].Rate = 0 }, "simulate: site www.example.org has rate 0; give more than 0, at most 10000 requests/s"},
		{"workers", func(c *Config) { c.Sites[0].Workers = -1 }, "simulate: site www.example.org has -1 workers, queue 0, timeout 0s; none may be negative"},
		{"requests", func(c *Config) { c.Attack.Requests = -5 }, "simulate: attack of -5 requests; give 0 (none) to 50000000"},
		{"addresses", func(c *Config) { c.Attack.Addresses = 10001 }, "simulate: attack from 10001 addresses; give 1 to 5000000, no more than its 10000 requests"},
		{"duration", func(c *Config) { c.Attack.Duration = 0 }, "simulate: attack lasts 0s; give one second to 400 days"},
		{"existing", func(c *Config) { c.Attack.Existing = 2 }, "simulate: attack asks for existing pages at a share of 2; give 0 to 1"},
		{"site", func(c *Config) { c.Attack.Site = "x.example" }, `simulate: attack on "x.example", which is not a site of the estate`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Default()
			test.spoil(&c)
			got := ""
			if err := c.Validate(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestEnd(t *testing.T) {
	c := Default()
	if got := c.End(); got != 6*time.Hour+20*time.Minute {
		t.Errorf("with the attack: %s", got)
	}
	c.Attack.Requests = 0
	if got := c.End(); got != 6*time.Hour+10*time.Minute {
		t.Errorf("without: %s", got)
	}
	if c.AttackSite() != "" {
		t.Errorf("no attack at %q", c.AttackSite())
	}
}
