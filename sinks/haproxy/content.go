package haproxy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"

	"github.com/weir-project/weir/schemas"
)

// measure is one decision on a client or a prefix.
type measure struct {
	id      string
	action  schemas.Action
	value   netip.Prefix
	expires time.Time
	byHand  bool
}

// leaseKey is the entry that holds the lease: the broadcast address, which no client has.
const leaseKey = "255.255.255.255/32"

// valueOf is what a decision matches; false where a map cannot hold it.
func valueOf(d *schemas.Decision) (netip.Prefix, bool) {
	value, err := d.Network()
	return value, err == nil && plain(d.ID) && value.String() != leaseKey && d.Action.Severity() > 0
}

// plain reports whether an id can stand in a map's value.
func plain(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return id != "" && len(id) <= schemas.MaxID
}

// content is the map at now, and how many decisions are in it: the severest of each
// value, what allowed addresses a prefix holds being named before it.
func (e *Edge) content(now time.Time) (lines []byte, decisions int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dirty = false
	best, byHand := make(map[netip.Prefix]measure, len(e.intended)), make(map[netip.Prefix]measure)
	for id, m := range e.intended {
		if !m.expires.After(now) {
			delete(e.intended, id)
			continue
		}
		decisions++
		if m.byHand {
			severest(byHand, m)
		} else if client(m.value) && e.regulars.Touches(m.value) {
			continue
		}
		severest(best, m)
	}
	e.status.Intended = len(e.intended)
	e.passing(best, byHand)
	var allow bart.Lite
	for _, a := range e.allow {
		allow.Insert(a.Masked())
	}
	values := slices.SortedFunc(maps.Keys(best), func(a, b netip.Prefix) int { return a.Compare(b) })
	e.until = now.Add(e.options.Lease)
	lines = e.lease(nil)
	for _, value := range values {
		if allow.LookupPrefix(value) {
			continue
		}
		m := best[value]
		if m.id == "" {
			lines = fmt.Appendf(lines, "%s allow:0:\n", value)
			continue
		}
		lines = fmt.Appendf(lines, "%s %s:%d:%s\n", value, m.action, m.expires.Unix(), m.id)
	}
	for _, a := range e.allow { // the longest match counts
		lines = fmt.Appendf(lines, "%s allow:0:\n", a)
	}
	return lines, decisions
}

// severest keeps of a value's measures the severest; of these the longest.
func severest(of map[netip.Prefix]measure, m measure) {
	old, ok := of[m.value]
	if !ok || cmp.Or(cmp.Compare(m.action.Severity(), old.action.Severity()), m.expires.Compare(old.expires), cmp.Compare(m.id, old.id)) > 0 {
		of[m.value] = m
	}
}

// client reports whether a value is one client.
func client(value netip.Prefix) bool {
	return value.Addr().Is4() && value.Bits() == 32 || value.Addr().Is6() && value.Bits() >= 64
}

// passing names the regulars within weir's own prefixes before those: with what a person
// decided on them or around them, or with nothing (a measure without an id).
func (e *Edge) passing(best, byHand map[netip.Prefix]measure) {
	passing := make(map[netip.Prefix]measure)
	for value, m := range best {
		if m.byHand || client(value) {
			continue
		}
		for regular := range e.regulars.Within(value) {
			if _, own := best[regular]; own {
				continue
			}
			of := measure{value: regular}
			for bits := regular.Bits() - 1; bits >= 8 && of.id == ""; bits-- {
				around, _ := regular.Addr().Prefix(bits) // in range
				of = byHand[around]
			}
			passing[regular] = of
		}
	}
	maps.Copy(best, passing)
}

func (e *Edge) lease(to []byte) []byte {
	return fmt.Appendf(to, "%s allow:%d:lease\n", leaseKey, e.until.Unix())
}
