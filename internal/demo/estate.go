package demo

import (
	"cmp"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// Capacity of the demo's application: some twelve pages a second, five times what
// visitors ask for, and a queue that is worked off in seconds once the attack is
// stopped.
const (
	appWorkers = 4
	appQueue   = 60
	appTimeout = 15 * time.Second
)

// The botnet's size in DefaultPlan, as in the story that weir begins with, in a sixth of the
// time.
const (
	botRequests  = 10000
	botAddresses = 3500
	botExisting  = .08 // share of requests for pages that there are
)

// siteRate is the site's mean over a day, in requests/s.
const siteRate = 8

// estate is the demo's one site, over plain HTTP as on loopback.
func estate(seed uint64, start time.Time, ordinary time.Duration) simulate.Config {
	c := simulate.Default()
	c.Seed, c.Start, c.Ordinary, c.Tail, c.Plain = seed, start, ordinary, 0, true
	c.Sites = []simulate.SiteConfig{{
		Name: "www.example.org", Theme: "website", Rate: siteRate,
		Workers: appWorkers, Queue: appQueue, Timeout: appTimeout,
	}}
	c.Attack = simulate.Attack{}
	return c
}

// HistoryConfig is the ordinary hours up to a moment, for simulate.Run: what the
// baseline is learned from.
func HistoryConfig(seed uint64, until time.Time, hours time.Duration) simulate.Config {
	return estate(seed, until.Add(-hours), hours)
}

// StoryConfig is what happens from a moment on, for simulate.NewTraffic: the same
// estate with the same people and programs as HistoryConfig's of the same seed,
// and the attack after the plan's first phase.
func StoryConfig(seed uint64, from time.Time, plan Plan) simulate.Config {
	c := estate(seed, from, plan.Before)
	c.Tail = plan.After
	if plan.Workers > 0 {
		c.Sites[0].Workers = plan.Workers
	}
	c.Attack = simulate.Attack{Requests: cmp.Or(plan.Requests, botRequests), Addresses: cmp.Or(plan.Addresses, botAddresses), Duration: plan.Attack, Existing: botExisting}
	return c
}
