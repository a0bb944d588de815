package attribute

import (
	"net/netip"

	"github.com/weir-project/weir/schemas"
)

// networks are a client's values of the traits schemas.Networks, by numbers that say all of them; 0 is none.
type networks [schemas.NumScored - schemas.NumTraits]uint32

// inV4 and inV6 tell networks of IPv4 from those of IPv6, whose first bits follow.
const inV4, inV6 = 1 << 31, 1 << 30

// networksOf are those of a client's address.
func networksOf(addr [16]byte) (n networks) {
	for i, t := range schemas.Networks {
		n[i] = networkNumber(t, addr)
	}
	return n
}

func networkNumber(t schemas.Trait, addr [16]byte) uint32 {
	kind, first := uint32(inV6), addr[:4]
	if [12]byte(addr[:12]) == v4Mapped {
		kind, first = inV4, addr[12:]
	}
	bits := uint(t.NetworkBits(kind == inV4))
	return kind | (uint32(first[0])<<24|uint32(first[1])<<16|uint32(first[2])<<8)>>(32-bits)
}

// networkText is the inverse, as schemas.Trait.Value has it.
func networkText(t schemas.Trait, number uint32) string {
	v4 := number&inV4 != 0
	bits := t.NetworkBits(v4)
	first := number &^ (inV4 | inV6) << (32 - bits)
	addr := [16]byte{byte(first >> 24), byte(first >> 16), byte(first >> 8)}
	if v4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(addr[:4])), bits).String()
	}
	return netip.PrefixFrom(netip.AddrFrom16(addr), bits).String()
}

// itemOf is a value of a trait that scores go by.
func (x *Extractor) itemOf(t schemas.Trait, value string) item {
	if !t.IsNetwork() {
		return item{t, x.hash(t, []byte(value))}
	}
	network, err := netip.ParsePrefix(value)
	if err != nil {
		return item{trait: t}
	}
	return item{t, networkNumber(t, network.Addr().As16())}
}

// value is what a request has of a trait that scores go by; 0 is unknown.
func (t *Traits) value(from *networks, trait schemas.Trait) uint32 {
	if trait.IsNetwork() {
		return from[int(trait)-schemas.NumTraits]
	}
	return t[trait]
}

// text is the text of such a value, if it is known.
func (x *Extractor) text(it item) (string, bool) {
	if it.trait.IsNetwork() {
		return networkText(it.trait, it.hash), true
	}
	return x.Name(it.trait, it.hash)
}
