package nginx

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// prefixList collects the measures of prefixes. A geo takes the longest prefix
// that holds an address, so each carries the hits of those around it as well.
type prefixList map[netip.Prefix][]hit

func (p prefixList) add(prefix netip.Prefix, h hit) { p[prefix] = append(p[prefix], h) }

func (p prefixList) write(b *bytes.Buffer, prefix string) {
	fmt.Fprintf(b, "geo $%s_prefix {\n    default \"\";\n", prefix)
	var around []netip.Prefix // the chain of prefixes that hold the present one
	for _, x := range sortedPrefixes(p) {
		for len(around) > 0 && !around[len(around)-1].Contains(x.Addr()) {
			around = around[:len(around)-1]
		}
		around = append(around, x)
		var hits []hit
		for _, outer := range around {
			hits = append(hits, p[outer]...)
		}
		fmt.Fprintf(b, "    %s %s;\n", x, appendHits(nil, hits))
	}
	b.WriteString("}\n")
}

// sortedPrefixes orders them so that a prefix comes before all that it holds.
func sortedPrefixes[V any](m map[netip.Prefix]V) []netip.Prefix {
	keys := make([]netip.Prefix, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits())
	})
	return keys
}

// writeAllowed defines the variable that is 1 for an allowlisted address.
func writeAllowed(b *bytes.Buffer, name string, allow []netip.Prefix) {
	set := make(map[netip.Prefix]struct{}, len(allow))
	for _, p := range allow {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.IsValid() {
			set[p.Masked()] = struct{}{}
		}
	}
	fmt.Fprintf(b, "geo $%s {\n    default 0;\n", name)
	for _, p := range sortedPrefixes(set) {
		fmt.Fprintf(b, "    %s 1;\n", p)
	}
	b.WriteString("}\n")
}
