package processor

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// TestRandomHostsFillNoPlace: a flood of random hosts, most of them answered by a default
// server, leaves the real site what it was, and all but a few of them count as others.
func TestRandomHostsFillNoPlace(t *testing.T) {
	o := small
	o.MaxSites = 100
	p := make1(t, o)
	real := newTraffic(1)
	real.people(0, 20*minute, 0.8)
	flood := newTraffic(2)
	for i := range int64(30_000) {
		flood.site = fmt.Sprintf("h%x.example", flood.r.Uint64())
		flood.add(5*minute+i*10, flood.client(), &library, "/", "", false, 200)
	}
	real.rows = append(real.rows, flood.rows...)
	run(t, p, real.batches(500))
	sites := p.Sites()
	if len(sites) > 65+1 || len(p.counter.sites) > 65+1 {
		t.Errorf("%d sites, %d counted", len(sites), len(p.counter.sites))
	}
	byName := make(map[string]uint64)
	for _, s := range sites {
		byName[s.Name] = s.Requests
	}
	if got := byName["www.example.org"]; got != uint64(len(real.rows)-len(flood.rows)) {
		t.Errorf("the real site has %d requests, want %d", got, len(real.rows)-len(flood.rows))
	}
	if got := byName[Other]; got < 29_000 {
		t.Errorf("%d requests count as others", got)
	}
}

// TestASiteThatIsSilentMakesRoom, in the Detector as in the Counter.
func TestASiteThatIsSilentMakesRoom(t *testing.T) {
	o := small
	o.MaxSites = 4
	p := make1(t, o)
	ask := func(host string, at int64, n int) {
		b := schemas.NewBuilder("edge", "test")
		for i := range n {
			b.Append(&schemas.Request{
				Time: start + at + int64(i)*500, Site: []byte(host), Path: []byte("/"), Status: 200,
				Client: netip.AddrFrom4([4]byte{byte(10 + i%90), byte(i), 2, 3}),
			})
		}
		p.Consume(b.Batch(), nil, func(schemas.Event) {})
	}
	for i := range 3 {
		ask(fmt.Sprintf("old%d.example", i), int64(i)*1000, 1)
	}
	ask("new.example", 3*60*minute, 1000) // 500 s: served to many networks, in many minutes
	p.Advance(start+4*60*minute, func(schemas.Event) {})
	for _, s := range p.Sites() {
		if s.Name == "new.example" {
			return
		}
	}
	t.Errorf("the new site has no place among silent ones: %+v", p.Sites())
}
