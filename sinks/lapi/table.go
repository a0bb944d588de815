package lapi

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/gaissmai/bart"

	"github.com/weir-project/weir/schemas"
)

// table is what is in force on addresses and networks, and the order in which that
// changed. Safe for concurrent use.
type table struct {
	allow []netip.Prefix
	max   int

	mu     sync.Mutex
	spared []netip.Prefix // whom nothing touches, beside allow
	spares *bart.Lite     // the same, to be asked of each of many values
	// regulars pass before what weir decided by itself; a network that holds one is not told.
	regulars *schemas.RegularSet
	byID     map[string]netip.Prefix // a decision's id -> its value
	values   map[netip.Prefix]*entry
	seq      uint64   // of the latest change
	log      []change // ascending; those that a later change of the value supersedes may be missing
	floor    uint64   // what was deleted up to here may be forgotten
	next     time.Time
	epoch    int64 // ids of items begin here, so that they differ from those before a restart
}

type change struct {
	seq   uint64
	value netip.Prefix
}

// entry is one value that some bouncer may hold.
type entry struct {
	held    []held
	first   uint64    // the change that brought it
	changed uint64    // the latest
	types   uint8     // of what has been in force on it, by severity
	until   time.Time // when the last bouncer lets go of it by itself
}

// held is one decision on a value.
type held struct {
	id      string
	action  schemas.Action
	sites   []string // empty is all
	expires time.Time
	byHand  bool
}

// Bounds of the table.
const (
	maxGone = 1_000_000 // values that are remembered as deleted
	sweep   = time.Second
)

func newTable(allow []netip.Prefix, most int) *table {
	return &table{
		allow: allow, max: most, spares: new(bart.Lite),
		byID: map[string]netip.Prefix{}, values: map[netip.Prefix]*entry{},
		epoch: time.Now().UnixMilli() * 1000, // fits the 53 bits of JSON's numbers until 2255
	}
}

// valueOf is the address or network of a decision; false where a bouncer cannot hold it.
func (t *table) valueOf(d *schemas.Decision) (netip.Prefix, bool) {
	value, err := d.Network()
	if err != nil {
		return value, false
	}
	for _, a := range t.allow {
		if a.Overlaps(value) { // a bouncer cannot leave a part out
			return value, false
		}
	}
	return value, true
}

// spare has nothing in force on what overlaps these, until it is called again.
func (t *table) spare(addresses []netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Equal(t.spared, addresses) {
		return
	}
	before := t.spares
	t.spared, t.spares = addresses, new(bart.Lite)
	for _, a := range addresses {
		t.spares.Insert(a.Masked())
	}
	for value, v := range t.values {
		if before.OverlapsPrefix(value) != t.spares.OverlapsPrefix(value) {
			t.touch(value, v)
		}
	}
}

// know has nothing of weir's own in force on these and on what holds one, until it is called
// again.
func (t *table) know(regulars *schemas.RegularSet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.regulars
	t.regulars = regulars
	for value, v := range t.values {
		if before.Touches(value) != regulars.Touches(value) {
			t.touch(value, v)
		}
	}
}

// take applies changes, or, where all is true, what replaces everything. It returns how
// many were refused because there is no room.
func (t *table) take(all bool, events []schemas.Event, now time.Time) (overflow int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var kept map[string]bool
	switch {
	case all && len(t.byID) > 0:
		kept = make(map[string]bool, len(events))
	case all && len(t.values) == 0: // the start: of many, room is made at once
		room := min(len(events), t.max)
		t.byID, t.values = make(map[string]netip.Prefix, room), make(map[netip.Prefix]*entry, room)
		t.log = slices.Grow(t.log, room)
	}
	for i := range events {
		e := &events[i]
		if e.Decision == nil || e.ID == "" {
			continue
		}
		if kept != nil && e.Type != schemas.DecisionRemoved {
			kept[e.ID] = true
		}
		if !t.takeOne(e, now) {
			overflow++
		}
	}
	if kept != nil {
		for id := range t.byID {
			if !kept[id] {
				t.remove(id)
			}
		}
	}
	t.sweep(now)
	return overflow
}

func (t *table) takeOne(e *schemas.Event, now time.Time) bool {
	if e.Type == schemas.DecisionRemoved || !e.Expires.After(now) {
		t.remove(e.ID)
		return true
	}
	value, ok := t.valueOf(e.Decision)
	if old, known := t.byID[e.ID]; known && (!ok || old != value) {
		t.remove(e.ID)
	}
	if !ok {
		return true
	}
	h := held{id: e.ID, action: e.Action, sites: e.Sites, expires: e.Expires, byHand: e.Origin != "weir"}
	v := t.values[value]
	if v == nil {
		if len(t.byID) >= t.max {
			return false
		}
		v = &entry{}
		t.values[value] = v
	}
	at := slices.IndexFunc(v.held, func(o held) bool { return o.id == h.id })
	switch {
	case at < 0 && len(t.byID) >= t.max:
		return false
	case at < 0:
		v.held = append(v.held, h)
		t.byID[e.ID] = value
	case v.held[at].action == h.action && v.held[at].expires.Equal(h.expires) && slices.Equal(v.held[at].sites, h.sites):
		return true
	default:
		v.held[at] = h
	}
	if v.first == 0 {
		v.first = t.seq + 1
	}
	v.types |= 1 << h.action.Severity()
	if h.expires.After(v.until) {
		v.until = h.expires
	}
	t.touch(value, v)
	return true
}

