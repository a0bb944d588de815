package nginx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// clientList collects the measures of clients. IPv4 becomes a geo with ranges,
// IPv6 a map over the text of the /64: of all forms the cheapest in memory and
// time, because a geo keeps IPv6 in a tree of single bits.
type clientList struct {
	v4 []uint64 // address << 32 | index of the hit
	v6 []client6
	// hits are those of all clients, in the order they were added.
	hits []hit
}

type client6 struct {
	network uint64
	hit     int
}

func (c *clientList) add(addr netip.Addr, h hit) {
	b := addr.As16()
	if addr.Is4() {
		c.v4 = append(c.v4, uint64(binary.BigEndian.Uint32(b[12:]))<<32|uint64(len(c.hits)))
	} else {
		c.v6 = append(c.v6, client6{binary.BigEndian.Uint64(b[:8]), len(c.hits)})
	}
	c.hits = append(c.hits, h)
}

// lists4 are the two lists for geo with ranges, ascending: "1.2.3.4-1.2.3.4 head;"
// and the same with tails. An entry is its head and tail put together, such as
// "0:block:i261122-050812-12" and "345,": nginx spends six times as long on
// hundreds of thousands of distinct values as on a thousand each of these. Of an
// address with several measures the head is all.
func (c *clientList) lists4() (heads, tails []byte) {
	slices.Sort(c.v4)
	heads, tails = make([]byte, 0, len(c.v4)*60), make([]byte, 0, len(c.v4)*40)
	var hits []hit
	var entry []byte
	for i := 0; i < len(c.v4); {
		addr := uint32(c.v4[i] >> 32)
		hits = hits[:0]
		for ; i < len(c.v4) && uint32(c.v4[i]>>32) == addr; i++ {
			hits = append(hits, c.hits[uint32(c.v4[i])])
		}
		entry = appendHits(entry[:0], hits)
		at := len(entry)
		if len(hits) == 1 {
			at -= min(tailLength, len(hits[0].id)) + 1
			tails = append(append(appendRange4(tails, addr), entry[at:]...), ';', '\n')
		}
		heads = append(append(appendRange4(heads, addr), entry[:at]...), ';', '\n')
	}
	return heads, tails
}

// tailLength is how much of an id is its tail: three digits of its number.
const tailLength = 3

func appendRange4(dst []byte, addr uint32) []byte {
	dst = append(append4(dst, addr), '-')
	return append(append4(dst, addr), ' ')
}

func append4(dst []byte, addr uint32) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		dst = strconv.AppendUint(dst, uint64(addr>>shift&255), 10)
		if shift > 0 {
			dst = append(dst, '.')
		}
	}
	return dst
}

// list6 is the list for a map over the network's text: "2001:db8:0:1 0:block:id,;".
func (c *clientList) list6() []byte {
	slices.SortFunc(c.v6, func(a, b client6) int {
		if a.network != b.network {
			if a.network < b.network {
				return -1
			}
			return 1
		}
		return a.hit - b.hit
	})
	out := make([]byte, 0, len(c.v6)*64)
	var hits []hit
	for i := 0; i < len(c.v6); {
		network := c.v6[i].network
		hits = hits[:0]
		for ; i < len(c.v6) && c.v6[i].network == network; i++ {
			hits = append(hits, c.hits[c.v6[i].hit])
		}
		out = append6(out, network)
		out = append(out, ' ')
		out = appendHits(out, hits)
		out = append(out, ';', '\n')
	}
	return out
}

func append6(dst []byte, network uint64) []byte {
	for shift := 48; shift >= 0; shift -= 16 {
		dst = strconv.AppendUint(dst, network>>shift&0xffff, 16)
		if shift > 0 {
			dst = append(dst, ':')
		}
	}
	return dst
}

// network6 are the ways in which $remote_addr, which is in RFC 5952's form, can
// write an address whose first group is not zero: pattern and the text of its
// /64, in four groups without "::".
var network6 = [][2]string{
	{`^(H:H:H:H):`, "$1"},
	{`^(H:H:H)::`, "$1:0"},
	{`^(H:H)::`, "$1:0:0"},
	{`^(H)::(H)(?::H){4}\z`, "$1:0:0:$2"},
	{`^(H)::`, "$1:0:0:0"},
}

// write defines the variables of the clients' hits. include brings a list in.
func (c *clientList) write(b *bytes.Buffer, prefix string, include func(name string, content []byte) string) {
	heads, tails := c.lists4()
	fmt.Fprintf(b, "geo $%s_client4 {\n    ranges;\n    default \"\";\n%s}\n", prefix, include("clients4.list", heads))
	fmt.Fprintf(b, "geo $%s_client4_tail {\n    ranges;\n    default \"\";\n%s}\n", prefix, include("tails4.list", tails))
	if len(c.v6) == 0 {
		fmt.Fprintf(b, "map \"\" $%s_client6 {\n    default \"\";\n}\n", prefix)
		return
	}
	writeNetwork6(b, prefix+"_network6")
	fmt.Fprintf(b, "map $%s_network6 $%s_client6 {\n    default \"\";\n%s}\n", prefix, prefix, include("clients6.list", c.list6()))
}
