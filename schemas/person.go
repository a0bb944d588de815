package schemas

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// What a person decides becomes events like weir's own, with the person's name in them:
// they are on the stream of decisions and in the store for good, and so are the record of
// who did what.

// OriginWeir is the origin of weir's own decisions.
const OriginWeir = "weir"

// LongestByHand is how long a decision by hand may be in force; what is meant to last
// belongs into the configuration of the edge.
const LongestByHand = 366 * 24 * time.Hour

// manualID is the id of a person's n-th decision at a time; 0 is the only one.
func manualID(now time.Time, n int) string {
	id := fmt.Sprintf("m%s-%d", now.Format("060102-150405"), now.Nanosecond()/int(time.Millisecond))
	if n > 0 {
		id = fmt.Sprintf("%s-%d", id, n)
	}
	return id
}

// ManualID is the id of a person's decision of a time.
func ManualID(now time.Time) string { return manualID(now.UTC().Truncate(time.Millisecond), 0) }

// Accept makes a person's decisions of weir's, of those in force that have one of the ids,
// or belong to an incident that has: they are enforced whatever the mode. What was accepted before is not taken
// a second time: where it would end earlier, it is extended.
func Accept(inForce []Event, ids []string, duration time.Duration, by string, now time.Time) []Event {
	now = now.UTC().Truncate(time.Millisecond)
	var accepted []Event
	for _, e := range inForce {
		if e.Decision == nil || e.Origin != OriginWeir || !slices.Contains(ids, e.ID) && !slices.Contains(ids, e.Incident) {
			continue
		}
		if before, ok := acceptedBefore(inForce, &e, now); ok {
			if before.Expires.Before(now.Add(duration)) {
				accepted = append(accepted, Extend(before, duration, by, now))
			}
			continue
		}
		d := *e.Decision
		d.Reason = "accepted: " + d.ID
		d.ID = manualID(now, len(accepted)+1)
		d.Expires, d.Origin, d.Probes = now.Add(duration), by, ""
		if d.Evidence != nil { // that stays with weir's own, but not what both touch with all others
			d.Evidence = &Evidence{Together: d.Evidence.Together}
		}
		accepted = append(accepted, Event{Type: DecisionAdded, Time: now, Sites: e.Sites, Incident: e.Incident, Decision: &d})
	}
	return accepted
}

// acceptedBefore is a person's decision that does what one of weir's own would.
func acceptedBefore(inForce []Event, own *Event, now time.Time) (Event, bool) {
	at := slices.IndexFunc(inForce, func(e Event) bool {
		return e.Decision != nil && e.Origin != OriginWeir && e.Incident == own.Incident && e.Scope == own.Scope && e.Value == own.Value &&
			e.Action == own.Action && e.Type != DecisionRemoved && e.Expires.After(now) && slices.Equal(e.Sites, own.Sites)
	})
	if at < 0 {
		return Event{}, false
	}
	return inForce[at], true
}

// Lift ends a decision.
func Lift(e Event, by string, now time.Time) Event {
	d := *e.Decision
	d.Reason, d.Evidence = RemovedBy+by, nil
	e.Type, e.Time, e.Decision = DecisionRemoved, now.UTC().Truncate(time.Millisecond), &d
	return e
}

// Extend has a person's decision end later, at now and a duration.
func Extend(e Event, duration time.Duration, by string, now time.Time) Event {
	now = now.UTC().Truncate(time.Millisecond)
	d := *e.Decision
	d.Reason, d.Evidence, d.Expires = "extended by "+by, nil, now.Add(duration)
	e.Type, e.Time, e.Decision = DecisionRenewed, now, &d
	return e
}

// AllowByHand is a person's decision that nothing touches an address or a prefix, on any
// site, whatever else is decided. The error says what is wrong with the value.
func AllowByHand(value string, duration time.Duration, reason, by string, now time.Time) (Event, error) {
	value = strings.TrimSpace(value)
	d := Decision{Action: Allow, Scope: ScopePrefix, Reason: reason, Origin: by}
	if addr, err := netip.ParseAddr(value); err == nil {
		d.Scope, d.Value = ScopeClient, ClientOf(addr).String()
	} else if prefix, err := netip.ParsePrefix(value); err != nil {
		return Event{}, fmt.Errorf("%q is neither an address nor a prefix such as 192.0.2.0/24 or 2001:db8::/48", cut(value))
	} else if least := ShortestPrefix(prefix.Addr()); prefix.Bits() < least {
		return Event{}, fmt.Errorf("prefix %s is a part of the world: give /%d or longer", prefix, least)
	} else {
		d.Value = prefix.Masked().String()
	}
	now = now.UTC().Truncate(time.Millisecond)
	d.ID, d.Expires = ManualID(now), now.Add(duration)
	e := Event{Type: DecisionAdded, Time: now, Decision: &d}
	return e, e.Validate()
}

// ShortestPrefix bounds what one slip of the hand can lock out, or let in.
func ShortestPrefix(addr netip.Addr) int {
	if addr.Unmap().Is4() {
		return 8
	}
	return 19 // the registries' largest allocations to one network
}
