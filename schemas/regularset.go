package schemas

import (
	"iter"
	"net/netip"
	"slices"
)

// RegularSet is the regulars of all sites together, for edges that cannot tell sites: who is
// one of any passes there. It does not change: With makes another. nil is none. At most
// Partitions times MaxRegulars clients, 24 bytes each.
type RegularSet struct {
	parts [Partitions][]netip.Addr // by Addr.Compare, each once
}

// With is the set with what one partition says now in the place of what it said before.
func (s *RegularSet) With(partition int, sites []SiteRegulars) *RegularSet {
	made := new(RegularSet)
	if s != nil {
		made.parts = s.parts
	}
	var all []netip.Addr
	for _, site := range sites {
		all = append(all, site.Clients...)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	made.parts[partition] = slices.Compact(all)
	return made
}

// Within are the regulars that a value touches, as networks: an address of IPv4, a /64 of
// IPv6.
func (s *RegularSet) Within(value netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		if s == nil {
			return
		}
		bits := 32
		if value.Addr().Is6() {
			bits = 64
		}
		if value.Bits() > bits { // a part of a client
			value = netip.PrefixFrom(value.Addr(), bits)
		}
		value = value.Masked()
		for _, part := range s.parts {
			at, _ := slices.BinarySearchFunc(part, value.Addr(), netip.Addr.Compare)
			for ; at < len(part) && value.Contains(part[at]); at++ {
				if !yield(netip.PrefixFrom(part[at], bits)) {
					return
				}
			}
		}
	}
}

// Touches reports whether a value touches a regular.
func (s *RegularSet) Touches(value netip.Prefix) bool {
	for range s.Within(value) {
		return true
	}
	return false
}
