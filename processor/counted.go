package processor

import (
	"net/netip"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/clients"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
	application "github.com/weir-project/weir/schemas/profile"
)

// slow is an answer that a visitor gives up on, in microseconds.
const slow = 5_000_000

// countedSite is what a Counter keeps of one site.
type countedSite struct {
	c     *Counter
	name  string
	salt  uint64
	known *siteKnowledge
	place *window.Place // nil for Other

	// profile is the application, where the configuration names it. One that is only
	// recognised is not used: a signal that changes its meaning under way would be taken
	// for a change of the traffic.
	profile *application.Profile

	panes []*Pane // open, in the order of their seconds
	last  *Pane   // of them, the one used last
	level uint    // at which the next pane's sample begins

	troubled int64 // as known.troubled was at the last request
}

// pane is the pane of an open second.
func (s *countedSite) pane(second int64) *Pane {
	if s.last != nil && s.last.Second == second {
		return s.last
	}
	at := len(s.panes)
	for at > 0 && s.panes[at-1].Second > second {
		at--
	}
	if at > 0 && s.panes[at-1].Second == second {
		s.last = s.panes[at-1]
		return s.last
	}
	s.last = s.c.pane(s.name, second, s.level)
	s.panes = append(s.panes, nil)
	copy(s.panes[at+1:], s.panes[at:])
	s.panes[at] = s.last
	return s.last
}

// take is the pane of the second that closes, nil where it has none.
func (s *countedSite) take(second int64) *Pane {
	if len(s.panes) == 0 || s.panes[0].Second > second {
		return nil
	}
	p := s.panes[0]
	s.panes = append(s.panes[:0], s.panes[1:]...)
	if s.last == p {
		s.last = nil
	}
	s.level = p.nextLevel()
	return p
}

// observe counts the request of a row of the batch.
func (s *countedSite) observe(r *schemas.Request, row int, action schemas.Action) {
	c := s.c
	client := schemas.ClientOf(r.Client)
	hash := c.strings.clients[row]
	stopped := action.Severity() > 0
	var traits attribute.Traits
	c.extract.ProfileOf(&traits, r, row)
	asset := s.asset(r)
	known := s.recall(r, client, hash, &traits, asset, stopped)
	pane, late := c.openPane(s, r.Time/1000)
	spared := len(c.o.Allow) > 0 && c.allowed(client)
	tally(&pane.Counts, r, late, known.Fresh && !spared, stopped, asset || spared)
	path := c.hashOf(c.strings.path[row], asPath)
	pane.Paths.Insert(path)
	c.tallyKeys(pane.Pane, r, row, client, hash, path, traits[schemas.TraitUserAgent])
	unknown := !s.known.known.Has(path)
	sure := asset && s.profile == nil || s.known.sure.has(pathHash(path)) || s.profile != nil && schemas.AssetPath(r.Path)
	if known.Regular {
		pane.People.Regulars.count(r, stopped)
	}
	if !stopped && len(r.Decision) > 0 {
		pane.People.count(hash, decisionHash(c.seed, r.Decision), r, asset)
	} else if !stopped && c.drawn.probe(s.known.probeKey(), r, c.clients.Note()) {
		pane.People.count(hash, ofProbe, r, asset)
	}
	if spared { // whom nothing is decided against is no part of what an attack could be
		return
	}
	insertClient(&pane.Clients, hash, r.Stands())
	mark(pane.Pane, hash, r, unknown, !s.known.familiar.Has(traits.Program()))
	if asset {
		insertClient(&pane.Marked[window.Loading], hash, r.Stands())
	} else {
		pane.Pages.Insert(path)
	}
	if r.Fields.Has(schemas.FieldUserAgent) && c.extract.Declares(traits[schemas.TraitUserAgent], r.UserAgent) {
		insertClient(&pane.Marked[window.Declared], hash, r.Stands())
	}
	if unknown && !stopped && r.Status < 400 && len(pane.Served) < paneServed {
		pane.Served = append(pane.Served, path)
	}
	if !stopped && r.Status >= 200 && r.Status < 400 {
		s.find(pane, r, row, path, sure, hash, knownClient{known.Fresh, known.Regular, known.First})
	}
	sample := pane.Sample
	sample.Requests += float64(r.Stands())
	if sample.Wants(hash, r.Stands()) {
		c.extract.RestOf(&traits, r, row)
		s.askLists(&traits, r, row, sure, pathHash(path))
		sample.AddTraits(hash, &traits, r, attribute.Mark{Fresh: known.Fresh, Regular: known.Regular, Stopped: stopped, Asset: asset})
	}
}

