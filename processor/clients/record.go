package clients

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// Count names one of a client's counters.
type Count int

// The counters. All count requests. Where one of a client's reaches 65,535 all of
// that client's are halved: what one reads off them is shares.
const (
	Served    Count = iota // answered 2xx or 3xx, or with a status that is not known
	NotFound               // 404 or 410
	Refused                // 4xx without 404, 410 and 499
	Failed                 // 5xx
	Abandoned              // 499: the client gave up waiting
	Stopped                // an edge did not let it through
	Assets                 // styles, scripts, images, fonts
	Cookies                // with a cookie
	NumCounts = int(Cookies) + 1
)

const (
	maxVisits = 4 // pairs of site and agent
	// MaxScore is the most that can be held against a client.
	MaxScore = 1000
	// stopScore and failScore are added to the score by a request of an incident that an
	// edge stopped, and by one that got nothing; a calm one that was served takes 1 away.
	stopScore, failScore = 4, 1
)

// record is 128 bytes, two cache lines, and holds no pointer.
type record struct {
	net         uint64 // see netOf
	others      uint64 // sites that no visit tells of any more: a Bloom filter of one probe
	first, last uint32 // unix seconds
	requests    uint32
	counts      [NumCounts]uint16
	score       uint16
	note        uint16 // see Table.Note
	traits      Traits
	visits      [maxVisits]visit // the used ones first
}

// visit is what a client is to one site with one agent. Its times are in ticks of ten
// minutes modulo 2^16, which is 455 days; 0 is none.
type visit struct {
	site, agent uint32
	first, last uint16 // of calm requests
	requests    uint16 // no more are counted than fit
	flags       uint16
}

const (
	used    uint16 = 1 << iota
	regular        // came on an earlier day, and nothing was wrong
)

// Traits are the latest that a client showed, hashed; 0 is unknown.
type Traits struct{ Language, Encoding, TLS, Protocol uint32 }

// netOf is a client as 64 bits: the /64 of an IPv6 address, and IPv4 in the low half of
// a network of multicast, which nobody sends from (RFC 4291, section 2.7). Whatever
// is no address is network 0.
func netOf(client netip.Addr) uint64 {
	client = client.Unmap()
	if client.Is4() {
		b := client.As4()
		return v4 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := client.As16()
	return binary.BigEndian.Uint64(b[:8])
}

const v4 = 0xFFFF_FFFF_0000_0000

func addrOf(net uint64) netip.Addr {
	if net >= v4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(net))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], net)
	return netip.AddrFrom16(b)
}

func tickOf(second uint32) uint16 {
	n := uint16(second / tickSeconds)
	if n == 0 {
		return 1
	}
	return n
}

// since is how many ticks lie between two, negative where b is the earlier.
func since(a, b uint16) int { return int(int16(b - a)) }

func secondOf(unix int64) uint32 { return uint32(min(max(unix, 0), math.MaxUint32)) }

func (r *record) count(c Count) {
	if r.counts[c]++; r.counts[c] == math.MaxUint16 {
		for i := range r.counts {
			r.counts[i] /= 2
		}
	}
}

// take counts one request.
func (r *record) take(h *Hit, second uint32) {
	r.last = max(r.last, second)
	if r.requests < math.MaxUint32 {
		r.requests++
	}
	kind := kindOf(h.Status)
	r.count(kind)
	if h.Stopped {
		r.count(Stopped)
	}
	if h.Asset {
		r.count(Assets)
	}
	if h.Cookie {
		r.count(Cookies)
	}
	switch {
	case h.Calm:
		if kind == Served && r.score > 0 {
			r.score--
		}
	case h.Stopped:
		r.score = min(r.score+stopScore, MaxScore)
	case kind != Served:
		r.score = min(r.score+failScore, MaxScore)
	}
	r.traits = h.Traits
}

// pretends reports whether nothing that came from a client is what browsers do.
func (r *record) pretends() bool { return r.counts[Assets]+r.counts[Cookies] == 0 }

func kindOf(status uint16) Count {
	switch {
	case status < 400:
		return Served
	case status == 404 || status == 410:
		return NotFound
	case status == 499:
		return Abandoned
	case status < 500:
		return Refused
	}
	return Failed
}

// visit finds or makes the visit of a request. fresh is true where the client was not
// at the site before; v is nil where there is no room.
func (r *record) visit(site, agent uint32, now uint16) (v *visit, fresh bool) {
	known := r.others&bit(site) != 0
	for i := range r.visits {
		v := &r.visits[i]
		if v.flags&used == 0 {
			*v = visit{site: site, agent: agent, flags: used}
			return v, !known
		}
		if v.site == site {
			if v.agent == agent {
				return v, false
			}
			known = true
		}
	}
	v = r.replaceable(now)
	if v == nil {
		r.others |= bit(site)
		return nil, !known
	}
	r.others |= bit(v.site)
	*v = visit{site: site, agent: agent, flags: used}
	return v, !known
}

// replaceable is the visit that makes room: the one that is longest ago of those that
// are no regular's; a regular's only after a week. Somebody else behind the same
// address must not make a site forget its regulars.
func (r *record) replaceable(now uint16) (oldest *visit) {
	age := func(v *visit) int {
		if v.last == 0 {
			return math.MaxInt16
		}
		return since(v.last, now)
	}
	for i := range r.visits {
		v := &r.visits[i]
		if v.flags&regular != 0 && age(v) < 7*dayTicks {
			continue
		}
		if oldest == nil || age(v) > age(oldest) {
			oldest = v
		}
	}
	return oldest
}

// lapsed reports whether a regular has not come for so long that it is none any more.
func (v *visit) lapsed(now uint16) bool { return since(v.last, now) > forgetAfter/tickSeconds }

// lapse makes the regulars of visits that lapsed none, before ticks come round.
func (r *record) lapse(now uint16) {
	for i := range r.visits {
		if v := &r.visits[i]; v.last != 0 && v.lapsed(now) {
			v.flags, v.first, v.last = v.flags&used, 0, 0
		}
	}
}

// recent is the time of a first visit, brought forward so that it stays within the span
// that ticks can tell: nobody asks whether it is two or three months ago.
func recent(first, now uint16) uint16 {
	if since(first, now) > 2*forgetAfter/tickSeconds {
		return now - 2*forgetAfter/tickSeconds
	}
	return first
}

func bit(site uint32) uint64 { return 1 << (site >> 26) }

// regularDays is for how many days the client is a regular of any site, 0 if of none.
func (r *record) regularDays() (days int) {
	for i := range r.visits {
		if v := &r.visits[i]; v.flags&regular != 0 {
			days = max(days, 1+since(v.first, v.last)/dayTicks)
		}
	}
	return days
}
