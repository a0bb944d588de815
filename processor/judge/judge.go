// Package judge says what an edge that holds the decisions of a moment would do
// with a request. Replay judges past requests with it, so that the loop is
// closed: what would have been stopped is what the processor then sees as
// stopped. Its precedence is the one that every edge has: allowlist, client,
// prefix, signature and score, site; within a scope block before challenge before throttle.
package judge

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// Options are what an edge is configured with.
type Options struct {
	// Propagation is how long after its time a decision counts.
	Propagation time.Duration
	// Allow are the addresses that no decision touches.
	Allow []netip.Prefix
	// AllowPaths are, by site, paths that no decision touches: exact, or all below where they end in "/".
	AllowPaths map[string][]string
	// Profiles are the applications that sites are: what machines call there no decision
	// on the whole site touches.
	Profiles map[string]*profile.Profile
}

// Edge holds decisions and judges requests. Not for concurrent use.
//
// Judging costs one look-up by client, one by prefix, one by the leading
// trait of each kind of signature, whatever the number of decisions, and one by each
// trait of a score, of which there are few; nothing is allocated.
type Edge struct {
	propagation int64 // milliseconds
	allow       bart.Lite
	profiles    map[string]*profile.Profile
	open        map[string][]string // paths, by site

	swept int64 // event time of the last sweep, unix milliseconds

	byID       map[string]*held
	clients    map[netip.Addr][]*held
	prefixes   bart.Table[[]*held]
	signatures [schemas.NumTraits]map[string][]*held // by the value of the signature's first trait
	scores     []*held
	sites      map[string][]*held

	listed [schemas.NumListed]map[string][]siteList // by site, ascending by their times

	hand    bool                      // only what persons took is looked at
	scratch [schemas.NumScored][]byte // the request's trait values, computed at most once each
	state   [schemas.NumScored]traitState
	path    []byte // the request's, as nginx compares it
}

type traitState uint8

const (
	notComputed traitState = iota
	unknown
	known
)

// held is one decision with the span of unix milliseconds [from, until) in which
// it counts.
type held struct {
	id          string
	action      schemas.Action
	scope       schemas.Scope
	value       string
	sites       []string
	signature   schemas.Signature
	score       *schemas.Score
	from, until int64
	hand        bool   // a person took it
	probes      string // the key by which it lets clients through, see schemas.Probe
}

// New makes an edge that holds nothing yet.
func New(o Options) *Edge {
	e := &Edge{
		propagation: o.Propagation.Milliseconds(),
		profiles:    o.Profiles,
		open:        o.AllowPaths,
		byID:        make(map[string]*held),
		clients:     make(map[netip.Addr][]*held),
		sites:       make(map[string][]*held),
	}
	for _, p := range o.Allow {
		e.allow.Insert(p.Masked())
	}
	return e
}

// Held is the number of decisions that the edge holds, in force or about to be.
func (e *Edge) Held() int { return len(e.byID) }

// Apply takes a decision event; others are ignored. It fails where the
// decision's value does not say what its scope wants; the edge then goes on as
// before.
func (e *Edge) Apply(event schemas.Event) error {
	if event.Decision == nil || event.ID == "" {
		return nil
	}
	e.sweep(event.Time.UnixMilli())
	effective := event.Time.UnixMilli() + e.propagation
	switch event.Type {
	case schemas.DecisionAdded, schemas.DecisionRenewed:
		if h, ok := e.byID[event.ID]; ok {
			if effective > h.until { // it had lapsed before the renewal came
				h.from = effective
			}
			h.until = event.Expires.UnixMilli()
			return nil
		}
		return e.add(event, effective)
	case schemas.DecisionRemoved:
		if h, ok := e.byID[event.ID]; ok {
			h.until = min(h.until, effective)
		}
	}
	return nil
}

