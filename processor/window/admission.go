package window

import (
	"math/bits"

	"github.com/weir-project/weir/processor/sketch"
)

// What a host must show to be a site.
const (
	// creditSites are given to hosts that have shown nothing yet: a small estate has its
	// sites from their first request on.
	creditSites = 64
	// trustedClients is how many clients known from earlier days, each of another network, make
	// a host trusted.
	trustedClients = 3
	// vouches is how many hosts the clients of a network can speak for in a week: whoever is
	// patient for some days with a handful of addresses makes no more of them trusted.
	vouches = 4
	// vouchSlots is among how many counters, by keyed hash, networks share.
	vouchSlots = 4096
	// provenNetworks is from how many networks of 64 (by hash) a host must have served
	// clients to be proven, and provenMinutes in how many different minutes.
	provenNetworks = 24
	provenMinutes  = 5
	// candidatesMax bounds the hosts whose evidence is collected.
	candidatesMax = 1024
	// candidateFrom is how many requests a host needs to be one of them.
	candidateFrom = 4
)

// How long a site must have been silent to lose its place to another of its own kind.
const (
	idleChance  = 3600      // seconds; served to one network in one minute
	idleYoung   = 3 * 86400 // likewise; not trusted, while the newcomer is, and has not been there for long
	idleSite    = 7 * 86400 // likewise; of all others
	idleAtLeast = 2 * Open  // so that none is open, of whatever kind
)

// worth is what a site has shown.
type worth uint8

const (
	onCredit worth = iota
	proven
	trusted
)

// Admission decides which hosts are sites, of which there is a bounded number; whatever
// comes to other hosts counts under one name. Anyone can send any Host header, so a
// place is not given for being asked for:
//
//   - the first 64 hosts are sites at once, on credit;
//   - beyond these a host must be proven: served to clients from at least 24 of 64 groups of
//     networks, in five different minutes; or trusted: by clients of three networks that are
//     known from earlier days, and who speak for four hosts in a week at most;
//   - where all places are taken, a host takes that of one which was never served; or to one
//     network in one minute, and has been silent for an hour; or of one worth no more and
//     silent for a week. A trusted host takes that of one which is not and has been silent for
//     three days, and for twice as long as it was there before, up to a week. It is the longest
//     silent of the least worth. So no site that people come to, on its first day too, goes for
//     a host that only strangers, or attackers, ask for, however many and however patient they
//     are; and the places that those have filled go to hosts that are trusted.
//
// Sites that the configuration names have a place from their first request on, which no other
// host takes: whoever fills all others, however patiently, keeps none of these out.
//
// Hosts without a place are counted in a bounded sketch; from the fourth request on, the
// evidence of the heaviest 1,024 is kept. A flood of random hosts fills nothing. Not for
// concurrent use.
type Admission struct {
	max        int             // of sites that are not named
	named      map[string]bool // by the configuration
	sites      map[string]*Place
	there      int // sites that are named
	credit     int // sites on credit
	knocks     sketch.Tally
	candidates map[string]*Place
	swept      int64 // second of the last sweep of candidates

	vouched [vouchSlots]uint8 // hosts that a network has spoken for since
	since   int64
}

// Place is what is known of a host that is a site or may become one.
type Place struct {
	host     string
	first    int64                  // unix second of the first request
	last     int64                  // and of the last
	minute   int64                  // the last one counted
	minutes  int                    // different ones with a served request
	networks uint64                 // groups that were served
	network  uint64                 // the first that was served
	several  bool                   // another was too, of whatever group
	regulars [trustedClients]uint64 // networks that have spoken for it
	worth    worth
}

// Visit is what is known of a request when its site is looked for.
type Visit struct {
	Second  int64  // event time, unix
	Network uint64 // keyed hash of its /24 or /48
	Host    uint64 // keyed hash of the host
	Served  bool   // answered with a status below 400
	Regular bool   // known from an earlier day
}

// NewAdmission makes a table for at most so many sites, of which places are kept for those named.
func NewAdmission(most int, named ...string) *Admission {
	a := &Admission{max: max(most-len(named), 0), named: make(map[string]bool), sites: make(map[string]*Place), candidates: make(map[string]*Place)}
	for _, name := range named {
		a.named[name] = true
	}
	return a
}

// Len is how many sites there are.
func (a *Admission) Len() int { return len(a.sites) }

// Admit reports whether a host that is no site becomes one with this request, its place
// then, and which site had to go for it, "" for none. The host is copied where it is kept.
func (a *Admission) Admit(host []byte, v *Visit) (place *Place, gone string) {
	if p, ok := a.sites[string(host)]; ok {
		return p, ""
	}
	if a.named[string(host)] {
		return a.keep(string(host), v.Second), ""
	}
	if a.credit < min(creditSites, a.max) && !a.full() {
		p := newPlace(host, v)
		a.note(p, v)
		if p.worth == onCredit {
			a.credit++
		}
		a.sites[p.host] = p
		return p, ""
	}
	c := a.candidate(host, v)
	if c == nil {
		return nil, ""
	}
	if a.note(c, v); c.worth == onCredit {
		return nil, ""
	}
	if a.full() {
		victim := a.victim(c.worth, v.Second)
		if victim == nil {
			return nil, ""
		}
		gone = victim.host
		a.Remove(gone)
	}
	delete(a.candidates, c.host)
	a.sites[c.host] = c
	return c, gone
}

