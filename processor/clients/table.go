package clients

import (
	"math/bits"
	"net/netip"

	"github.com/weir-project/weir/schemas"
	"github.com/zeebo/xxh3"
)

// Bytes is the most that a client takes in the table: its record, its slots in the
// index, its place in the clock and its hash, with room to grow.
const Bytes = 128 + 16 + 5 + 2

const (
	tickSeconds = 600 // of the times of visits
	dayTicks    = 24 * 3600 / tickSeconds
	// regularAfter is how many ticks after a first calm request a client that comes again
	// is a regular, 16 hours: it was here on an earlier day, in whatever time zone.
	regularAfter = 16 * 3600 / tickSeconds
	// returnedAfter is how many seconds make a client that comes again one that returned.
	returnedAfter = 600
	// forgetAfter is how many seconds a client that does not come is remembered.
	forgetAfter = 45 * 24 * 3600

	chunkRecords = 1024
	maxTaints    = 64
)

// segment is where a client stands in the order of being forgotten.
type segment uint8

const (
	newcomers segment = iota
	returned
	regulars
	numSegments
)

// Table holds at most a given number of clients in three segments. Whoever was never
// seen before enters among the newcomers, and only a newcomer makes room for it.
// Whoever comes again ten minutes later while nothing is wrong moves to those that
// returned, and on a later day to the regulars: at most a quarter and half of the
// table. Where those that returned are full, one that has not come for long moves down again. Each
// segment is a clock (Corbató 1968) whose hand takes one credit from every client it
// passes and stops at one without; coming gives credit, one for a newcomer. The regulars know
// seniority: a credit for each day since the first visit, less the days without one. Where they are full, the
// least of some goes, which may be the one that comes: however many addresses come for some weeks, they
// take no place of who came before them and goes on to. So ten million addresses that
// come once forget each other, and no regular.
//
// Clients are found by a keyed hash: nobody can aim at a place. The records hold no
// pointers; a table that is not full takes memory for what it holds. What it answers
// depends on the requests given to it in their order alone, not on the key.
// Not for concurrent use.
type Table struct {
	seed   uint64
	max    int
	chunks []*[chunkRecords]record
	clock  []uint8  // segment and credit of each record
	hashes []uint32 // the low half of its hash
	size   [numSegments]int
	hand   [numSegments]int

	slots     []uint32 // tag and number of a record plus one; 0 is free
	places    int      // bits of a number
	scratch   [16]byte
	noted     int    // the record that was observed last
	warmed    uint32 // nothing: so that what Warm reads is read
	now       uint32 // greatest second seen
	swept     uint32 // the day, in seconds, in which the old were last dropped
	taints    []taint
	forgotten uint64
	rewound   bool // the next request may be of any time
}

// taint is a span of ticks in which what came to a site proves nothing.
type taint struct {
	site     uint32
	from, to uint16
}

// New makes an empty table of at most maxClients clients (64 to 1<<27). seed keys the
// hashes; see Hash.
func New(maxClients int, seed uint64) *Table {
	maxClients = min(max(maxClients, 64), 1<<27)
	return &Table{seed: seed, max: maxClients, places: bits.Len(uint(maxClients)), slots: make([]uint32, 256)}
}

// Hash is the keyed hash of a client: what Hit wants, and what sketches take.
func (t *Table) Hash(client netip.Addr) uint64 {
	t.scratch = schemas.ClientOf(client).As16() // hashed where it lies: a slice of a variable would escape
	return xxh3.HashSeed(t.scratch[:], t.seed)
}

// Hit is one request, as far as the table keeps it.
type Hit struct {
	Client  netip.Addr
	Hash    uint64 // Table.Hash of Client
	Second  int64  // unix
	Site    uint32 // a hash of its name
	Agent   uint32 // a hash of the user agent; 0 is unknown
	Traits  Traits
	Status  uint16
	Asset   bool
	Cookie  bool
	Stopped bool // an edge did not let it through
	// Browser is whether it says that it is one: then it has to do what browsers do, to be a regular.
	Browser bool
	// Calm is whether nothing is wrong on the site. What comes in an incident makes
	// nobody known.
	Calm bool
}

