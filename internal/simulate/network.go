package simulate

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// network draws addresses as they are dealt out: the providers of the estate's
// own country before all others, carriers and offices that put many people
// behind one address, hosting providers, and the rest of the world.
type network struct {
	home, world, hosting []uint32 // /16s
	carriers             []uint32 // /26s of carrier-grade NAT
	offices              []netip.Addr
	homeRank, worldRank  table
}

func newNetwork(seed uint64) *network {
	r := stream(seed, label("network"))
	n := &network{}
	for range 40 {
		n.home = append(n.home, publicV4(r)&^0xffff)
	}
	for range 500 {
		n.world = append(n.world, publicV4(r)&^0xffff)
	}
	for range 24 {
		n.hosting = append(n.hosting, publicV4(r)&^0xffff)
	}
	for range 5 {
		n.carriers = append(n.carriers, publicV4(r)&^0x3f)
	}
	for range 40 {
		n.offices = append(n.offices, addrOf(publicV4(r)))
	}
	n.homeRank, n.worldRank = zipf(len(n.home), 1, 2), zipf(len(n.world), .6, 2)
	return n
}

// publicV4 draws an address outside everything that IANA's special-purpose
// registry (RFC 6890) sets apart, as far as whole /16s go.
func publicV4(r *rand.Rand) uint32 {
	for {
		a := uint32(r.Uint64())
		first, second := a>>24, a>>16&0xff
		switch {
		case first == 0, first == 10, first == 127, first >= 224:
		case first == 100 && second >= 64 && second < 128, first == 169 && second == 254:
		case first == 172 && second >= 16 && second < 32, first == 192 && (second == 0 || second == 88 || second == 168):
		case first == 198 && (second == 18 || second == 19 || second == 51), first == 203 && second == 0:
		default:
			return a
		}
	}
}

func addrOf(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// within draws an address of a /16, none that ends in 0 or 255.
func within(r *rand.Rand, prefix uint32) netip.Addr {
	return addrOf(prefix | uint32(r.IntN(256))<<8 | uint32(1+r.IntN(254)))
}

func (n *network) homeV4(r *rand.Rand) netip.Addr    { return within(r, n.home[n.homeRank.pick(r)]) }
func (n *network) worldV4(r *rand.Rand) netip.Addr   { return within(r, n.world[n.worldRank.pick(r)]) }
func (n *network) hostingV4(r *rand.Rand) netip.Addr { return within(r, one(r, n.hosting)) }

func (n *network) carrierV4(r *rand.Rand, carrier int) netip.Addr {
	return addrOf(n.carriers[carrier%len(n.carriers)] | uint32(r.IntN(64)))
}

// v6 is a /64 of a home: its provider's /32 and a number; the last 64 bits are
// zero until an interface is drawn.
func v6(r *rand.Rand) (prefix [16]byte) {
	binary.BigEndian.PutUint32(prefix[:], 0x2a000000|uint32(r.IntN(12))<<16|uint32(r.IntN(4)))
	binary.BigEndian.PutUint32(prefix[4:], uint32(r.Uint64()))
	return prefix
}

// withInterface draws the last 64 bits, as temporary addresses have (RFC 8981).
func withInterface(r *rand.Rand, prefix [16]byte) netip.Addr {
	binary.BigEndian.PutUint64(prefix[8:], r.Uint64()|1)
	return netip.AddrFrom16(prefix)
}