// Restore makes a host a site again that was one before a restart, if there is room: as one
// that is proven.
func (a *Admission) Restore(host string, second int64) *Place {
	if p := a.sites[host]; p != nil {
		return p
	}
	if a.named[host] {
		return a.keep(host, second)
	}
	if a.full() {
		return nil
	}
	p := &Place{host: host, first: second - idleSite, last: second, worth: proven}
	a.sites[host] = p
	return p
}

// full reports whether there is no place for another host that is not named.
func (a *Admission) full() bool { return len(a.sites)-a.there >= a.max }

// keep gives a named site its place.
func (a *Admission) keep(host string, second int64) *Place {
	p := &Place{host: host, first: second, last: second, worth: trusted}
	a.sites[host] = p
	a.there++
	return p
}

// Remove takes a site's place.
func (a *Admission) Remove(host string) {
	p := a.sites[host]
	switch {
	case p == nil:
		return
	case a.named[host]:
		a.there--
	case p.worth == onCredit:
		a.credit--
	}
	delete(a.sites, host)
}

// candidate is the host's evidence so far, nil where it has none yet.
func (a *Admission) candidate(host []byte, v *Visit) *Place {
	if c, ok := a.candidates[string(host)]; ok {
		return c
	}
	if v.Second-a.swept >= idleChance { // what knocked long ago begins anew
		a.swept = v.Second
		a.knocks.Reset()
		for name, c := range a.candidates {
			if v.Second-c.last >= idleChance {
				delete(a.candidates, name)
			}
		}
	}
	a.knocks.Insert(v.Host, 1, nil)
	speaks := v.Regular && v.Served && a.speaks(v)
	if !speaks && a.knocks.Least(v.Host) < candidateFrom {
		return nil
	}
	if len(a.candidates) >= candidatesMax && !a.makeRoom(v, speaks) {
		return nil
	}
	c := newPlace(host, v)
	a.candidates[c.host] = c
	return c
}

func newPlace(host []byte, v *Visit) *Place {
	return &Place{host: string(host), first: v.Second, last: v.Second}
}

// speaks reports whether a regular's network can speak for one more host. It begins anew every
// week.
func (a *Admission) speaks(v *Visit) bool {
	if v.Second-a.since >= idleSite {
		a.since, a.vouched = v.Second, [vouchSlots]uint8{}
	}
	return a.vouched[v.Network%vouchSlots] < vouches
}

// makeRoom drops the candidate with the least evidence, if the newcomer may have more: a
// regular client has come that speaks for it.
func (a *Admission) makeRoom(v *Visit, speaks bool) bool {
	var least *Place
	for _, c := range a.candidates {
		if least == nil || c.less(least) {
			least = c
		}
	}
	if !speaks && v.Second-least.last < idleAtLeast {
		return false
	}
	delete(a.candidates, least.host)
	return true
}

// less orders candidates by what they have shown, the least first.
func (p *Place) less(o *Place) bool {
	if a, b := p.known(), o.known(); a != b {
		return a < b
	}
	if p.last != o.last {
		return p.last < o.last
	}
	return p.host < o.host
}

// known is how many regular clients have spoken for it, at most trustedClients.
func (p *Place) known() (n int) {
	for _, c := range p.regulars {
		if c != 0 {
			n++
		}
	}
	return n
}

// victim is the site that goes for a host of that worth, nil for none.
func (a *Admission) victim(w worth, now int64) (victim *Place) {
	for _, p := range a.sites {
		if p.worth > w || a.named[p.host] || now-p.last < p.tenure(w) {
			continue
		}
		if victim == nil || p.worth < victim.worth || p.worth == victim.worth && (p.last < victim.last || p.last == victim.last && p.host < victim.host) {
			victim = p
		}
	}
	return victim
}

// tenure is for how many seconds the site keeps its place against a host worth no less.
func (p *Place) tenure(newcomer worth) int64 {
	switch {
	case p.worth == onCredit && p.networks == 0:
		return idleAtLeast
	case p.worth == onCredit && p.minutes < 2 && !p.several: // groups would take two of one group for one
		return idleChance
	case newcomer == trusted && p.worth < trusted:
		return min(max(2*(p.last-p.first), idleYoung), idleSite)
	}
	return idleSite
}

// Visit notes a request to the site.
func (a *Admission) Visit(p *Place, v *Visit) {
	was := p.worth
	if a.note(p, v); was == onCredit && p.worth > was {
		a.credit--
	}
}

// Last is the second of the last request noted.
func (p *Place) Last() int64 { return p.last }

// note notes a request to a site or a candidate.
func (a *Admission) note(p *Place, v *Visit) {
	p.last = max(p.last, v.Second)
	if p.worth == trusted || !v.Served {
		return
	}
	p.networks |= 1 << (v.Network & 63)
	if p.network == 0 {
		p.network = v.Network | 1 // 0 is none
	}
	p.several = p.several || p.network != v.Network|1
	if m := v.Second / 60; m > p.minute {
		p.minute = m
		p.minutes++
	}
	if at := p.slotFor(v.Network); v.Regular && at >= 0 && a.speaks(v) {
		p.regulars[at] = v.Network | 1
		a.vouched[v.Network%vouchSlots]++
	}
	switch {
	case p.known() == trustedClients:
		p.worth = trusted
	case p.minutes >= provenMinutes && bits.OnesCount64(p.networks) >= provenNetworks:
		p.worth = proven
	}
}

// slotFor is where a network's word for the host is put down, negative where it has spoken.
func (p *Place) slotFor(network uint64) int {
	for i, known := range p.regulars {
		switch known {
		case network | 1: // 0 is none
			return -1
		case 0:
			return i
		}
	}
	return -1
}
