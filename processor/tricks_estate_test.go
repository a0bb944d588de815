package processor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// estateOf joins the traffic of sites into one.
func estateOf(all ...*traffic) *traffic {
	t := newTraffic(0)
	for _, o := range all {
		t.rows = append(t.rows, o.rows...)
	}
	return t
}

// besieged is a site of its own with people for so long, and a botnet with a program of its own meanwhile.
func besieged(seed uint64, name string, from, to int64, requests, addresses int) (*traffic, map[netip.Addr]bool) {
	t := newTraffic(seed)
	t.site = name
	t.people(0, to+minute, 0.8)
	bots, is := t.addresses(addresses)
	p := library
	p.agent = fmt.Sprintf("Mozilla/5.0 (compatible; %s)", name)
	for i := range requests {
		t.add(from+t.r.Int64N(to-from), bots[i%addresses], &p, fmt.Sprintf("/x%d/%x", t.r.IntN(99), t.r.Uint32()), "", false, 404)
	}
	return t, is
}

// decoy is a site of its own that is attacked by visitors' browsers, which are decided on one by one.
func decoy(seed uint64, name string, from, to int64) *traffic {
	t := newTraffic(seed)
	t.site = name
	t.people(0, to+minute, 0.8)
	bots, _ := t.addresses(500)
	for i := range 3000 {
		p := browsers[i%500%len(browsers)]
		t.add(from+t.r.Int64N(to-from), bots[i%500], &p, fmt.Sprintf("/page%d", t.r.IntN(40)), "", false, 200)
	}
	return t
}

// TestDecoysDoNotExhaustTheCap: other sites are attacked first, with clients that are decided on one by one, until there
// are as many decisions as may be. Then comes the attack that is meant.
func TestDecoysDoNotExhaustTheCap(t *testing.T) {
	o := small
	o.MaxDecisions = 200
	var parts []*traffic
	for i := range 3 {
		parts = append(parts, decoy(uint64(50+i), fmt.Sprintf("decoy%d.example.org", i), 31*minute, 41*minute))
	}
	real, is := besieged(60, "www.example.org", 37*minute, 41*minute, 5000, 1700)
	tr := estateOf(append(parts, real)...)
	e, verdicts := run(t, make1(t, o), tr.batches(500))
	x := tell(tr, e, verdicts, 38*minute, of(is))
	scopes := map[string]int{}
	for _, ev := range e.log {
		if ev.Type == schemas.DecisionAdded {
			scopes[fmt.Sprintf("%s of %s", ev.Scope, ev.Sites[0])]++
		}
	}
	t.Logf("%v; decisions %v", x, scopes)
	if x.share() < .9 {
		t.Errorf("%d of %d of the attack's requests stopped; decisions %v", x.stopped, x.attack, scopes)
	}
}

// TestManySitesAtOnce: a small attack on each of many sites at the same time. It is one incident, and each is decided on.
func TestManySitesAtOnce(t *testing.T) {
	const sites = 20
	var parts []*traffic
	all := map[netip.Addr]bool{}
	for i := range sites {
		part, is := besieged(uint64(100+i), fmt.Sprintf("s%d.example.org", i), 21*minute, 24*minute, 450, 225)
		parts = append(parts, part)
		for a := range is {
			all[a] = true
		}
	}
	tr := estateOf(parts...)
	e, verdicts := run(t, make1(t, small), tr.batches(500))
	decided := map[string]bool{}
	for _, ev := range e.log {
		if ev.Type == schemas.DecisionAdded {
			decided[ev.Sites[0]] = true
		}
	}
	x := tell(tr, e, verdicts, 22*minute, of(all))
	t.Logf("%v; decided on %d of %d sites", x, len(decided), sites)
	if len(decided) != sites || x.share() < .9 || x.blocked > 0 || x.incidents != 1 {
		t.Errorf("%v; decided on %d of %d sites", x, len(decided), sites)
	}
}

