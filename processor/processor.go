package processor

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/sketch"
	"github.com/weir-project/weir/schemas"
)

// Other is the site that takes the requests of all hosts beyond MaxSites.
const Other = "(other)"

// Processor is the whole of processing for the requests of one estate. Not for
// concurrent use.
type Processor struct {
	o       Options
	seed    uint64
	extract *attribute.Extractor
	seen    *sketch.Seen // clients by site

	sites []*site // in the order of their first request
	index map[string]*site
	rows  schemas.Rows

	latest int64 // greatest time seen, unix ms
	closed int64 // last second closed, unix s; 0 before the first
	ids    incidentIDs
	count  *metrics

	leaps  int   // requests in a row that are far ahead of latest
	leapTo int64 // the last of them, unix ms
}

// New makes a Processor. Errors are about the options, one clear line each.
func New(o Options) (*Processor, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	count, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	seed := xxh3.Hash(o.Secret[:])
	return &Processor{
		o: o, seed: seed, count: count,
		extract: attribute.NewExtractor(seed),
		seen:    sketch.NewSeen(o.MaxClients),
		index:   make(map[string]*site),
	}, nil
}

// Consume takes the rows of a batch in order. Before each row event time moves on
// to the row's; the seconds that this closes (those that ended the lateness before
// the greatest time seen) are judged, and the events that follow are given to emit,
// each with the event time at which it could be known.
//
// judge, if not nil, says what an edge does with the row, and is asked after the
// events before the row were emitted; without it the logged action counts. The
// request that judge sees is valid during the call.
func (p *Processor) Consume(b *schemas.Batch, judge func(row int, r *schemas.Request) schemas.Action, emit func(schemas.Event)) {
	p.rows.Reset(b)
	var r schemas.Request
	for row := 0; p.rows.Next(&r); row++ {
		moment := r.Time
		if p.believes(r.Time) {
			p.Advance(r.Time, emit)
		} else {
			moment = p.latest
			p.count.future.Inc()
		}
		s := p.site(r.Site)
		action := actionOf(r.Action)
		if judge != nil {
			action = judge(row, &r)
		} else if !r.Fields.Has(schemas.FieldAction) {
			action = s.infer(&r)
		}
		r.Time = moment // the judge saw the edge's own
		s.observe(&r, action)
	}
	p.count.requests.Add(float64(p.rows.Len()))
}

// A clock that leaps: how far ahead, in ms, a request may be of all before it, and how
// many in a row, each no earlier than the one before, must agree that it is later.
const (
	leapFar  = int64(30 * time.Second / time.Millisecond)
	leapRows = 4
)

// believes reports whether event time may move to t. A line with a wrong clock must not
// make everybody else late; a log that was silent for a while goes on with its fourth
// request.
func (p *Processor) believes(t int64) bool {
	if p.latest == 0 || t <= p.latest+leapFar {
		p.leaps = 0
		return true
	}
	if p.leaps == 0 || t < p.leapTo || t > p.leapTo+3600_000 {
		p.leaps = 0
	}
	p.leaps, p.leapTo = p.leaps+1, t
	if p.leaps < leapRows {
		return false
	}
	p.leaps = 0
	return true
}

// actionOf is what an edge logged, without allocating; what is no action is allow.
func actionOf(logged []byte) schemas.Action {
	for _, a := range [...]schemas.Action{schemas.Block, schemas.Challenge, schemas.Throttle} {
		if string(logged) == string(a) {
			return a
		}
	}
	return schemas.Allow
}

// Advance moves event time to now, in unix ms, without a request. It never moves
// it back.
func (p *Processor) Advance(now int64, emit func(schemas.Event)) {
	if now <= p.latest {
		return
	}
	p.latest = now
	until := (now-p.o.Lateness.Milliseconds())/1000 - 1 // this second has ended
	if p.closed == 0 || until <= p.closed {
		if p.closed == 0 {
			p.closed = until
		}
		return
	}
	for p.closed < until {
		if p.idle() {
			p.closed = until
			for _, s := range p.sites {
				s.windows.Close(until)
			}
			return
		}
		p.closed++
		for _, s := range p.sites {
			s.close(p.closed, emit)
		}
	}
}

// idle reports whether closing seconds changes nothing.
func (p *Processor) idle() bool {
	for _, s := range p.sites {
		if !s.idle(p.closed) {
			return false
		}
	}
	return true
}

// knownAt is the event time at which a closed second is known to be over.
func (p *Processor) knownAt(second int64) time.Time {
	return time.Unix(second+1, 0).Add(p.o.Lateness).UTC()
}

// site is the site of a host.
func (p *Processor) site(host []byte) *site {
	if s, ok := p.index[string(host)]; ok {
		return s
	}
	name := string(host)
	if len(p.sites) >= p.o.MaxSites-1 {
		name = Other
		if s, ok := p.index[name]; ok {
			return s
		}
	}
	s := newSite(p, name, len(p.sites))
	p.sites = append(p.sites, s)
	p.index[name] = s
	p.count.sites.Set(float64(len(p.sites)))
	return s
}

func (p *Processor) allowed(client netip.Addr) bool {
	for _, prefix := range p.o.Allow {
		if prefix.Contains(client) {
			return true
		}
	}
	return false
}

// pathHash is the keyed hash of a path.
func (p *Processor) pathHash(path []byte) uint64 { return xxh3.HashSeed(path, p.seed+1) }

// saltOf is what a site's clients are told apart by in the common filter.
func (p *Processor) saltOf(name string) uint64 {
	return xxh3.HashStringSeed(name, p.seed+binary.LittleEndian.Uint64(p.o.Secret[:8])+2)
}

// SiteStatus is a site as a report shows it.
type SiteStatus struct {
	Name     string
	Requests uint64
	Signals  []schemas.Signal // of the last 10 s
	Learned  time.Duration    // how much normal traffic the baseline rests on
	Clients  int              // normal clients sampled
	Incident string           // open, or ""
}

// Sites tells of all sites, in the order of their first request.
func (p *Processor) Sites() []SiteStatus {
	out := make([]SiteStatus, len(p.sites))
	for i, s := range p.sites {
		out[i] = s.status()
	}
	return out
}
