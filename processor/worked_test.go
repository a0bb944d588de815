package processor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// attackedSites are the events of sites that are attacked at once, each from so many addresses, by a processor that prepare has changed.
func attackedSites(t *testing.T, sites, addresses int, prepare func(*Detector), after func(*Detector)) []schemas.Event {
	t.Helper()
	var parts []*traffic
	for i := range sites {
		part, _ := besieged(uint64(100+i), fmt.Sprintf("s%d.example.org", i), 21*minute, 24*minute, 450, addresses)
		parts = append(parts, part)
	}
	return attacked(t, parts, prepare, after)
}

// attacked is what is said of sites.
func attacked(t *testing.T, sites []*traffic, prepare func(*Detector), after func(*Detector)) []schemas.Event {
	t.Helper()
	p := make1(t, small)
	prepare(p.detector)
	e := newEdge()
	for _, b := range estateOf(sites...).batches(500) {
		p.Consume(b, e.judge, e.take)
		after(p.detector)
	}
	return e.log
}

func eventText(t *testing.T, e schemas.Event) []byte {
	t.Helper()
	line, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestWhatIsWorkedOutIsBounded: with room for what is worked out of one site or of none, no more is kept, and the same
// is decided.
func TestWhatIsWorkedOutIsBounded(t *testing.T) {
	const sites = 5
	most := 0
	want := attackedSites(t, sites, 225, func(*Detector) {}, func(d *Detector) { most = max(most, d.worked.bytes) })
	if most < 4*sites<<10 {
		t.Fatalf("%d bytes were worked out: nothing to be bounded", most)
	}
	for _, bound := range []int{most / sites, 0} {
		got := attackedSites(t, sites, 225, func(d *Detector) { d.worked.most = bound }, func(d *Detector) {
			sum := 0
			for _, s := range d.worked.sites {
				sum += s.workedOut()
			}
			if d.worked.bytes > bound || sum > bound {
				t.Fatalf("%d bytes are kept, %d in truth; want %d at most", d.worked.bytes, sum, bound)
			}
		})
		if len(got) != len(want) {
			t.Fatalf("%d events with room for %d bytes, %d with enough", len(got), bound, len(want))
		}
		for i := range want {
			if a, b := eventText(t, want[i]), eventText(t, got[i]); !bytes.Equal(a, b) {
				t.Fatalf("event %d with room for %d bytes:\n%s\nand with enough:\n%s", i, bound, b, a)
			}
		}
	}
}

// TestClosedIncidentsLeaveNothing: what was worked out goes with the incident.
func TestClosedIncidentsLeaveNothing(t *testing.T) {
	tr := newTraffic(3)
	tr.people(0, 45*minute, 0.8)
	tr.botnet(21*minute, 24*minute, 450, 225)
	p, e := make1(t, small), newEdge()
	most, closed := 0, false
	for _, b := range tr.batches(50) {
		p.Consume(b, e.judge, func(ev schemas.Event) {
			e.take(ev)
			if ev.Type == schemas.IncidentClosed {
				s := p.detector.sites[0]
				if closed = true; s.worked > 0 || s.workedOut() > 0 {
					t.Errorf("%d bytes are left", s.workedOut())
				}
			}
		})
		most = max(most, p.detector.worked.bytes)
	}
	if !closed || most < 1<<10 {
		t.Errorf("closed: %v; %d bytes were worked out", closed, most)
	}
}

// TestEvidenceIsBounded: beyond the bound the evidence is told with the decision and not kept; nothing else differs.
func TestEvidenceIsBounded(t *testing.T) {
	const bound = 3
	decoys := func() (sites []*traffic) { // clients are decided on one by one, however soon the attack is noticed
		for i := range 2 {
			sites = append(sites, decoy(uint64(100+i), fmt.Sprintf("s%d.example.org", i), 21*minute, 24*minute))
		}
		return sites
	}
	plain := attacked(t, decoys(), func(*Detector) {}, func(*Detector) {})
	most, clients := 0, 0
	got := attacked(t, decoys(), func(d *Detector) { d.told = bound }, func(d *Detector) {
		n := 0
		for _, s := range d.sites {
			for _, held := range s.know.scored.list {
				clients = max(clients, len(s.know.scored.list))
				if held.Evidence != nil {
					n++
				}
			}
		}
		if n > bound || n != d.evidence() {
			t.Fatalf("the evidence of %d is kept, and %d counted; want %d at most", n, d.evidence(), bound)
		}
		most = max(most, n)
	})
	if most != bound || clients <= bound {
		t.Fatalf("the evidence of %d of %d clients was kept: the bound was not reached", most, clients)
	}
	for i := range plain {
		a, b := plain[i], got[i]
		if b.Type == schemas.DecisionAdded && b.Evidence == nil {
			t.Errorf("%s was told without its evidence", b.ID)
		}
		if a.Decision != nil && b.Decision != nil && b.Scope == schemas.ScopeClient && b.Evidence == nil {
			bare := *a.Decision
			bare.Evidence, a.Decision = nil, &bare
		}
		if x, y := eventText(t, a), eventText(t, b); !bytes.Equal(x, y) {
			t.Fatalf("event %d:\n%s\nis without the bound:\n%s", i, y, x)
		}
	}
}

// TestWhoCameEarlierIsBounded: crowds on many sites at once keep no more of them than the estate may.
func TestWhoCameEarlierIsBounded(t *testing.T) {
	d := make1(t, small).detector
	for i := range 2 * maxEarlier / earlierClients {
		s := d.site(fmt.Sprintf("s%d.example.org", i))
		s.incident = &incident{earlier: attribute.NewSample(d.extract, earlierClients)}
		for c := range earlierClients {
			var traits attribute.Traits
			r := schemas.Request{Client: netip.AddrFrom4([4]byte{10, byte(i), byte(c >> 8), byte(c)}), Status: 200}
			hash := d.extract.ClientHash(r.Client.As16())
			if s.incident.earlier.Wants(hash, 1) {
				s.incident.earlier.AddTraits(hash, &traits, &r, attribute.Mark{})
			}
		}
		d.thinEarlier()
	}
	all, least := 0, earlierClients
	for _, s := range d.sites {
		n := s.incident.earlier.Len()
		all, least = all+n, min(least, n)
	}
	if all > maxEarlier || all < maxEarlier/4 || least < earlierClients/8 {
		t.Errorf("%d of all sites, %d of one at least; want %d at most", all, least, maxEarlier)
	}
}