// TestANameThatNobodyHas: the attack asks the same server under a name that is no site, or under ever other ones, or by its
// address, where nginx answers to any. Nothing is known of such a site, and nothing decided; that it comes is told, where it
// can be nothing but an attack as an incident, and 'weir check' says that nginx must refuse such names.
func TestANameThatNobodyHas(t *testing.T) {
	for host, incidents := range map[string]int{"new.example.org": 0, "%x.example.org": 1, "192.0.2.7": 1, "[2001:db8::7]": 1} {
		tr := newTraffic(61)
		tr.people(0, 48*minute, 0.8)
		bots, is := tr.addresses(1700)
		for i := range 5000 {
			p := library
			p.agent = browsers[tr.r.IntN(len(browsers))].agent
			if tr.site = host; strings.Contains(host, "%") {
				tr.site = fmt.Sprintf(host, tr.r.IntN(100_000))
			}
			tr.add(41*minute+tr.r.Int64N(5*minute), bots[i%1700], &p, fmt.Sprintf("/page%d", tr.r.IntN(40)), "", false, 200)
		}
		var told []Strange
		o := small
		o.Strange = func(s Strange) { told = append(told, s) }
		e, verdicts := run(t, make1(t, o), tr.batches(500))
		x := tell(tr, e, verdicts, 41*minute, of(is))
		if x.stopped+x.blocked > 0 || x.incidents != incidents {
			t.Errorf("%s: %v %v; docs/threat-model.md says that nothing is decided", host, x, kinds(e.log))
		}
		if incidents > 0 && len(e.log) != 2 || incidents > 0 && (e.log[0].Sites[0] != Other || e.log[0].Time.UnixMilli()-start-41*minute > 25_000 || e.log[1].Type != schemas.IncidentClosed) {
			t.Errorf("%s: %+v", host, e.log)
		}
		if len(told) < 10 {
			t.Fatalf("%s: told of %d times in five minutes", host, len(told))
		}
		if s := told[0]; s.Rate < 10 || s.All < s.Rate || len(s.Hosts) == 0 || len(s.Hosts) > 3 || s.Hosts[0] == "www.example.org" {
			t.Errorf("%s: told of %+v", host, s)
		}
	}
}

// TestAFloodOfNamesHidesNoAttack: somebody asks for made-up names, and some minutes later attacks a site, or the other way round.
// They are two incidents: what one says of names under which nothing is decided is not said of the site, and a person who calls
// the names normal says nothing of the attack.
func TestAFloodOfNamesHidesNoAttack(t *testing.T) {
	for name, at := range map[string]struct{ names, attack int64 }{"names first": {41, 43}, "the attack first": {43, 41}} {
		real, is := besieged(66, "www.example.org", at.attack*minute, (at.attack+4)*minute, 5000, 1700)
		names := newTraffic(67)
		bots, _ := names.addresses(900)
		for i := range 30_000 {
			names.site = fmt.Sprintf("%x.example.org", names.r.IntN(100_000))
			names.add(at.names*minute+names.r.Int64N(4*minute), bots[i%900], &library, "/", "", false, 200)
		}
		tr := estateOf(real, names)
		e, verdicts := run(t, make1(t, small), tr.batches(500))
		opened := map[string]string{}
		for _, ev := range e.log {
			if ev.Type == schemas.IncidentOpened {
				opened[strings.Join(ev.Sites, " ")] = ev.Incident
			}
			if ev.Decision == nil && strings.Contains(ev.Cause, "nothing is decided") != slices.Equal(ev.Sites, []string{Other}) {
				t.Errorf("%s: %s of %v: %s", name, ev.Type, ev.Sites, ev.Cause)
			}
		}
		if len(opened) != 2 || opened[Other] == "" || opened["www.example.org"] == "" {
			t.Errorf("%s: %v", name, kinds(e.log))
		}
		if x := tell(tr, e, verdicts, (at.attack+1)*minute, func(r *schemas.Request) bool { return is[r.Client] && string(r.Site) == "www.example.org" }); x.share() < .9 {
			t.Errorf("%s: %v", name, x)
		}
	}
}

