package schemas

import (
	"fmt"
	"net/netip"
	"strings"
)

// Prefixes shorter than these would cover a registry's whole allocation: they are a
// mistake.
const (
	minBits4 = 8
	minBits6 = 16
)

// noAddress is no client's: nginx's geo takes the peers of a unix socket for it.
var noAddress = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Network is what a decision about a client or a prefix matches, the same at every edge:
// a /32 for a client's IPv4 address, a /64 for its IPv6, or the prefix. An error says
// why no edge may hold it: another scope, no address, one that no client has, or a prefix
// so short that it is a slip of the hand.
func (d *Decision) Network() (netip.Prefix, error) {
	switch d.Scope {
	case ScopeClient:
		return clientNetwork(d.Value)
	case ScopePrefix:
		return prefixNetwork(d.Value)
	}
	return netip.Prefix{}, fmt.Errorf("the scope %q is none of client, prefix", d.Scope)
}

// clientNetwork reads an IPv4 address, or an IPv6 address or /64.
func clientNetwork(value string) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(value)
	if strings.Contains(value, "/") {
		var prefix netip.Prefix
		prefix, err = netip.ParsePrefix(value)
		addr = prefix.Addr()
		if err == nil && prefix.Bits() != 64 && !(prefix.Bits() == 32 && addr.Is4()) {
			err = fmt.Errorf("want an IPv4 address or an IPv6 /64")
		}
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("client %q: %w", value, err)
	}
	addr = ClientOf(addr)
	switch {
	case addr.IsUnspecified() || addr == noAddress || addr.Is6() && addr.As16()[0] == 0:
		return netip.Prefix{}, fmt.Errorf("client %q: not an address that a client can have", value)
	case addr.Is4():
		return netip.PrefixFrom(addr, 32), nil
	}
	return netip.PrefixFrom(addr, 64), nil
}

func prefixNetwork(value string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		return prefix, fmt.Errorf("prefix %q: %w", value, err)
	}
	if prefix.Addr().Is4In6() {
		return prefix, fmt.Errorf("prefix %q: write it as IPv4", value)
	}
	if prefix.Addr().Is4() && prefix.Bits() < minBits4 || prefix.Addr().Is6() && prefix.Bits() < minBits6 {
		return prefix, fmt.Errorf("prefix %q: shorter than /%d (IPv4) or /%d (IPv6)", value, minBits4, minBits6)
	}
	return prefix.Masked(), nil
}
