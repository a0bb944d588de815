package schemas

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set says of any value which regulars it touches, as looking at each of them does, and
// what a partition says replaces what it said before.
func TestRegularSet(t *testing.T) {
	addr := rapid.Custom(func(r *rapid.T) netip.Addr {
		if rapid.Bool().Draw(r, "v6") {
			return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0, rapid.Byte().Draw(r, "d"), 0, rapid.ByteRange(0, 3).Draw(r, "e")})
		}
		return netip.AddrFrom4([4]byte{192, 0, rapid.ByteRange(0, 3).Draw(r, "c"), rapid.Byte().Draw(r, "d")})
	})
	rapid.Check(t, func(r *rapid.T) {
		var set *RegularSet
		told := map[int][]netip.Addr{}
		for range rapid.IntRange(0, 6).Draw(r, "lists") {
			partition := rapid.IntRange(0, Partitions-1).Draw(r, "partition")
			one, other := rapid.SliceOfN(addr, 0, 20).Draw(r, "one"), rapid.SliceOfN(addr, 0, 5).Draw(r, "other")
			told[partition] = slices.Concat(one, other)
			set = set.With(partition, []SiteRegulars{{Site: "a", Clients: one}, {Site: "b", Clients: other}})
		}
		value := addr.Draw(r, "value")
		bits := rapid.IntRange(8, value.BitLen()).Draw(r, "bits")
		prefix := netip.PrefixFrom(value, bits).Masked()
		want := map[netip.Prefix]bool{}
		for _, all := range told {
			for _, a := range all {
				client := netip.PrefixFrom(a, 32)
				if a.Is6() {
					client = netip.PrefixFrom(a, 64)
				}
				if client.Overlaps(prefix) {
					want[client] = true
				}
			}
		}
		got := map[netip.Prefix]bool{}
		for client := range set.Within(prefix) {
			got[client] = true
		}
		if len(got) != len(want) || set.Touches(prefix) != (len(want) > 0) {
			r.Fatalf("%v: %v, want %v", prefix, got, want)
		}
		for client := range want {
			if !got[client] {
				r.Fatalf("%v: %v is missing", prefix, client)
			}
		}
	})
}
