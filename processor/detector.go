package processor

import (
	"net/netip"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// Detector makes windows of panes, holds them against baselines, and turns what departs
// from them into incidents and decisions: the half of processing whose cost goes with the
// sites. What it emits depends on the options and on the panes so far, and on nothing
// else: neither on the order of a second's panes nor on who counted them. Not for
// concurrent use.
type Detector struct {
	o       Options
	extract *attribute.Extractor
	know    *Knowledge
	windows *window.Estate

	seed     uint64
	probeKey string
	links    pathSet // schemas.LinkKeys

	free     []*Pane // emptied
	held     held
	worked   worked
	told     int               // maxEvidence
	suspects *attribute.Sample // of the site that is looked at, see site.suspects
	whole    *attribute.Sample // the same, of all that the steps' samples have

	sites      []*site // in the order of their first pane
	index      map[string]*site
	named      map[string]bool // by the configuration: they keep their place
	closed     int64           // last second closed, unix s; 0 before the first
	memory     share
	watched    int   // sites whose normal traffic is known, counted every minute
	began      int64 // the first second that this detector closed
	strangeFor int   // windows in a row with many requests for hosts that are no site's
	manyNames  int64 // second in which many new names were there at once, 0 for never
	ids        incidentIDs

	corrections []Correction      // the oldest first
	rejected    map[string]string // by decision, the person who has lifted it; nil for none
	rejections  []string          // their ids, the oldest first

	count *metrics
}

// newDetector makes a Detector of options that were checked; extract knows the names of
// what the panes' samples hold.
func newDetector(o Options, extract *attribute.Extractor, know *Knowledge, count *metrics) *Detector {
	named := make(map[string]bool)
	for _, name := range o.Named {
		named[name] = true
	}
	return &Detector{
		named: named, suspects: attribute.NewSample(extract, 4*bucketClients), whole: attribute.NewSample(extract, (quarantine+1)*bucketClients),
		worked: worked{most: workedBytes}, told: maxEvidence,
		o: o, extract: extract, know: know, count: count, windows: window.NewEstate(windowBytes), index: make(map[string]*site),
		seed: seedOf(o.Secret), probeKey: probeKey(o.Secret), links: linkKeys(seedOf(o.Secret)),
	}
}

// seedOf is what a secret's hashes are keyed by.
func seedOf(secret [32]byte) uint64 { return xxh3.Hash(secret[:]) }

// spare reports whether an address is a proxy's.
func (d *Detector) spare(addr netip.Addr) bool {
	for _, prefix := range d.o.Proxies {
		if prefix.Contains(addr) {
			d.count.spared.Inc()
			return true
		}
	}
	return false
}

// Close ends a second, with the panes that there are of it: what follows is given to
// emit, each event with the event time at which it could be known. Every second is to be
// closed, in order, but those that Skip passes over. The panes are the detector's.
func (d *Detector) Close(second int64, panes []*Pane, emit func(schemas.Event)) {
	d.close(second, panes, emit)
	d.Release(panes)
}

// Skip passes over seconds up to one, without panes, and reports whether it may: nothing
// that is open or in force would change in them.
func (d *Detector) Skip(until int64) bool {
	if d.closed != 0 && !d.idle() {
		return false
	}
	d.skip(until)
	return true
}

// Closed is the last second closed, in unix seconds; 0 before the first.
func (d *Detector) Closed() int64 { return d.closed }

// Detail reads a window of a site whole, the heavy keys among it, and reports whether there is
// such a site. It keeps out's memory; names are valid until the next second is closed.
func (d *Detector) Detail(site string, length window.Length, out *window.Detail) bool {
	s, ok := d.index[site]
	if ok {
		s.windows.Detail(length, out)
	}
	return ok
}

// Knowledge is what it has learned for counters.
func (d *Detector) Knowledge() *Knowledge { return d.know }

// close ends a second, with the panes that there are of it: what follows is given to
// emit, each event with the event time at which it could be known. The panes come back
// with other content. Every second is to be closed, in order, or skipped.
func (d *Detector) close(second int64, panes []*Pane, emit func(schemas.Event)) {
	d.closed = second
	if d.began == 0 {
		d.began = second
	}
	if second%60 == 0 {
		d.windows.Bound(d.memory.next(second, d.windows.Added()))
		d.watched = 0
		for _, s := range d.sites {
			if s.established() {
				d.watched++
			}
		}
	}
	for _, p := range panes {
		s := d.site(p.Site)
		s.meet(p)
		s.take(p)
	}
	for _, s := range d.sites {
		s.close(second, emit)
	}
	if second%stepSeconds == 0 {
		d.strange(second, emit)
	}
}

// skip passes over seconds without panes while the Detector is idle.
func (d *Detector) skip(until int64) {
	d.closed = until
	for _, s := range d.sites {
		s.windows.Close(until)
	}
}

// idle reports whether closing seconds without panes changes nothing.
func (d *Detector) idle() bool {
	for _, s := range d.sites {
		if !s.idle(d.closed) {
			return false
		}
	}
	return true
}

// knownAt is the event time at which a closed second is known to be over.
func (d *Detector) knownAt(second int64) time.Time {
	return time.Unix(second+1, 0).Add(d.o.Lateness).UTC()
}

// How long, in seconds, a site must have been silent before another takes its place: one of
// which nothing was learned, and one whose normal traffic is known, see established. Which hosts are sites is
// decided where requests are counted, by the same two spans (see window.Admission); but each
// partition's counter decides for itself, and a host that only attackers ask for, of many
// addresses, may be on credit with one of them.
const (
	idleUnknown = 3600
	idleLearned = 7 * 86400
)

// makeRoom drops the site that has been silent longest, first of those from which little
// was learned; none where all are busy, or attacked.
func (d *Detector) makeRoom() bool {
	victim := -1
	for i, s := range d.sites {
		if s.name == Other || d.named[s.name] || s.incident != nil || s.know.inForce() > 0 || !s.mayGo(d.closed-s.last) {
			continue
		}
		if victim < 0 || s.lessThan(d.sites[victim]) {
			victim = i
		}
	}
	if victim < 0 {
		return false
	}
	s := d.sites[victim]
	d.held.normal -= s.knows()
	d.held.lists(s, -1)
	for i := range s.buckets {
		b := &s.buckets[i]
		d.held.found -= b.bytes()
		if b.sample != nil {
			d.held.quarantined -= b.sample.Len()
		}
	}
	d.drop(s)
	s.windows.Drop()
	delete(d.index, s.name)
	d.sites = slices.Delete(d.sites, victim, victim+1)
	d.know.release(s.name)
	return true
}

// mayGo reports whether the site may lose its place, silent for so many seconds.
func (s *site) mayGo(idle int64) bool {
	if s.established() {
		return idle >= idleLearned
	}
	return idle >= idleUnknown
}

// establishedClients is how many normal clients, each counted anew every ten minutes, make the
// traffic of a site known: a host that was asked for a few times has learned as many windows,
// all but empty ones.
const establishedClients = 2

func (s *site) established() bool {
	return s.base.Windows() >= minWindows && s.knows() >= establishedClients
}

func (s *site) lessThan(o *site) bool {
	if a, b := s.established(), o.established(); a != b {
		return b
	}
	return s.last < o.last
}

// site is the site of that name.
func (d *Detector) site(name string) *site {
	if s, ok := d.index[name]; ok {
		return s
	}
	if name != Other && !d.named[name] && d.full() && !d.makeRoom() {
		return d.site(Other)
	}
	s := newSite(d, name, len(d.sites))
	d.add(s)
	return s
}

// full reports whether there is no place for another site that is not named.
func (d *Detector) full() bool {
	others := 0
	for _, s := range d.sites {
		if !d.named[s.name] {
			others++
		}
	}
	return others >= d.o.MaxSites-1-len(d.named)
}

// add takes a site that is not there yet.
func (d *Detector) add(s *site) {
	d.know.hold(s.name)
	d.sites = append(d.sites, s)
	d.index[s.name] = s
}