// TestNamesOnceMore: a flood under made-up names that is fast enough to take all places in the seconds before anybody looks is an
// incident, and so is the next one within the hour, which finds none left.
func TestNamesOnceMore(t *testing.T) {
	for _, again := range []int64{50, 85} {
		people, names := newTraffic(68), newTraffic(69)
		people.people(0, 92*minute, 0.8)
		for _, at := range []int64{41, again} {
			bots, _ := names.addresses(900)
			for i := range 6000 {
				names.site = fmt.Sprintf("%x.example.org", names.r.IntN(100_000))
				names.add(at*minute+names.r.Int64N(2*minute), bots[i%900], &library, "/", "", false, 200)
			}
		}
		e, _ := run(t, make1(t, small), estateOf(people, names).batches(500))
		want := []string{"incident.opened flood (other)", "incident.closed flood (other)"}
		if got := kinds(e.log); !slices.Equal(got, append(want, want...)) {
			t.Errorf("again at %d min: %v", again, got)
		}
	}
}

// TestAFloodOfNamesOutlivesACrash: whoever goes on from what was saved just before a flood of made-up names is noticed, or while it
// is open, or as it ends, comes to the same events: what was published before the crash is not open for ever.
func TestAFloodOfNamesOutlivesACrash(t *testing.T) {
	for name, at := range map[string]int64{"before it is noticed": 41*minute + 12_000, "while it is open": 42 * minute, "as it ends": 43*minute + 20_000} {
		people, names := newTraffic(68), newTraffic(69)
		people.people(0, 47*minute, 0.8)
		bots, _ := names.addresses(900)
		for i := range 6000 {
			names.site = fmt.Sprintf("%x.example.org", names.r.IntN(100_000))
			names.add(41*minute+names.r.Int64N(2*minute), bots[i%900], &library, "/", "", false, 200)
		}
		least := 1
		if name == "before it is noticed" {
			least = 2
		}
		t.Run(name, func(t *testing.T) {
			goesOn(t, estateOf(people, names), func(_ []schemas.Event, closed int64) bool { return closed*1000 >= start+at }, least)
		})
	}
}

// TestNamesCalledNormal: what a person called normal of requests for made-up names opens nothing, nor twice as much of it; what
// is more does.
func TestNamesCalledNormal(t *testing.T) {
	for times, incidents := range map[int]int{1: 1, 4: 2} {
		tr := newTraffic(68)
		tr.people(0, 70*minute, 0.8)
		names := newTraffic(69)
		for at, requests := range map[int64]int{41: 6000, 61: 6000 * times} {
			bots, _ := names.addresses(900)
			for i := range requests {
				names.site = fmt.Sprintf("%x.example.org", names.r.IntN(100_000))
				names.add(at*minute+names.r.Int64N(4*minute), bots[i%900], &library, "/", "", false, 200)
			}
		}
		tr = estateOf(tr, names)
		p, e, said := make1(t, small), newEdge(), false
		next := 0
		for _, b := range tr.batches(100) {
			next += len(e.run(p, []*schemas.Batch{b}))
			if !said && len(e.log) > 0 && next < len(tr.rows) && tr.rows[next].Time > start+43*minute {
				said = true
				p.detector.Correct(Correction{Incident: e.log[0].Incident, By: "anna", Time: time.UnixMilli(tr.rows[next].Time)})
			}
		}
		opened := 0
		for _, ev := range e.log {
			if ev.Type == schemas.IncidentOpened {
				opened++
			}
		}
		if opened != incidents {
			t.Errorf("%d times as much: %v", times, kinds(e.log))
		}
	}
}

// TestNewSitesAreNobodysFlood: twenty sites that nobody has asked for before come to the edge at once, as where another log is
// followed from now on; scanners ask for the address meanwhile, as they do day and night.
func TestNewSitesAreNobodysFlood(t *testing.T) {
	parts := []*traffic{newTraffic(63)}
	parts[0].people(0, 48*minute, 0.8)
	for i := range 20 {
		site := newTraffic(uint64(70 + i))
		site.site = fmt.Sprintf("s%d.example.org", i)
		site.people(41*minute, 48*minute, 0.8)
		parts = append(parts, site)
	}
	scanner := newTraffic(64)
	scanner.site = "192.0.2.7"
	for at := int64(0); at < 48*minute; at += 2000 {
		scanner.add(at, netip.MustParseAddr("198.51.100.9"), &library, fmt.Sprintf("/x%d", at), "", false, 404)
	}
	o := small
	said := 0
	o.Strange = func(Strange) { said++ }
	e, _ := run(t, make1(t, o), estateOf(append(parts, scanner)...).batches(500))
	if len(kinds(e.log)) > 0 || said == 0 {
		t.Errorf("%v; told of %d times", kinds(e.log), said)
	}
}

