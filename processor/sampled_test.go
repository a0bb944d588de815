package processor

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// counts are what a Counter says of some requests of one site.
type counts struct {
	window.Counts
	clients, missing, kept, sampled float64
	entropy                         float64 // of the clients
	agent, seconds                  float64 // requests of the first agent; slow ones
}

// countAll counts requests of a second.
func countAll(t *testing.T, rows []schemas.Request) (out counts) {
	t.Helper()
	o, err := Options{Secret: [32]byte{1, 2, 3}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newCounter(o, NewKnowledge(), m)
	b := schemas.NewBuilder("edge", "source")
	closed := func(_ int64, panes []*Pane) {
		for _, p := range panes {
			out.Counts.Add(&p.Counts)
			out.clients += p.Clients.Estimate()
			out.missing += p.Marked[window.MissingPage].Estimate()
			out.entropy += p.Tallies[window.ByClient].Bits()
			out.sampled += p.Sample.Clients()
			out.kept += p.Sample.Requests
			out.seconds += float64(p.Duration.Total())
			for _, h := range p.Tallies[window.ByAgent].Top(nil, 0.01, 32) {
				if string(h.Name) == "agent-0" {
					out.agent += float64(h.Least)
				}
			}
		}
	}
	for i := range rows {
		if !b.Fits(&rows[i]) {
			c.Count(b.Batch(), closed)
			b.Reset()
		}
		b.Append(&rows[i])
	}
	c.Count(b.Batch(), closed)
	c.Advance(rows[len(rows)-1].Time+60_000, closed)
	return out
}

// populace are the requests of clients of which some send many, in one second.
func populace(clients int) (rows []schemas.Request) {
	random := rand.New(rand.NewPCG(3, 4))
	for c := range clients {
		r := schemas.Request{
			Time: start, Site: []byte("www.example.org"), Method: []byte("GET"), Path: []byte("/"), Status: 200, Protocol: []byte("HTTP/1.1"),
			Client: netip.AddrFrom4([4]byte{10, byte(c >> 16), byte(c >> 8), byte(c)}), UserAgent: fmt.Appendf(nil, "agent-%d", c%3),
			Fields: schemas.FieldUserAgent | schemas.FieldDuration | schemas.FieldSite, Duration: 1000,
		}
		if c%5 == 0 {
			r.Status = 404
		}
		for range 1 + random.IntN(4) {
			rows = append(rows, r)
		}
	}
	return rows
}

// sampleOf keeps clients by a hash with a key, as a collector does: those with an even
// address at one weight, and those with an odd one at another.
func sampleOf(rows []schemas.Request, key uint64, weights [2]uint32) (kept []schemas.Request) {
	for odd, weight := range weights { // one source after the other
		level := bits.Len32(weight) - 1
		for _, r := range rows {
			a := r.Client.As16()
			if int(a[15]&1) != odd || xxh3.HashSeed(a[:], key)>>(64-level) != 0 {
				continue
			}
			r.Weight = weight
			kept = append(kept, r)
		}
	}
	return kept
}

// What is counted of a sample of the clients is, in the mean over the collectors' keys,
// what is counted of all; and each one is off by no more than chance allows.
func TestSampledCountsAreUnbiased(t *testing.T) {
	rows := populace(4000)
	all := countAll(t, rows)
	values := func(c *counts) map[string]float64 {
		return map[string]float64{
			"requests": float64(c.Counts[window.Requests]), "missing pages": float64(c.Counts[window.NotFound]),
			"new clients": float64(c.Counts[window.NewClients]), "clients": c.clients, "clients that missed a page": c.missing,
			"requests of an agent": c.agent, "durations": c.seconds, "requests of the sample": c.kept, "clients of the sample": c.sampled,
		}
	}
	want := values(&all)
	for _, weights := range [][2]uint32{{8, 8}, {1, 8}} {
		const keys = 16
		sum, entropy := map[string]float64{}, 0.0
		for key := range uint64(keys) {
			got := countAll(t, sampleOf(rows, key+1, weights))
			entropy += got.entropy / keys
			for name, v := range values(&got) {
				sum[name] += v / keys
			}
		}
		// A fifth of the clients, each kept with a chance of one in w: the relative
		// error of one estimate is about sqrt((w-1)/n), and a mean's that by sqrt(keys).
		// The sample itself keeps at most 512 clients.
		worst := float64(max(weights[0], weights[1]))
		for name, v := range want {
			n := 800.0
			if name == "clients of the sample" {
				n = 256
			}
			bound := 5 * math.Sqrt((worst-1)*1.5/n/keys)
			if name == "clients of the sample" {
				bound = 5 * math.Sqrt(worst*1.5/n/keys)
			}
			if off := sum[name]/v - 1; math.Abs(off) > bound {
				t.Errorf("weights %v: %s: %.1f in the mean, of all %.1f (%+.1f %%, allowed %.1f %%)", weights, name, sum[name], v, 100*off, 100*bound)
			}
		}
		if math.Abs(entropy-all.entropy) > 0.1 {
			t.Errorf("weights %v: the clients' entropy is %.2f bits in the mean, of all %.2f", weights, entropy, all.entropy)
		}
	}
}