func (e *Edge) add(event schemas.Event, from int64) error {
	h := &held{
		id: event.ID, action: event.Action, scope: event.Scope, value: event.Value,
		sites: event.Sites, from: from, until: event.Expires.UnixMilli(), probes: event.Probes,
		hand: event.Origin != "" && event.Origin != schemas.OriginWeir,
	}
	switch h.scope {
	case schemas.ScopeClient:
		addr, err := netip.ParseAddr(h.value)
		if err != nil {
			return fmt.Errorf("decision %s: client %q is not an address", h.id, h.value)
		}
		key := schemas.ClientOf(addr)
		e.clients[key] = append(e.clients[key], h)
	case schemas.ScopePrefix:
		prefix, err := netip.ParsePrefix(h.value)
		if err != nil {
			return fmt.Errorf("decision %s: prefix %q is not a CIDR prefix", h.id, h.value)
		}
		prefix = prefix.Masked()
		e.prefixes.Modify(prefix, func(old []*held, _ bool) ([]*held, bool) { return append(old, h), false })
	case schemas.ScopeSignature:
		signature, err := schemas.ParseSignature(h.value)
		if err != nil {
			return fmt.Errorf("decision %s: %w", h.id, err)
		}
		h.signature = signature
		lead := signature[0]
		if e.signatures[lead.Trait] == nil {
			e.signatures[lead.Trait] = make(map[string][]*held)
		}
		e.signatures[lead.Trait][lead.Value] = append(e.signatures[lead.Trait][lead.Value], h)
	case schemas.ScopeScore:
		score, err := schemas.ParseScore(h.value)
		if err != nil {
			return fmt.Errorf("decision %s: %w", h.id, err)
		}
		h.score = score
		e.scores = append(e.scores, h)
	case schemas.ScopeSite:
		e.sites[h.value] = append(e.sites[h.value], h)
	default:
		return fmt.Errorf("decision %s: no scope %q; one of client, prefix, signature, score, site", h.id, h.scope)
	}
	e.byID[h.id] = h
	return nil
}

// keep is how long a lapsed decision is still held, for rows that come late.
const keep = int64(time.Minute / time.Millisecond)

// sweep forgets what lapsed well before now (event time), about once a minute.
func (e *Edge) sweep(now int64) {
	if now < e.swept+keep {
		return
	}
	e.swept = now
	for id, h := range e.byID {
		if h.until+keep >= now {
			continue
		}
		delete(e.byID, id)
		gone := func(x *held) bool { return x == h }
		switch h.scope {
		case schemas.ScopeClient:
			addr, _ := netip.ParseAddr(h.value) // it parsed when it was added
			drop(e.clients, schemas.ClientOf(addr), gone)
		case schemas.ScopePrefix:
			prefix, _ := netip.ParsePrefix(h.value)
			e.prefixes.Modify(prefix.Masked(), func(old []*held, _ bool) ([]*held, bool) {
				old = slices.DeleteFunc(old, gone)
				return old, len(old) == 0
			})
		case schemas.ScopeSignature:
			drop(e.signatures[h.signature[0].Trait], h.signature[0].Value, gone)
		case schemas.ScopeScore:
			e.scores = slices.DeleteFunc(e.scores, gone)
		case schemas.ScopeSite:
			drop(e.sites, h.value, gone)
		}
	}
}

func drop[K comparable](m map[K][]*held, key K, gone func(*held) bool) {
	if left := slices.DeleteFunc(m[key], gone); len(left) > 0 {
		m[key] = left
	} else {
		delete(m, key)
	}
}

// Judge returns what the edge does with the request at the request's own time,
// and for which decision; schemas.Allow and "" where none matches. A probe is allowed, and
// the decision is the one that would have stopped it: probes are drawn as nginx draws them.
func (e *Edge) Judge(r *schemas.Request) (schemas.Action, string) {
	if len(e.byID) == 0 {
		return schemas.Allow, ""
	}
	if e.allow.Contains(r.Client) || e.isOpen(r) {
		return schemas.Allow, ""
	}
	if hs := e.clients[schemas.ClientOf(r.Client)]; len(hs) > 0 {
		if best := e.strongest(nil, hs, r); best != nil {
			return best.action, best.id
		}
	}
	best := e.beyondClient(r)
	if best == nil {
		return schemas.Allow, ""
	}
	if best.probes == "" || !schemas.Probe(best.probes, r.Client, r.Time) {
		return best.action, best.id
	}
	e.hand = true // what a person decided counts for probes, too
	byHand := e.beyondClient(r)
	e.hand = false
	if byHand != nil {
		return byHand.action, byHand.id
	}
	return schemas.Allow, best.id
}