// listable reports whether edges can tell whether a path is known.
func (c *Counter) listable(path []byte) (ok bool) {
	c.key, ok = schemas.KnownPath(c.key[:0], path)
	return ok
}

// askLists fills the traits that lists say.
func (s *countedSite) askLists(t *attribute.Traits, r *schemas.Request, row int, sure bool, path uint32) {
	c := s.c
	if !c.listable(r.Path) {
		sure, path = false, 0
	}
	c.extract.Listed(t, schemas.ListedPaths, sure, path)
	if r.Fields.Has(schemas.FieldUserAgent) {
		agent := c.agentOf(row)
		c.extract.Listed(t, schemas.ListedAgents, s.known.sure.has(agent), agent)
	}
	query, known := c.queryOf(s.known, r, c.strings.clients[row])
	c.extract.Listed(t, schemas.ListedQueries, known, query)
}

// recall notes the request with its client, and tells what was known of that. An incident
// makes nobody known, nor does what came while it had not been noticed yet.
func (s *countedSite) recall(r *schemas.Request, client netip.Addr, hash uint64, t *attribute.Traits, asset, stopped bool) clients.Known {
	second, name := r.Time/1000, uint32(s.salt>>32)
	if since := s.known.troubled; since != s.troubled {
		if s.troubled = since; since != 0 {
			s.c.clients.Taint(name, since-quarantine*stepSeconds, second)
		}
	}
	h := clients.Hit{
		Client: client, Hash: hash, Second: second, Site: name, Agent: t[schemas.TraitUserAgent],
		Traits: clients.Traits{
			Language: t[schemas.TraitAcceptLanguage], Encoding: t[schemas.TraitAcceptEncoding],
			TLS: t[schemas.TraitTLS], Protocol: t[schemas.TraitProtocol],
		},
		Status: r.Status, Asset: asset, Cookie: r.Cookie == schemas.CookieSome, Stopped: stopped, Calm: s.troubled == 0,
		Browser: r.Fields.Has(schemas.FieldUserAgent) && !s.c.extract.Declares(t[schemas.TraitUserAgent], r.UserAgent),
	}
	return s.c.clients.Observe(&h)
}

func mark(pane *window.Pane, client uint64, r *schemas.Request, unknown, unfamiliar bool) {
	if r.Status == 404 || r.Status == 410 {
		insertClient(&pane.Marked[window.MissingPage], client, r.Stands())
	}
	if unknown {
		insertClient(&pane.Marked[window.UnknownPath], client, r.Stands())
	}
	if unfamiliar {
		insertClient(&pane.Marked[window.Unfamiliar], client, r.Stands())
	}
}

func tally(c *window.Counts, r *schemas.Request, late, fresh, stopped, asset bool) {
	n := uint64(r.Stands())
	c[window.Requests] += n
	switch {
	case r.Status == 404 || r.Status == 410:
		c[window.NotFound] += n
	case r.Status == 499:
		c[window.Abandoned] += n
	case r.Status >= 500:
		c[window.ServerError] += n
	case r.Status >= 400:
		c[window.ClientError] += n
	}
	if r.Status >= 400 && r.Status < 499 && hole(r.Path) {
		c[window.Holes] += n
	}
	if late {
		c[window.Late] += n
	}
	if fresh {
		c[window.NewClients] += n
	}
	if stopped {
		c[window.Stopped] += n
	}
	if r.Duration > slow {
		c[window.Slow] += n
	}
	if !asset {
		c[window.Pages] += n
		c[window.Work] += n * uint64(min(max(work(r), 0), maxWork)) / 1000
	}
	if r.Fields.Has(schemas.FieldReferer) && (len(r.Referer) == 0 || len(r.Referer) == 1 && r.Referer[0] == '-') {
		c[window.NoReferer] += n
	}
}

// maxWork is the most that one request counts as work, in microseconds: some are kept open for
// hours, and wait.
const maxWork = 60_000_000

// work is how long the application was busy with a request, in microseconds: what the edge
// waited for it or, where the log does not say, what the whole took. 0 is unknown.
func work(r *schemas.Request) int64 {
	if r.Fields.Has(schemas.FieldUpstreamDuration) {
		return r.UpstreamDuration
	}
	if r.Fields.Has(schemas.FieldDuration) {
		return r.Duration
	}
	return 0
}

// asset reports whether a request is for what a page brings with it.
func (s *countedSite) asset(r *schemas.Request) bool {
	if s.profile != nil {
		return s.profile.Kind(r.Path, r.Query) == application.Asset
	}
	return schemas.AssetPath(r.Path)
}
