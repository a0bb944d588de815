package clients

import (
	"math"
	"net/netip"

	"github.com/weir-project/weir/processor/state"
)

// formVersion is the layout that Write writes and Read reads.
const formVersion = 1

// Write appends the table: some 70 bytes a client. The key is not written, and the
// hashes of sites and agents are of use only with the same one.
func (t *Table) Write(w *state.Writer) {
	w.Uint(formVersion)
	w.Uint(uint64(t.now))
	w.Uint(uint64(t.swept))
	w.Uint(t.forgotten)
	w.Bool(t.rewound)
	w.Uint(uint64(len(t.taints)))
	for _, x := range t.taints {
		w.Uint(uint64(x.site))
		w.Uint(uint64(x.from))
		w.Uint(uint64(x.to))
	}
	for _, h := range t.hand {
		w.Uint(uint64(h))
	}
	w.Uint(uint64(len(t.clock)))
	for at := range t.clock {
		w.Uint(uint64(t.clock[at]))
		t.record(at).write(w)
	}
}

func (r *record) write(w *state.Writer) {
	w.Uint(r.net ^ v4)
	w.Uint(r.others)
	w.Uint(uint64(r.first))
	w.Uint(uint64(r.last - min(r.last, r.first)))
	w.Uint(uint64(r.requests))
	for _, n := range r.counts {
		w.Uint(uint64(n))
	}
	w.Uint(uint64(r.score))
	for _, hash := range [...]uint32{r.traits.Language, r.traits.Encoding, r.traits.TLS, r.traits.Protocol} {
		w.Uint(uint64(hash))
	}
	n := 0
	for n < maxVisits && r.visits[n].flags&used != 0 {
		n++
	}
	w.Uint(uint64(n))
	for _, v := range r.visits[:n] {
		w.Uint(uint64(v.site))
		w.Uint(uint64(v.agent))
		for _, x := range [...]uint16{v.first, v.last, v.requests, v.flags} {
			w.Uint(uint64(x))
		}
	}
}

// Read replaces the table by one that Write wrote. Where that holds more clients than
// this one may, regulars are kept before those that returned, and those before
// newcomers. What does not hold together is refused through r; the table is of no
// use then.
func (t *Table) Read(r *state.Reader) { t.ReadSome(r, func(netip.Addr) bool { return true }) }

// ReadSome is Read of the clients that keep wants.
func (t *Table) ReadSome(r *state.Reader, keep func(client netip.Addr) bool) {
	*t = *New(t.max, t.seed)
	if v := r.Uint(math.MaxUint32); v != formVersion {
		r.Fail("clients in form %d, this reads %d", v, formVersion)
		return
	}
	t.now, t.swept = uint32(r.Uint(math.MaxUint32)), uint32(r.Uint(math.MaxUint32))
	t.forgotten, t.rewound = r.Uint(math.MaxUint64), r.Bool()
	if t.swept > t.now {
		r.Fail("the clients' clock does not hold together")
	}
	for range r.Count(maxTaints) {
		t.taints = append(t.taints, taint{uint32(r.Uint(math.MaxUint32)), uint16(r.Uint(math.MaxUint16)), uint16(r.Uint(math.MaxUint16))})
	}
	for s := range t.hand {
		t.hand[s] = int(r.Uint(1 << 27))
	}
	for range r.Count(1 << 27) {
		t.readRecord(r, keep)
		if r.Err() != nil {
			return
		}
	}
	for s := range t.hand {
		t.hand[s] = min(t.hand[s], len(t.clock))
	}
}

func (t *Table) readRecord(r *state.Reader, keep func(client netip.Addr) bool) {
	clock := uint8(r.Uint(math.MaxUint8))
	s := segment(clock & (1<<segmentBits - 1))
	var c record
	c.read(r)
	hash := t.hashOf(c.net)
	switch {
	case r.Err() != nil:
		return
	case s >= numSegments || clock>>segmentBits > maxCredit || c.last > t.now:
		r.Fail("a client does not hold together")
		return
	case t.find(hash, c.net) >= 0:
		r.Fail("a client stands twice")
		return
	case !keep(addrOf(c.net)):
		return
	}
	at := -1
	if len(t.clock) < t.max {
		at = t.extend()
	} else {
		below := newcomers
		for below < s && t.size[below] == 0 {
			below++
		}
		if below >= s {
			return // no room for it
		}
		at = t.victim(below)
		t.unlink(at)
		t.size[below]--
		t.size[newcomers]++
	}
	*t.record(at) = c
	t.set(at, newcomers, 0)
	t.link(hash, at)
	if s > newcomers {
		t.move(at, s, 0)
	}
	if t.segment(at) == s {
		t.clock[at] = clock
	}
}

func (r *record) read(in *state.Reader) {
	r.net, r.others = in.Uint(math.MaxUint64)^v4, in.Uint(math.MaxUint64)
	r.first = uint32(in.Uint(math.MaxUint32))
	r.last = r.first + uint32(in.Uint(uint64(math.MaxUint32-r.first)))
	r.requests = uint32(in.Uint(math.MaxUint32))
	for i := range r.counts {
		r.counts[i] = uint16(in.Uint(math.MaxUint16 - 1))
	}
	r.score = uint16(in.Uint(MaxScore))
	for _, hash := range [...]*uint32{&r.traits.Language, &r.traits.Encoding, &r.traits.TLS, &r.traits.Protocol} {
		*hash = uint32(in.Uint(math.MaxUint32))
	}
	for i := range in.Count(maxVisits) {
		v := &r.visits[i]
		v.site, v.agent = uint32(in.Uint(math.MaxUint32)), uint32(in.Uint(math.MaxUint32))
		for _, x := range [...]*uint16{&v.first, &v.last, &v.requests, &v.flags} {
			*x = uint16(in.Uint(math.MaxUint16))
		}
		if v.flags&used == 0 || v.flags > used|regular || v.flags&regular != 0 && v.first == 0 {
			in.Fail("a visit does not hold together")
		}
	}
}
