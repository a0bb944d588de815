package processor

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/schemas"
)

// TestCraftedRequests: clients and paths chosen so that their hashes without a secret fall
// on 32 of the 16,384 registers bend what an installation without one sees; with one,
// they count as any others.
func TestCraftedRequests(t *testing.T) {
	const n, secret = 2000, "thirty-two bytes of the operator"
	known := make1(t, Options{}).counter
	wanted := func(hash uint64) bool { return hash>>55 == 0x123 }
	b := schemas.NewBuilder("edge", "test")
	address, path := uint32(0x0B00_0000), uint64(0)
	for range n {
		r := schemas.Request{Time: start, Site: []byte("www.example.org"), Status: 404}
		for ; !r.Client.IsValid(); address++ {
			var four [4]byte
			binary.BigEndian.PutUint32(four[:], address)
			if client := netip.AddrFrom4(four); wanted(known.clients.Hash(client)) {
				r.Client = client
			}
		}
		for text := []byte("/"); r.Path == nil; path++ {
			if text = strconv.AppendUint(text[:1], path, 36); wanted(xxh3.HashSeed(text, known.seed+uint64(asPath))) {
				r.Path = text
			}
		}
		b.Append(&r)
	}
	seen := func(o Options) (clients, paths, entropy float64) {
		o.Signals = func(_ time.Time, _ string, all []schemas.Signal) {
			at := make(map[string]float64)
			for _, s := range all {
				at[s.Name] = s.Value
			}
			if at["unique_clients"] > clients {
				clients, paths, entropy = at["unique_clients"], at["distinct_path_share"]*n, at["path_entropy"]
			}
		}
		p, none := make1(t, o), func(schemas.Event) {}
		p.Consume(b.Batch(), nil, none)
		p.Advance(start+minute, none)
		return clients, paths, entropy
	}
	if clients, paths, entropy := seen(Options{Secret: [32]byte([]byte(secret))}); math.Abs(clients/n-1) > 0.03 || math.Abs(paths/n-1) > 0.03 || math.Abs(entropy-math.Log2(n)) > 0.1 {
		t.Errorf("with a secret: %.0f clients, %.0f paths, %.2f bits; want %d, %[4]d and %.2f", clients, paths, entropy, n, math.Log2(n))
	}
	if clients, paths, _ := seen(Options{}); clients > n/2 || paths > n/2 {
		t.Errorf("without: %.0f clients, %.0f paths: the requests are not hostile, the test shows nothing", clients, paths)
	}
}