// TestCalledNormal: a person was made to call an attack normal. For thirty days twice as much of the like is; what is more
// is an attack again.
func TestCalledNormal(t *testing.T) {
	for _, times := range []int{2, 4} {
		tr := newTraffic(62)
		tr.people(0, 76*minute, 0.8)
		attack := func(at int64, requests int) map[netip.Addr]bool {
			bots, is := tr.addresses(requests)
			for i := range requests {
				p := library
				p.agent = browsers[tr.r.IntN(len(browsers))].agent
				tr.add(at+tr.r.Int64N(3*minute), bots[i], &p, fmt.Sprintf("/page%d", tr.r.IntN(40)), "", false, 200)
			}
			return is
		}
		attack(31*minute, 1500)
		again := attack(61*minute, 1500*times)
		p, e, said := make1(t, small), newEdge(), false
		var verdicts []schemas.Action
		for _, b := range tr.batches(100) {
			verdicts = append(verdicts, e.run(p, []*schemas.Batch{b})...)
			if next := len(verdicts); !said && len(e.log) > 0 && next < len(tr.rows) && tr.rows[next].Time > start+33*minute {
				said = true
				p.detector.Correct(Correction{Incident: e.log[0].Incident, By: "anna", Time: time.UnixMilli(tr.rows[next].Time)})
			}
		}
		x := tell(tr, e, verdicts, 61*minute, of(again))
		t.Logf("%d times as much: %v", times, x)
		if noticed := x.incidents > 1; noticed != (times > 2) || x.blocked > 0 {
			t.Errorf("%d times as much: %v %v", times, x, kinds(e.log))
		}
	}
}

// TestProbesAreFarmed: bots look at their answers. Who is let through once behaves like a person from then on, and the others
// need do nothing.
func TestProbesAreFarmed(t *testing.T) {
	tr := newTraffic(63)
	tr.people(0, 40*minute, 1.0)
	tr.batches(1) // in their order
	people := tr.rows
	p := library
	p.agent = "Mozilla/5.0 (compatible; Farmer)"
	bots, is := tr.addresses(4000)
	proc, e := make1(t, small), newEdge()
	var rows []schemas.Request
	var verdicts []schemas.Action
	friends := map[netip.Addr]bool{}
	for second := int64(0); second < 39*60; second++ {
		tr.rows = nil
		for len(people) > 0 && people[0].Time < start+second*1000+1000 {
			tr.rows, people = append(tr.rows, people[0]), people[1:]
		}
		for range 14 {
			if second < 31*60 {
				break
			}
			a, at := bots[tr.r.IntN(len(bots))], second*1000+tr.r.Int64N(900)
			tr.add(at, a, &p, fmt.Sprintf("/page%d", tr.r.IntN(40)), "", false, 200)
			if friends[a] {
				tr.add(at+1, a, &p, "/page1", "", false, 200)
				tr.add(at+2, a, &p, "/asset0.css", "https://"+tr.site+"/page1", true, 200)
			}
		}
		before := len(verdicts)
		verdicts = append(verdicts, probe(t, proc, e, tr.batches(1<<20))...)
		rows = append(rows, tr.rows...)
		for i := before; i < len(verdicts); i++ {
			if is[rows[i].Client] && verdicts[i] == schemas.Allow && len(e.held) > 0 {
				friends[rows[i].Client] = true
			}
		}
	}
	tr.rows = rows
	x := tell(tr, e, verdicts, 32*minute, of(is))
	last, n := lastOf(e.log, schemas.DecisionRemoved, "probes behave like people")
	t.Logf("%v; %d lifted for their probes: %s", x, n, last.Reason)
	if n == 0 || x.share() < .6 || x.blocked > 0 {
		t.Errorf("%v; %d lifted for their probes", x, n)
	}
}
