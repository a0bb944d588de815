package processor

import (
	"bytes"
	"net/netip"
	"testing"
)

// TestRegularsAreKnownFromAnEarlierDay: people who come on two days are regulars with
// the agent that they came with, also after a restart; an attack's clients are not, though
// they come back the day after.
func TestRegularsAreKnownFromAnEarlierDay(t *testing.T) {
	const day = 24 * 60 * minute
	tr := newTraffic(5)
	person, other, p := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8"), browsers[0]
	come := func(at int64) {
		tr.add(at, person, &p, "/page1", "", true, 200)
		tr.add(at+5, other, &library, "/x", "", false, 404)
	}
	tr.people(0, 40*minute, 0.5)
	tr.people(day, day+10*minute, 0.5)
	tr.botnet(30*minute, 40*minute, 6000, 2000)
	come(10 * minute)
	come(day + 5*minute)
	bots := make(map[netip.Addr]bool)
	for _, r := range tr.rows {
		if string(r.AcceptEncoding) == library.encoding && r.Time > start+30*minute && r.Time < start+40*minute {
			bots[r.Client] = true
		}
	}
	for client := range bots { // they come once more, before anybody notices
		tr.add(day+9*minute, client, &library, "/page1", "", false, 200)
	}
	engine := make1(t, small)
	run(t, engine, tr.batches(500))
	var saved bytes.Buffer
	if err := engine.Save(&saved); err != nil {
		t.Fatal(err)
	}
	again := make1(t, small)
	if err := again.Load(&saved); err != nil {
		t.Fatal(err)
	}
	for _, q := range []*Processor{engine, again} {
		if !q.Regular(person, []byte(p.agent)) {
			t.Error("who came on two days is no regular")
		}
		if q.Regular(person, []byte("curl/8.5.0")) {
			t.Error("it is with an agent that it never had")
		}
		regulars := 0
		for client := range bots {
			if q.Regular(client, []byte(library.agent)) {
				regulars++
			}
		}
		if len(bots) < 1000 || regulars > 0 {
			t.Errorf("%d of %d bots are regulars", regulars, len(bots))
		}
	}
}
