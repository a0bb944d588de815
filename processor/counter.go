package processor

import (
	"encoding/binary"
	"net/netip"

	"github.com/gaissmai/bart"
	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/clients"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Other is the site that takes the requests of all hosts beyond MaxSites.
const Other = "(other)"

// Counter folds requests into panes, one a site and second: the half of processing
// whose cost goes with the requests. It sees all requests of a client or none. What it
// hands on depends on the options, on the requests so far, in their order, and on
// what the Detector knew meanwhile. Not for concurrent use.
type Counter struct {
	o       Options
	seed    uint64
	extract *attribute.Extractor
	clients *clients.Table
	allow   bart.Lite
	know    *Knowledge

	sites     []*countedSite // in the order of their first request
	index     map[string]*countedSite
	admission *window.Admission
	rows      schemas.Rows
	strings   batchStrings
	free      []*Pane // emptied, for later seconds
	open      int     // panes not taken yet

	shared  bool // know is used by others too
	sampled int  // clients of a pane's sample

	latest int64 // greatest time seen, unix ms
	closed int64 // last second closed, unix s; 0 before the first
	count  *metrics

	drawn drawn
	clock clock
	key   []byte  // memory for the known form of a path
	links pathSet // schemas.LinkKeys
}

// newCounter makes a Counter of options that were checked.
func newCounter(o Options, know *Knowledge, count *metrics) *Counter {
	seed := seedOf(o.Secret)
	c := &Counter{
		o: o, seed: seed, know: know, count: count, sampled: paneClients,
		extract:   newExtractor(o),
		clients:   clients.New(o.MaxClients, seed),
		index:     make(map[string]*countedSite),
		links:     linkKeys(seed),
		admission: window.NewAdmission(o.MaxSites-1, o.Named...),
	}
	for _, p := range o.Allow {
		c.allow.Insert(p.Masked())
	}
	return c
}

func newExtractor(o Options) *attribute.Extractor { return attribute.NewExtractor(seedOf(o.Secret)) }

// Count takes the rows of a batch, which must be in the order of their times, wrong clocks
// corrected, and none later than a level that Advance is then told: between them it closes what ends. closed
// is handed the panes of each second that had any; they are valid during the call.
func (c *Counter) Count(b *schemas.Batch, closed func(second int64, panes []*Pane)) {
	if c.shared {
		c.know.data.RLock()
		defer c.know.data.RUnlock()
	}
	c.begin(b)
	var r schemas.Request
	for row := 0; c.rows.Next(&r); row++ {
		c.warm(row)
		c.Advance(r.Time, closed)
		s := c.siteOfRow(&r, row)
		action := actionOf(r.Action)
		if !r.Fields.Has(schemas.FieldAction) {
			action, r.Decision = c.infer(s, &r, row)
		}
		s.observe(&r, row, action)
	}
	c.count.requests.Add(float64(c.rows.Len()) * max(b.Weight, 1))
}

// infer is what an edge did to a row whose log does not say.
func (c *Counter) infer(s *countedSite, r *schemas.Request, row int) (schemas.Action, []byte) {
	if len(s.known.decisions)+len(s.known.scored.list) == 0 {
		return schemas.Allow, nil
	}
	// Where nothing is stopped it was the application that refused.
	refused := edgesRefuse(r.Status) && (c.o.Stops == nil || c.o.Stops(s.name))
	return s.known.infer(r, refused, func(key string) bool {
		return c.drawn.probe(key, r, c.clients.NoteOf(c.strings.clients[row], r.Client))
	}, func(of schemas.Listed) string { return c.said(of, s.known, r, row) })
}

// Advance moves event time to a level, in unix ms: all requests up to it were counted.
func (c *Counter) Advance(level int64, closed func(second int64, panes []*Pane)) {
	for until := c.reach(level); c.closed < until; {
		if c.open == 0 {
			c.skip(until)
			return
		}
		second, panes := c.take()
		if len(panes) > 0 {
			closed(second, panes)
			c.release(panes)
		}
	}
}

// Closed is the last second closed, in unix seconds; 0 before the first.
func (c *Counter) Closed() int64 { return c.closed }

// Level is how far event time has come, in unix ms.
func (c *Counter) Level() int64 { return c.latest }

// actionOf is what an edge logged, without allocating; what is no action is allow.
func actionOf(logged []byte) schemas.Action {
	for _, a := range [...]schemas.Action{schemas.Block, schemas.Challenge, schemas.Throttle} {
		if string(logged) == string(a) {
			return a
		}
	}
	return schemas.Allow
}

// reach moves event time to now, in unix ms, never back, and returns the last second
// that has ended: those up to it are to be taken.
func (c *Counter) reach(now int64) (until int64) {
	if now <= c.latest {
		return c.closed
	}
	c.latest = now
	until = (now-c.o.Lateness.Milliseconds())/1000 - 1
	if c.closed == 0 {
		c.closed = until
	}
	return max(until, c.closed)
}

// take closes the next second and returns its panes, in the order of the sites. They
// are the caller's until it gives them back with release.
func (c *Counter) take() (second int64, panes []*Pane) {
	c.closed++
	if c.open == 0 {
		return c.closed, nil
	}
	for _, s := range c.sites {
		if p := s.take(c.closed); p != nil {
			panes = append(panes, p)
			c.open--
		}
	}
	return c.closed, panes
}

// skip closes seconds in which nothing is open.
func (c *Counter) skip(until int64) { c.closed = until }

// release takes panes back, to be used again.
func (c *Counter) release(panes []*Pane) { c.free = append(c.free, panes...) }

// pane is an empty one.
func (c *Counter) pane(site string, second int64, level uint) *Pane {
	var p *Pane
	if n := len(c.free); n > 0 {
		p, c.free = c.free[n-1], c.free[:n-1]
	} else {
		p = &Pane{Pane: new(window.Pane), Sample: attribute.NewSample(c.extract, c.sampled)}
	}
	p.reset(site, second, level)
	c.open++
	return p
}

// Regular reports whether a client is known from an earlier day with a user agent: see
// clients.Table.Regular.
func (c *Counter) Regular(client netip.Addr, agent []byte) bool {
	return c.clients.Regular(client, c.extract.Agent(agent))
}

func (c *Counter) allowed(client netip.Addr) bool { return c.allow.Contains(client) }

// saltOf is what a site's clients are told apart by in the common filter.
func (c *Counter) saltOf(name string) uint64 {
	return xxh3.HashStringSeed(name, c.seed+binary.LittleEndian.Uint64(c.o.Secret[:8])+2)
}

// openPane is the pane of a site's second: the oldest that is open where the second has
// closed (late is then true), the newest that may be open where it is too far ahead.
func (c *Counter) openPane(s *countedSite, second int64) (p *Pane, late bool) {
	if c.closed == 0 { // time has not begun: nothing but requests without a time so far
		c.closed = min(second, 0) - window.Open
	}
	if late = second <= c.closed; late {
		c.count.late.Observe(float64(c.closed + 1 - second))
	}
	second = min(max(second, c.closed+1), c.closed+window.Open)
	return s.pane(second), late
}