// Known is what the table knew of a client before a request.
type Known struct {
	Fresh   bool  // it had not been at the site
	First   int64 // unix second of its first request anywhere
	Regular bool  // of the site, with this agent: see Table.Regular
}

// Observe counts a request. It does not allocate once the table has its size.
func (t *Table) Observe(h *Hit) (k Known) {
	second := secondOf(h.Second)
	if t.rewound {
		t.shift(int64(second) - int64(t.now))
	}
	if second > t.now {
		t.now = second
		if second-t.swept >= 24*3600 {
			t.drop()
		}
	}
	net := netOf(h.Client)
	at := t.find(h.Hash, net)
	if at < 0 {
		at = t.admit(h.Hash, net, second)
	}
	t.noted = at
	r := t.record(at)
	tick := tickOf(second)
	v, fresh := r.visit(h.Site, h.Agent, tick)
	k.Fresh, k.First = fresh, int64(r.first)
	if v != nil {
		k.Regular = t.visitNow(r, v, h, tick)
	}
	r.take(h, second)
	t.touch(at, r, h.Calm)
	return k
}

// Note is a place in which the caller may keep something that it worked out of the client that Observe took
// last: 0 until it does, and again after the client, or when it came, was forgotten. It is not saved. It is
// the caller's until the next request.
func (t *Table) Note() *uint16 { return &t.record(t.noted).note }

// NoteOf is Note for a client with its hash that is about to be observed, nil for one that is not known.
func (t *Table) NoteOf(hash uint64, client netip.Addr) *uint16 {
	if at := t.find(hash, netOf(client)); at >= 0 {
		return &t.record(at).note
	}
	return nil
}

// Warm has the records of clients, by their hashes, fetched from memory. What Observe does
// one after the other it then does without waiting: a table of a million does not fit into
// any cache.
func (t *Table) Warm(hashes []uint64) {
	mask, sum := uint64(len(t.slots)-1), uint32(0)
	for _, hash := range hashes {
		if s := t.slots[hash&mask]; s != 0 {
			at := t.numberOf(s)
			r := t.record(at)
			sum += r.last + r.visits[0].site + uint32(t.clock[at])
		}
	}
	t.warmed = sum
}

// visitNow counts a request of a visit and reports whether it is a regular's.
func (t *Table) visitNow(r *record, v *visit, h *Hit, tick uint16) bool {
	if v.requests < 1<<16-1 {
		v.requests++
	}
	if v.flags&regular != 0 {
		if !v.lapsed(tick) {
			v.last = tick
			v.first = recent(v.first, tick)
			return true
		}
		v.flags, v.first = used, 0
	}
	if !h.Calm { // whoever is first seen in an attack has yet to come on a calm day
		v.first, v.last = 0, 0
		return false
	}
	v.last = tick
	switch {
	case v.first == 0:
		v.first = tick
	case h.Browser && r.pretends(): // it may be a bot that has come before
	case since(v.first, tick) >= regularAfter:
		if t.tainted(v.site, v.first) {
			v.first = tick
			return false
		}
		v.flags |= regular
		return true
	}
	return false
}

// Taint says that what came to a site in a span of unix seconds was not calm after all:
// who came first in it is no regular for that. The last 64 spans are kept.
func (t *Table) Taint(site uint32, from, to int64) {
	if len(t.taints) == maxTaints {
		t.taints = append(t.taints[:0], t.taints[1:]...)
	}
	t.taints = append(t.taints, taint{site, tickOf(secondOf(from)), tickOf(secondOf(to))})
}

func (t *Table) tainted(site uint32, tick uint16) bool {
	for _, x := range t.taints {
		if x.site == site && since(x.from, tick) >= 0 && since(tick, x.to) >= 0 {
			return true
		}
	}
	return false
}

// Rewind keeps what is known and forgets when: to the next request, of whatever time,
// everything will be as long ago as it is to the last one now.
func (t *Table) Rewind() { t.rewound = len(t.clock) > 0 }

