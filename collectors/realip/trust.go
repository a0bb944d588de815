// Package realip tells the client of a request that came through proxies: from the
// header that they write, read from right to left, as long as what stands there was
// written by a proxy that is trusted. What a client put into the header itself stands
// to the left of that, and changes nothing.
//
// It also notices sites whose peers are mostly edges of a content delivery network:
// there every client looks like a few, and what is decided against one hits them all.
package realip

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
)

// Trust knows which addresses are proxies that are believed, and which are edges of
// networks with a name. It is not changed once made: several Resolvers share it.
type Trust struct {
	peers   bart.Table[peer]
	names   []string // of the networks, by peer.network
	trusted []netip.Prefix
}

// peer is what is known of an address.
type peer struct {
	trusted bool
	network uint8 // index in names; 0 for none
}

// Names lists the names that NewTrust takes.
func Names() []string { return slices.Sorted(maps.Keys(published())) }

// NewTrust makes a Trust of prefixes, addresses and names of published ranges. The
// error says which entry is none of these.
func NewTrust(entries []string) (*Trust, error) {
	t := &Trust{names: []string{""}}
	var trusted, known bart.Table[uint8]
	lists := published()
	for _, name := range Names() {
		if name == Private {
			continue // no CDN
		}
		t.names = append(t.names, name)
		for _, prefix := range prefixes(lists[name]) {
			known.Insert(prefix, uint8(len(t.names)-1))
		}
	}
	for _, entry := range entries {
		list, err := read(entry, lists)
		if err != nil {
			return nil, err
		}
		for _, prefix := range list {
			trusted.Insert(prefix, 0)
			t.trusted = append(t.trusted, prefix)
		}
	}
	// One look-up answers both: of every prefix, whether any of those around it is
	// trusted, and whose the narrowest is.
	label := func(prefix netip.Prefix) {
		_, believed := trusted.LookupPrefix(prefix)
		network, _ := known.LookupPrefix(prefix)
		t.peers.Insert(prefix, peer{believed, network})
	}
	for prefix := range known.All() {
		label(prefix)
	}
	for prefix := range trusted.All() {
		label(prefix)
	}
	return t, nil
}

func read(entry string, lists map[string]string) ([]netip.Prefix, error) {
	if list, ok := lists[entry]; ok {
		return prefixes(list), nil
	}
	if prefix, err := netip.ParsePrefix(entry); err == nil {
		if prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("%s: write the IPv4 prefix itself", entry)
		}
		if prefix.Bits() == 0 {
			return nil, fmt.Errorf("%s would trust everybody: any client could then say who it is", entry)
		}
		return []netip.Prefix{prefix.Masked()}, nil
	}
	if addr, err := netip.ParseAddr(entry); err == nil {
		addr = addr.WithZone("").Unmap()
		return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}, nil
	}
	return nil, fmt.Errorf("%q is no prefix, no address, and none of the names %s", entry, strings.Join(Names(), ", "))
}

// Edges lists the prefixes that peers which are proxies come from: those that are believed,
// and the published ones of networks with a name.
func (t *Trust) Edges() []netip.Prefix {
	all := t.Trusted()
	lists := published()
	for _, name := range t.names[1:] {
		all = append(all, prefixes(lists[name])...)
	}
	return all
}

// Trusted lists the prefixes that are believed, with those of names.
func (t *Trust) Trusted() []netip.Prefix { return slices.Clone(t.trusted) }

// look is what is known of an address, which is unmapped and has no zone.
func (t *Trust) look(addr netip.Addr) peer {
	p, _ := t.peers.Lookup(addr)
	return p
}

// Network is the name of the published ranges that an address is in; empty for none.
func (t *Trust) Network(addr netip.Addr) string {
	return t.names[t.look(addr.Unmap().WithZone("")).network]
}
