package processor

import (
	"net/netip"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/sketch"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// tallyKeys counts the request of a row under what requests are told apart by. hash, path
// and agent are the keyed hashes of its client, path and user agent.
func (c *Counter) tallyKeys(pane *window.Pane, r *schemas.Request, row int, client netip.Addr, hash, path uint64, agent uint32) {
	t, weight := &pane.Tallies, r.Stands()
	name := client.As16()
	t[window.ByClient].Insert(hash, 1, name[:])
	for i := range weight - 1 {
		t[window.ByClient].Insert(another(hash, i), 1, nil)
	}
	network := networkOf(name, client.Is4() || client.Is4In6())
	t[window.ByPrefix].Insert(xxh3.HashSeed(network[:], c.seed+3), weight, network[:])
	t[window.ByPath].Insert(path, weight, r.Path)
	if r.Fields.Has(schemas.FieldUserAgent) {
		t[window.ByAgent].Insert(uint64(agent), weight, r.UserAgent)
	}
	if r.Fields.Has(schemas.FieldReferer) {
		t[window.ByReferer].Insert(c.hashOf(c.strings.referer[row], asReferer), weight, r.Referer)
	}
	if r.Fields.Has(schemas.FieldDuration) {
		pane.Duration.InsertWeighted(uint64(max(0, r.Duration)), weight)
	}
	pane.Size.InsertWeighted(uint64(max(0, r.Bytes)), weight)
}

// another is the hash of the i-th of those clients that a collector left out, and for which
// this one stands: it is counted as itself and as them, each with as many requests, so that
// distinct clients and their entropy are as if all had been seen.
func another(hash uint64, i uint32) uint64 {
	h := hash + (uint64(i)+1)*0x9E3779B97F4A7C15 // splitmix64 (Steele, Lea and Flood 2014)
	h = (h ^ h>>30) * 0xBF58476D1CE4E5B9
	h = (h ^ h>>27) * 0x94D049BB133111EB
	return h ^ h>>31
}

// insertClient adds a client and those that it stands for.
func insertClient(d *sketch.Distinct, hash uint64, weight uint32) {
	d.Insert(hash)
	for i := range weight - 1 {
		d.Insert(another(hash, i))
	}
}

// networkOf is the /24 or /48 of a client, given in 16 bytes: IPv4 mapped, and its length in
// bits.
func networkOf(client [16]byte, is4 bool) (network [17]byte) {
	if is4 {
		copy(network[:], client[:15])
		network[16] = 120
		return network
	}
	copy(network[:], client[:6])
	network[16] = 48
	return network
}