// shift moves every time by so many seconds.
func (t *Table) shift(by int64) {
	ticks := uint16(by / tickSeconds)
	move := func(tick *uint16) {
		if *tick == 0 {
			return
		}
		if *tick += ticks; *tick == 0 {
			*tick = 1
		}
	}
	for at := range t.clock {
		r := t.record(at)
		r.first, r.last, r.note = secondOf(int64(r.first)+by), secondOf(int64(r.last)+by), 0
		for i := range r.visits {
			move(&r.visits[i].first)
			move(&r.visits[i].last)
		}
	}
	for i := range t.taints {
		move(&t.taints[i].from)
		move(&t.taints[i].to)
	}
	t.now = secondOf(int64(t.now) + by)
	t.swept = t.now - t.now%(24*3600)
	t.rewound = false
}

// Regular reports whether a client is a regular of any site with an agent (a hash of
// it): while nothing was wrong it came at least 16 hours apart, the last time within
// 45 days; and where it says that it is a browser, it has loaded what pages bring with them, or
// brought a cookie.
func (t *Table) Regular(client netip.Addr, agent uint32) bool {
	at := t.find(t.Hash(client), netOf(client))
	if at < 0 {
		return false
	}
	r, now := t.record(at), tickOf(t.now)
	for i := range r.visits {
		if v := &r.visits[i]; v.flags&regular != 0 && v.agent == agent && !v.lapsed(now) {
			return true
		}
	}
	return false
}

// Client is what the table knows of one.
type Client struct {
	Client      netip.Addr
	First, Last int64 // unix seconds
	Requests    uint32
	Counts      [NumCounts]uint16
	Score       int // 0 to MaxScore: what it did in incidents
	Traits      Traits
	Visits      []Visit
}

// Visit is what a client is to one site with one agent.
type Visit struct {
	Site, Agent uint32
	Requests    uint16
	Regular     bool
}

// Get tells of a client.
func (t *Table) Get(client netip.Addr) (c Client, ok bool) {
	at := t.find(t.Hash(client), netOf(client))
	if at < 0 {
		return c, false
	}
	r := t.record(at)
	c = Client{
		Client: addrOf(r.net), First: int64(r.first), Last: int64(r.last),
		Requests: r.requests, Counts: r.counts, Score: int(r.score), Traits: r.traits,
	}
	for _, v := range r.visits {
		if v.flags&used != 0 {
			c.Visits = append(c.Visits, Visit{v.site, v.agent, v.requests, v.flags&regular != 0})
		}
	}
	return c, true
}

// Len is how many clients there are; Regulars how many of them stand among the
// regulars; Forgotten how many had to make room so far.
func (t *Table) Len() int          { return len(t.clock) }
func (t *Table) Regulars() int     { return t.size[regulars] }
func (t *Table) Forgotten() uint64 { return t.forgotten }

func (t *Table) record(at int) *record { return &t.chunks[at/chunkRecords][at%chunkRecords] }

// heldAgainst is the score from which on a client is no regular to an edge: two requests
// of an incident that an edge stopped, or eight that got nothing.
const heldAgainst = 8

// EachRegular tells of every visit of a regular that has come for days (whole days from
// the first calm request to the last), mostly got what it asked for, and did nothing in
// incidents. A client that comes with several agents is told of once for each.
func (t *Table) EachRegular(f func(client netip.Addr, site uint32, days, requests int)) {
	now := tickOf(t.now)
	for at := range t.clock {
		r := t.record(at)
		all := uint32(0)
		for _, c := range []Count{Served, NotFound, Refused, Failed, Abandoned} {
			all += uint32(r.counts[c])
		}
		if r.score >= heldAgainst || 2*uint32(r.counts[Served]) <= all {
			continue
		}
		for i := range r.visits {
			if v := &r.visits[i]; v.flags&regular != 0 && !v.lapsed(now) {
				f(addrOf(r.net), v.site, since(v.first, v.last)/dayTicks, int(v.requests))
			}
		}
	}
}
