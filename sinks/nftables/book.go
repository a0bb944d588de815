package nftables

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/weir-project/weir/schemas"
)

// book is what is to be in force, by value. Safe for concurrent use.
type book struct {
	most int

	mu      sync.Mutex
	byID    map[string]netip.Prefix
	values  map[netip.Prefix][]held
	changed map[netip.Prefix]bool // since the last take
	told    bool                  // what is to be in force is known
	// regulars pass before what weir decided by itself; passing are the values on which
	// nothing is in force for that.
	regulars *schemas.RegularSet
	passing  map[netip.Prefix]bool
}

// held is one decision on a value.
type held struct {
	id      string
	sites   []string
	expires time.Time
	byHand  bool
}

func newBook(most int) *book {
	return &book{most: most, byID: map[string]netip.Prefix{}, values: map[netip.Prefix][]held{}, changed: map[netip.Prefix]bool{}, passing: map[netip.Prefix]bool{}}
}

// valueOf is the addresses of a decision that a firewall can hold: to block a client or a
// prefix. A client is a /32 or a /64.
func valueOf(d *schemas.Decision) (netip.Prefix, bool) {
	value, err := d.Network()
	// Loopback is this machine itself.
	return value, err == nil && d.Action == schemas.Block && !value.Addr().IsLoopback()
}

// single reports whether a value belongs into the hash set: one address of IPv4, or a /64.
func single(value netip.Prefix) bool {
	return value.Addr().Is4() && value.Bits() == 32 || value.Addr().Is6() && value.Bits() == 64
}

// take applies changes, or what replaces everything.
func (b *book) take(all bool, events []schemas.Event) (overflow int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var kept map[string]bool
	switch {
	case all && len(b.byID) > 0:
		kept = make(map[string]bool, len(events))
	case all: // the start: of many, room is made at once
		room := min(len(events), b.most)
		b.byID, b.values = make(map[string]netip.Prefix, room), make(map[netip.Prefix][]held, room)
	}
	for i := range events {
		e := &events[i]
		if e.Decision == nil || e.ID == "" {
			continue
		}
		if e.Type == schemas.DecisionRemoved {
			b.remove(e.ID)
			continue
		}
		value, ok := valueOf(e.Decision)
		if old, known := b.byID[e.ID]; known && (!ok || old != value) {
			b.remove(e.ID)
		}
		if !ok {
			continue
		}
		if _, known := b.byID[e.ID]; !known && len(b.byID) >= b.most {
			overflow++
			continue
		}
		if kept != nil {
			kept[e.ID] = true
		}
		b.put(value, held{id: e.ID, sites: e.Sites, expires: e.Expires, byHand: e.Origin != schemas.OriginWeir})
	}
	if kept != nil {
		for id := range b.byID {
			if !kept[id] {
				b.remove(id)
			}
		}
	}
	b.told = true
	return overflow
}

func (b *book) put(value netip.Prefix, h held) {
	b.byID[h.id] = value
	list := b.values[value]
	at := slices.IndexFunc(list, func(o held) bool { return o.id == h.id })
	if at >= 0 {
		if list[at].expires.Equal(h.expires) {
			return
		}
		list[at] = h
	} else {
		b.values[value] = append(list, h)
	}
	b.changed[value] = true
}

func (b *book) remove(id string) {
	value, ok := b.byID[id]
	if !ok {
		return
	}
	delete(b.byID, id)
	list := slices.DeleteFunc(b.values[value], func(h held) bool { return h.id == id })
	b.values[value] = list
	if len(list) == 0 {
		delete(b.values, value)
	}
	b.changed[value] = true
}

// know has weir's own decisions spare these, until it is called again.
func (b *book) know(regulars *schemas.RegularSet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.regulars
	b.regulars = regulars
	for value := range b.values {
		if !single(value) || before.Touches(value) != regulars.Touches(value) {
			b.changed[value] = true
		}
	}
}

// until is when a value is let go of: zero where it is not held. b is locked.
func (b *book) until(value netip.Prefix, now time.Time) time.Time {
	byHand, own := b.ends(value, now)
	if single(value) && b.regulars.Touches(value) {
		return byHand
	}
	return latest(byHand, own)
}

// ends are when a person's decisions on a value end, and weir's own: zero where there are
// none. b is locked.
func (b *book) ends(value netip.Prefix, now time.Time) (byHand, own time.Time) {
	for _, h := range b.values[value] {
		switch {
		case !h.expires.After(now):
		case h.byHand:
			byHand = latest(byHand, h.expires)
		default:
			own = latest(own, h.expires)
		}
	}
	return byHand, own
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// intended is how many values are to be in force.
func (b *book) intended() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.values) - len(b.passing)
}

// sweep forgets what has expired. It looks at everything: some ten milliseconds for
// half a million.
func (b *book) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var over []string
	for _, list := range b.values {
		for i := range list {
			if !list[i].expires.After(now) {
				over = append(over, list[i].id)
			}
		}
	}
	for _, id := range over {
		b.remove(id)
	}
}

// holding is the decision under which a client is stopped.
func (b *book) holding(client netip.Addr) (h held, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for bits := client.BitLen(); bits >= 8; bits-- {
		value, err := client.Prefix(bits)
		if err != nil {
			return h, false
		}
		if list := b.values[value]; len(list) > 0 {
			return slices.MaxFunc(list, func(a, b held) int { return cmp.Or(a.expires.Compare(b.expires), cmp.Compare(a.id, b.id)) }), true
		}
	}
	return h, false
}
