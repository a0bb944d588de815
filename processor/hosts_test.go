package processor

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/weir-project/weir/processor/state"
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

// TestHostsThatCameAndWentLeaveNothing: hosts that attackers visit for long enough to have a
// place, one set after the other for months. What is known of sites is as bounded as they are.
func TestHostsThatCameAndWentLeaveNothing(t *testing.T) {
	o := small
	o.MaxSites = 5
	p := make1(t, o)
	seen := make(map[string]bool)
	for set := range 12 {
		b := schemas.NewBuilder("edge", "test")
		for n := range 12 * 60 { // twelve minutes, in which each is served to many networks
			for _, host := range []string{"real.example", fmt.Sprintf("a%d.example", set), fmt.Sprintf("b%d.example", set), fmt.Sprintf("c%d.example", set)} {
				b.Append(&schemas.Request{
					Time: start + int64(set)*8*24*60*minute + int64(n)*1000, Site: []byte(host), Path: []byte("/"), Status: 200,
					Client: netip.AddrFrom4([4]byte{byte(10 + n%60), byte(set), 2, 3}),
				})
			}
		}
		p.Consume(b.Batch(), nil, func(schemas.Event) {})
		for _, s := range p.detector.sites {
			seen[s.name] = true
		}
		k := p.detector.know
		if most := 2 * o.MaxSites; len(k.sites) > most || len(k.names) != len(k.sites) {
			t.Fatalf("what is known is of %d sites (%d names) after %d sets of hosts, at most %d", len(k.sites), len(k.names), set+1, most)
		}
		if k.sites["real.example"] == nil || p.detector.index["real.example"] == nil {
			t.Fatalf("nothing is known of the real site after %d sets of hosts", set+1)
		}
	}
	if len(seen) < 20 {
		t.Errorf("%d hosts were sites, the test does not test it", len(seen))
	}
}

// TestWhatIsKnownOfASiteGoesWithIt: a detector's site that has lost its place is forgotten by
// counters elsewhere too, but by one that has the site itself, until that has it no more.
func TestWhatIsKnownOfASiteGoesWithIt(t *testing.T) {
	o := small
	o.MaxSites = 4
	parts, err := NewParts(o)
	if err != nil {
		t.Fatal(err)
	}
	d, c := parts.Detector(), parts.Counter(schemas.Partitions)
	d.closed = 1_795_000_000
	tell := func() {
		t.Helper()
		for _, change := range d.Knowledge().Changes() {
			if err := parts.Knowledge().Apply(change); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 200 {
		s := d.site(fmt.Sprintf("host%d.example", i))
		s.last = d.closed
		d.know.learnPath(s.know, uint64(i))
		if i == 7 {
			c.siteNamed("host7.example")
		}
		tell()
		d.closed += 8 * 86400
	}
	there := func() []string { return slices.Sorted(maps.Keys(parts.Knowledge().sites)) }
	if got, want := there(), []string{"host197.example", "host198.example", "host199.example", "host7.example"}; !slices.Equal(got, want) || len(d.know.sites) != 3 {
		t.Errorf("counters know of %v, want %v; the detector of %d", got, want, len(d.know.sites))
	}
	if !c.index["host7.example"].known.known.Has(7) {
		t.Error("what a counter knows of its site is gone")
	}
	c.Leave()
	if parts.Knowledge().has("host7.example") {
		t.Error("a site that neither a counter nor the detector has is still known")
	}
	// A counter's process that slept meanwhile, and loads what is known now.
	slept := NewKnowledge()
	slept.told("long-gone.example")
	w := &state.Writer{}
	if err := d.Knowledge().Snapshot(w); err != nil {
		t.Fatal(err)
	}
	if err := slept.Restore(state.NewReader(w.Bytes)); err != nil {
		t.Fatal(err)
	}
	if slept.has("long-gone.example") || len(slept.sites) != 3 {
		t.Errorf("%d sites are known, want the detector's 3", len(slept.sites))
	}
}

// TestNamedSitesAreWatchedAmongFakes: hosts that attackers have made sites hold every place, at the
// counter and at the detector; a site that the configuration names is one at its first request, and
// is saved and loaded with the others.
func TestNamedSitesAreWatchedAmongFakes(t *testing.T) {
	o := small
	o.MaxSites, o.Named = 5, []string{"named.example"}
	p := make1(t, o)
	ask := func(p *Processor, host string, at int64, n int) {
		b := schemas.NewBuilder("edge", "test")
		for i := range n {
			b.Append(&schemas.Request{
				Time: start + at + int64(i)*500, Site: []byte(host), Path: []byte("/"), Status: 200,
				Client: netip.AddrFrom4([4]byte{byte(10 + i%90), byte(i), 2, 3}),
			})
		}
		p.Consume(b.Batch(), nil, func(schemas.Event) {})
		p.Advance(start+at+int64(n)*500+10_000, func(schemas.Event) {})
	}
	has := func(p *Processor, host string) bool {
		return p.counter.index[host] != nil && p.detector.index[host] != nil
	}
	for i := range int64(6) {
		ask(p, fmt.Sprintf("fake%d.example", i), i*15*minute, 1500)
	}
	if !has(p, "fake2.example") || has(p, "fake3.example") {
		t.Fatalf("%d sites are counted: the test does not test it", len(p.counter.sites))
	}
	ask(p, "named.example", 100*minute, 1)
	if !has(p, "named.example") || !has(p, "fake2.example") {
		t.Error("the named site has no place, or took another's")
	}
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	o.Named = []string{"named.example", "second.example", "third.example"} // more than the state has places for
	q := make1(t, o)
	if err := q.Load(&saved); err != nil {
		t.Fatal(err)
	}
	for i, host := range o.Named {
		if ask(q, host, (110+int64(i))*minute, 1); !has(q, host) {
			t.Errorf("%s has no place after a restart", host)
		}
	}
	saved.Reset()
	if err := q.Save(&saved); err != nil {
		t.Fatal(err)
	}
	if err := make1(t, o).Load(&saved); err != nil {
		t.Error(err)
	}
}

// TestWhatIsKnownIsHeldByOneOfMany: counters of several partitions take and leave the same site at
// once. What one holds is what the detector's changes go to.
func TestWhatIsKnownIsHeldByOneOfMany(t *testing.T) {
	k := NewKnowledge()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20_000 {
				held := k.hold("www.example.org")
				k.mu.Lock()
				same := k.sites["www.example.org"] == held
				k.mu.Unlock()
				if k.release("www.example.org"); !same {
					t.Error("what a counter holds was forgotten")
					return
				}
			}
		})
	}
	all.Wait()
	if k.has("www.example.org") {
		t.Error("a site that nobody has is still known")
	}
}