// beyondClient is the decision that counts, of those that are not on the client alone.
func (e *Edge) beyondClient(r *schemas.Request) (best *held) {
	if e.prefixes.Size() > 0 {
		best = e.matchPrefix(r)
	}
	if best == nil {
		best = e.matchSignature(r)
	}
	if hs := e.sites[string(r.Site)]; best == nil && len(hs) > 0 && !e.machine(r) {
		best = e.strongest(nil, hs, r)
	}
	return best
}

// isOpen reports whether a request is for a path that no decision touches.
func (e *Edge) isOpen(r *schemas.Request) bool {
	paths := e.open[string(r.Site)]
	if len(paths) == 0 {
		return false
	}
	e.path = profile.Normal(e.path[:0], r.Path)
	for _, path := range paths {
		if path[len(path)-1] == '/' && bytes.HasPrefix(e.path, []byte(path)) || string(e.path) == path {
			return true
		}
	}
	return false
}

// machine reports whether a request is for a path that machines call.
func (e *Edge) machine(r *schemas.Request) bool {
	p := e.profiles[string(r.Site)]
	if p == nil {
		return false
	}
	e.path = profile.Normal(e.path[:0], r.Path)
	return p.Kind(e.path, r.Query) == profile.Machine
}

// matchPrefix looks at every prefix that covers the client, not only the
// longest: that one may be for another site.
func (e *Edge) matchPrefix(r *schemas.Request) *held {
	var best *held
	for _, hs := range e.prefixes.Supernets(netip.PrefixFrom(r.Client, r.Client.BitLen())) {
		best = e.strongest(best, hs, r)
	}
	return best
}

func (e *Edge) matchSignature(r *schemas.Request) *held {
	e.state = [schemas.NumScored]traitState{}
	var best *held
	for trait, byValue := range e.signatures {
		if len(byValue) == 0 || !e.compute(schemas.Trait(trait), r) {
			continue
		}
		for _, h := range byValue[string(e.scratch[trait])] {
			if e.counts(h, r) && (best == nil || better(h, best)) && e.matches(h.signature, r) {
				best = h
			}
		}
	}
	return e.matchScore(best, r)
}

// matchScore looks at what adds traits up, of one rank with signatures.
func (e *Edge) matchScore(best *held, r *schemas.Request) *held {
	for _, h := range e.scores {
		if e.counts(h, r) && (best == nil || better(h, best)) && e.adds(h.score, r) {
			best = h
		}
	}
	return best
}

func (e *Edge) adds(s *schemas.Score, r *schemas.Request) bool {
	return s.Adds(func(t schemas.Trait) (value []byte, known bool) {
		if !e.compute(t, r) {
			return nil, false
		}
		return e.scratch[t], true
	})
}

func (e *Edge) matches(s schemas.Signature, r *schemas.Request) bool {
	for i := range s {
		if !e.compute(s[i].Trait, r) || string(e.scratch[s[i].Trait]) != s[i].Value {
			return false
		}
	}
	return true
}

func (e *Edge) compute(t schemas.Trait, r *schemas.Request) bool {
	if of, listed := schemas.ListedOf(t); listed && e.state[t] == notComputed {
		e.state[t] = e.computeListed(of, r)
	}
	if e.state[t] == notComputed {
		value, ok := t.Value(e.scratch[t][:0], r)
		e.scratch[t], e.state[t] = value, unknown
		if ok {
			e.state[t] = known
		}
	}
	return e.state[t] == known
}

// counts reports whether a decision counts for the request's time and site.
func (e *Edge) counts(h *held, r *schemas.Request) bool {
	return (h.hand || !e.hand) && inForce(h, r)
}

func (e *Edge) strongest(best *held, hs []*held, r *schemas.Request) *held {
	for _, h := range hs {
		if e.counts(h, r) && (best == nil || better(h, best)) {
			best = h
		}
	}
	return best
}

// better orders two decisions of one scope: the more severe first, then the
// older, then by id, so that a verdict never depends on the order of a map.
func better(a, b *held) bool {
	if x, y := a.action.Severity(), b.action.Severity(); x != y {
		return x > y
	}
	if a.from != b.from {
		return a.from < b.from
	}
	return a.id < b.id
}

func inForce(h *held, r *schemas.Request) bool {
	if r.Time < h.from || r.Time >= h.until {
		return false
	}
	if len(h.sites) == 0 {
		return true
	}
	for _, site := range h.sites {
		if site == string(r.Site) {
			return true
		}
	}
	return false
}
