package nftables

import (
	"net/netip"
	"time"
)

// pieces are what the kernel is to hold of a prefix, and for how long: all of it where a
// person decided, and what is left of it without the sites' regulars where weir did. nil
// where these are more than most. b is locked.
func (b *book) pieces(value netip.Prefix, now time.Time, lease time.Duration, most int) map[netip.Prefix]time.Duration {
	byHand, own := b.ends(value, now)
	all := make(map[netip.Prefix]time.Duration)
	if own.After(byHand) {
		rest := []netip.Prefix{value}
		for regular := range b.regulars.Within(value) {
			if rest = without(rest, regular); len(rest) > most {
				return nil
			}
		}
		for _, piece := range rest {
			all[piece] = min(own.Sub(now), lease)
		}
	}
	if !byHand.IsZero() {
		all[value] = max(all[value], min(byHand.Sub(now), lease))
	}
	if len(all) > most {
		return nil
	}
	return all
}

// without are prefixes with one taken out, which lies in at most one of them, or holds it.
func without(list []netip.Prefix, gone netip.Prefix) []netip.Prefix {
	out := list[:0:0]
	for _, p := range list {
		if !p.Overlaps(gone) {
			out = append(out, p)
			continue
		}
		for p.Bits() < gone.Bits() { // halve it, and keep the half that it is not in
			low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
			high := netip.PrefixFrom(behind(low), p.Bits()+1)
			if low.Overlaps(gone) {
				out, p = append(out, high), low
			} else {
				out, p = append(out, low), high
			}
		}
	}
	return out
}

// behind is the first address behind the lower half of a prefix.
func behind(low netip.Prefix) netip.Addr {
	raw := low.Addr().AsSlice()
	bit := low.Bits() - 1
	raw[bit/8] |= 0x80 >> (bit % 8)
	addr, _ := netip.AddrFromSlice(raw) // as long as it was
	return addr
}