func (t *table) remove(id string) {
	value, ok := t.byID[id]
	if !ok {
		return
	}
	delete(t.byID, id)
	v := t.values[value]
	v.held = slices.DeleteFunc(v.held, func(h held) bool { return h.id == id })
	t.touch(value, v)
}

func (t *table) touch(value netip.Prefix, v *entry) {
	t.seq++
	v.changed = t.seq
	t.log = append(t.log, change{t.seq, value})
}

// sweep lets go of what has expired, forgets what no bouncer holds any more, and keeps
// the log within twice what it has to say.
func (t *table) sweep(now time.Time) {
	if now.Before(t.next) && len(t.log) < 2*len(t.values)+1024 {
		return
	}
	t.next = now.Add(sweep)
	gone := 0
	for value, v := range t.values {
		for i := range v.held {
			if v.held[i].expires.After(now) {
				continue
			}
			v.held = slices.DeleteFunc(v.held, func(h held) bool {
				if h.expires.After(now) {
					return false
				}
				delete(t.byID, h.id)
				return true
			})
			t.touch(value, v)
			break
		}
		if len(v.held) > 0 {
			continue
		}
		if !v.until.After(now.Add(-time.Minute)) {
			delete(t.values, value)
			continue
		}
		gone++
	}
	if gone > maxGone {
		t.forget()
	}
	if len(t.log) > 2*len(t.values)+1024 {
		t.log = slices.DeleteFunc(t.log, func(c change) bool {
			v := t.values[c.value]
			return v == nil || v.changed != c.seq
		})
	}
}

// forget drops every value that is deleted: what bouncers hold of them ends by itself.
func (t *table) forget() {
	for value, v := range t.values {
		if len(v.held) == 0 {
			delete(t.values, value)
		}
	}
	t.floor = t.seq
}

// effective is what is in force on a value for a bouncer: the severest, of these the
// longest; nothing where the value holds an address that is spared, and of weir's own nothing
// where it holds a regular's.
func (t *table) effective(value netip.Prefix, v *entry, f *filter, now time.Time) (h held, ok bool) {
	if t.spares.OverlapsPrefix(value) {
		return h, false
	}
	regular := t.regulars.Touches(value)
	for _, o := range v.held {
		if regular && !o.byHand {
			continue
		}
		if !f.takes(&o) || o.expires.Sub(now) < time.Second {
			continue
		}
		if !ok || cmp.Or(cmp.Compare(o.action.Severity(), h.action.Severity()), o.expires.Compare(h.expires)) > 0 {
			h, ok = o, true
		}
	}
	return h, ok
}

// answer is what a bouncer is to be told.
type answer struct {
	fresh, deleted []item
	seq            uint64 // of the latest change in it
	left           int    // values that this bouncer cannot hold
}

// snapshot is everything in force.
func (t *table) snapshot(f *filter, now time.Time) answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	a := answer{seq: t.seq}
	for value, v := range t.values {
		if h, ok := t.effective(value, v, f, now); ok {
			t.tell(&a, f, value, v, h)
		}
	}
	return a
}

// delta is what has changed since a bouncer's last pull. What it may hold and what is
// new on the same value are told as a deletion and an addition: bouncers that leave the
// timing to the kernel would otherwise keep the old end.
func (t *table) delta(f *filter, since uint64, now time.Time) answer {
	t.mu.Lock()
	t.sweep(now)
	if since < t.floor || since > t.seq {
		t.mu.Unlock()
		return t.snapshot(f, now)
	}
	defer t.mu.Unlock()
	a := answer{seq: t.seq}
	from, _ := slices.BinarySearchFunc(t.log, since+1, func(c change, seq uint64) int { return cmp.Compare(c.seq, seq) })
	for _, c := range t.log[from:] {
		v := t.values[c.value]
		if v == nil || v.changed != c.seq {
			continue
		}
		if v.first <= since {
			for _, kind := range f.types {
				if v.types&(1<<kind.Severity()) != 0 {
					a.deleted = f.spell(a.deleted, c.value, item{Type: typeOf(kind), Duration: "0s", ID: t.epoch + int64(v.changed), Origin: "weir", Scenario: "weir/over"})
				}
			}
		}
		if h, ok := t.effective(c.value, v, f, now); ok {
			t.tell(&a, f, c.value, v, h)
		}
	}
	return a
}

// tell adds what is in force on a value.
func (t *table) tell(a *answer, f *filter, value netip.Prefix, v *entry, h held) {
	before := len(a.fresh)
	a.fresh = f.spell(a.fresh, value, itemOf(h, t.epoch+int64(v.changed)))
	if len(a.fresh) == before && !f.unwanted(value) {
		a.left++
	}
	for i := before; i < len(a.fresh); i++ {
		a.fresh[i].expires = h.expires
	}
}

// matching is what is in force on an address.
func (t *table) matching(f *filter, within netip.Prefix, now time.Time) []item {
	t.mu.Lock()
	defer t.mu.Unlock()
	var a answer
	for bits := within.Bits(); bits >= 8; bits-- {
		value, _ := within.Addr().Prefix(bits) // in range: no more than the address has
		if v := t.values[value]; v != nil {
			if h, ok := t.effective(value, v, f, now); ok {
				t.tell(&a, f, value, v, h)
			}
		}
	}
	return a.fresh
}

// size is how many decisions are held.
func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// latest is the latest change.
func (t *table) latest() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq
}

// Size is how many decisions bouncers are told of.
func (s *Server) Size() int { return s.table.size() }
