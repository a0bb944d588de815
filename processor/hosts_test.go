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

// TestADetectorKeepsItsSites: hosts that come by chance take the place of no site whose
// normal traffic is known, though it is silent all night; only of others that are silent.
func TestADetectorKeepsItsSites(t *testing.T) {
	parts, err := NewParts(Options{MaxSites: 4})
	if err != nil {
		t.Fatal(err)
	}
	d := parts.Detector()
	d.closed = 1_795_000_000
	see := func(name string) *site {
		s := d.site(name)
		s.last = d.closed
		return s
	}
	for _, name := range []string{"www.example", "shop.example"} {
		s := see(name)
		for range minWindows {
			s.base.Learn(0, s.reading.Even[:])
		}
		for client := range uint64(establishedClients) {
			s.normal[0].Add(client*0x9E3779B97F4A7C15, &schemas.Request{Status: 200})
		}
	}
	chance := see("chance.example")
	for range minWindows { // as every site has learned after some minutes, if of nothing
		chance.base.Learn(0, chance.reading.Even[:])
	}
	d.closed += 12 * 3600
	if s := see("random1.example"); s.name != "random1.example" || d.index["chance.example"] != nil {
		t.Errorf("a host came as %q, want that it takes the place of one that is unknown and silent", s.name)
	}
	for range 3 {
		if s := see("random2.example"); s.name != Other {
			t.Errorf("one more came as %q", s.name)
		}
	}
	d.closed += 8 * 86400
	if d.index["www.example"] == nil || d.index["shop.example"] == nil {
		t.Fatal("a site whose traffic is known has gone")
	}
	see("www.example")
	if s := see("new.example"); s.name != "new.example" || d.index["www.example"] == nil {
		t.Errorf("after a week a new site came as %q", s.name)
	}
}

// TestASiteThatGoesGivesBackWhatItHeld: what a site held of the room of all is free again when it
// has gone, or others would lose ever more of theirs to sites that are not there.
func TestASiteThatGoesGivesBackWhatItHeld(t *testing.T) {
	parts, err := NewParts(Options{MaxSites: 3})
	if err != nil {
		t.Fatal(err)
	}
	d := parts.Detector()
	d.closed = 1_795_000_000
	for i := range 50 {
		s := d.site(fmt.Sprintf("host%d.example", i))
		if s.name == Other {
			t.Fatalf("host %d has no place", i)
		}
		s.last = d.closed
		for client := range uint64(20) {
			s.filling.Add(client*0x9E3779B97F4A7C15, &schemas.Request{Status: 200})
		}
		b := s.filled(d.closed)
		if b.sample.Len() == 0 {
			t.Fatal("nothing is held: the test shows nothing")
		}
		s.learn(b)
		d.closed += 8 * 86400
	}
	normal, quarantined := 0, 0
	for _, s := range d.sites {
		normal += s.knows()
		for i := range s.buckets {
			if sample := s.buckets[i].sample; sample != nil {
				quarantined += sample.Len()
			}
		}
	}
	if d.held.normal != normal || d.held.quarantined != quarantined {
		t.Errorf("%d normal clients and %d in quarantine are said to be held, %d and %d are", d.held.normal, d.held.quarantined, normal, quarantined)
	}
}
