package processor

import (
	"net/netip"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// tallyKeys counts the request under what requests are told apart by. hash and path are
// the keyed hashes of its client and path.
func (c *Counter) tallyKeys(pane *window.Pane, r *schemas.Request, client netip.Addr, hash, path uint64) {
	t := &pane.Tallies
	name := client.As16()
	t[window.ByClient].Insert(hash, 1, name[:])
	network := networkOf(client)
	t[window.ByPrefix].Insert(xxh3.HashSeed(network[:], c.seed+3), 1, network[:])
	t[window.ByPath].Insert(path, 1, r.Path)
	if r.Fields.Has(schemas.FieldUserAgent) {
		t[window.ByAgent].Insert(xxh3.HashSeed(r.UserAgent, c.seed+4), 1, r.UserAgent)
	}
	if r.Fields.Has(schemas.FieldReferer) {
		t[window.ByReferer].Insert(xxh3.HashSeed(r.Referer, c.seed+5), 1, r.Referer)
	}
	if r.Fields.Has(schemas.FieldDuration) {
		pane.Duration.Insert(uint64(max(0, r.Duration)))
	}
	pane.Size.Insert(uint64(max(0, r.Bytes)))
}

// networkOf is the /24 or /48 of a client: 16 bytes, IPv4 mapped, and its length in them.
func networkOf(client netip.Addr) (network [17]byte) {
	a := client.As16()
	n := 6
	if client.Is4() || client.Is4In6() {
		n = 15
	}
	copy(network[:], a[:n])
	network[16] = byte(8 * n)
	return network
}
