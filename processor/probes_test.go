package processor

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// probing is an edge that lets probes through, as nginx does.
func (e *edge) probing(row int, r *schemas.Request) schemas.Action {
	action := e.judge(row, r)
	r.Decision = nil
	if action == schemas.Allow {
		return action
	}
	for _, d := range e.held {
		if d.Probes != "" && e.decides(&d, r) && schemas.Probe(d.Probes, r.Client, r.Time) {
			r.Decision = append(r.Decision, d.ID...)
			return schemas.Allow
		}
	}
	return action
}

// probe replays with probes.
func probe(t testing.TB, p *Processor, e *edge, batches []*schemas.Batch) (verdicts []schemas.Action) {
	t.Helper()
	for _, b := range batches {
		p.Consume(b, func(row int, r *schemas.Request) schemas.Action {
			a := e.probing(row, r)
			verdicts = append(verdicts, a)
			return a
		}, e.take)
	}
	return verdicts
}

// doubted puts sites on probation, for two minutes.
var doubted = Options{MinBaseline: 10 * time.Minute, MinClients: 100, Collateral: 0.01, Probation: 2 * time.Minute}

// siege is an attack of so many minutes after 30 ordinary ones, with many addresses so that
// there are probes among them.
func siege(seed uint64, minutes int64) *traffic {
	t := newTraffic(seed)
	t.people(0, (31+minutes)*minute, 0.8)
	t.botnet(30*minute, (30+minutes)*minute, int(minutes)*3000, int(minutes)*1000)
	return t
}

// lastOf is the last event of a type, and how many there are.
func lastOf(log []schemas.Event, kind schemas.EventType, reason string) (last schemas.Event, n int) {
	for _, e := range log {
		if e.Type == kind && (e.Decision == nil || strings.Contains(e.Reason, reason)) {
			last, n = e, n+1
		}
	}
	return last, n
}

// TestTheFirstEnforcementLapses: without probes and without a person it ends with
// its probation, and is told; the site is as it was before.
func TestTheFirstEnforcementLapses(t *testing.T) {
	tr := siege(1, 4)
	e, verdicts := run(t, make1(t, doubted), tr.batches(500))
	first, n := lastOf(e.log, schemas.DecisionRemoved, "lapsed: ")
	if n == 0 || !strings.Contains(first.Reason, "weir incidents confirm "+e.log[0].Incident) {
		t.Fatalf("nothing lapsed: %v", kinds(e.log))
	}
	began := firstDecision(e.log, 30*minute)
	if lasted := first.Time.Sub(time.UnixMilli(start + 30*minute).Add(began)); lasted < 115*time.Second || lasted > 125*time.Second {
		t.Errorf("it lapsed after %s", lasted)
	}
	for _, d := range e.log {
		if d.Type == schemas.DecisionAdded && (!strings.Contains(d.Reason, "on this site, so it lapses at ") || d.Time.After(first.Time)) {
			t.Errorf("%s at %s: %q", d.ID, d.Time, d.Reason)
		}
	}
	for i, a := range verdicts {
		if a != schemas.Allow && tr.rows[i].Time > first.Time.UnixMilli()+2000 {
			t.Fatalf("a request is stopped after all has lapsed")
		}
	}
}

// TestAPersonConfirms: by one word the decisions go on, the site is trusted from then on,
// and what lapsed already is decided anew.
func TestAPersonConfirms(t *testing.T) {
	for name, after := range map[string]time.Duration{"in time": time.Minute, "too late": 150 * time.Second} {
		t.Run(name, func(t *testing.T) {
			tr := siege(1, 4)
			p, e, given := make1(t, doubted), newEdge(), false
			for _, b := range tr.batches(200) {
				p.Consume(b, func(row int, r *schemas.Request) schemas.Action { return e.judge(row, r) }, e.take)
				if now := time.UnixMilli(p.counter.latest); !given && len(e.log) > 0 && now.Sub(e.log[0].Time) > after {
					p.detector.Correct(Correction{Incident: e.log[0].Incident, Attack: true, By: "anna", Time: now})
					given = true
				}
			}
			_, lapsed := lastOf(e.log, schemas.DecisionRemoved, "lapsed: ")
			if (lapsed > 0) != (after > doubted.Probation) {
				t.Errorf("%d decisions lapsed", lapsed)
			}
			last, n := lastOf(e.log, schemas.DecisionAdded, "")
			if renewed, m := lastOf(e.log, schemas.DecisionRenewed, ""); m > 0 && renewed.Expires.After(last.Expires) {
				last = renewed
			}
			if end := time.UnixMilli(start + 34*minute); n == 0 || last.Expires.Before(end) {
				t.Errorf("the last decision ended at %s, the attack at %s", last.Expires, end)
			}
			if !p.detector.sites[0].trusted {
				t.Error("the site is not trusted")
			}
		})
	}
}

// TestCleanProbesConfirm: bots that are let through behave like bots, and so the decisions go
// on by themselves, over a restart too; what is told says what was seen.
func TestCleanProbesConfirm(t *testing.T) {
	tr := siege(1, 4)
	p, e := make1(t, doubted), newEdge()
	batches, cut := tr.batches(200), 0
	for batches[cut].Time[0] < start+31*minute {
		cut++
	}
	probe(t, p, e, batches[:cut])
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	p = make1(t, doubted)
	if err := p.Load(&saved); err != nil {
		t.Fatal(err)
	}
	verdicts := probe(t, p, e, batches[cut:])
	if _, lapsed := lastOf(e.log, schemas.DecisionRemoved, "lapsed: "); lapsed > 0 || !p.detector.sites[0].trusted {
		t.Fatalf("%d decisions lapsed, the site is trusted: %t", lapsed, p.detector.sites[0].trusted)
	}
	seen, told := make(map[string]int), schemas.Live{}
	for _, d := range e.log {
		if d.Decision != nil && d.Live != nil {
			seen[d.ID], told = d.Live.Probes, *d.Live
			if told.Upper > 0.96 || told.People > 0 || told.Touched != 0 {
				t.Errorf("what probes have shown of %s: %+v", d.ID, told)
			}
		}
	}
	all := 0
	for _, n := range seen {
		all += n
	}
	if _, renewed := lastOf(e.log, schemas.DecisionRenewed, ""); renewed == 0 || all < 8 || told.Probes == 0 {
		t.Errorf("renewed %d times, and %d probes are told of", renewed, all)
	}
	bots, through := 0, 0
	for i, a := range verdicts {
		if r := &tr.rows[len(tr.rows)-len(verdicts)+i]; isBot(r) && r.Time > start+33*minute {
			if bots++; a == schemas.Allow {
				through++
			}
		}
	}
	if share := float64(through) / float64(bots); share > 0.05 || through == 0 {
		t.Errorf("%.3f of the attack's requests were let through", share)
	}
}

// isVisitor reports whether a client is of those who come as the bots look.
func isVisitor(client netip.Addr) bool { return netip.MustParsePrefix("203.0.0.0/16").Contains(client) }

// newcomers are visitors who come as the bots look from a moment on, and stay.
func (t *traffic) newcomers(from int64) {
	for i := range 200 {
		at := from + int64(i)*700
		p := library
		p.agent = browsers[i/2%len(browsers)].agent // both families among the probes
		client := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		for schemas.Probe(probeKey([32]byte{}), client, start+at) != (i%2 == 0) { // some of them, drawn for the test
			b := client.As4()
			b[1]++
			client = netip.AddrFrom4(b)
			if b[1] == 0xff {
				break
			}
		}
		t.add(at, client, &p, "/page1", "", false, 200)
		t.add(at+300, client, &p, "/asset0.css", "https://"+t.site+"/page1", true, 200)
	}
}

// TestProbesThatArePeopleLift: where those who are let through load pages as people do, the
// decision is lifted, and not taken again in that incident, under no other name either.
func TestProbesThatArePeopleLift(t *testing.T) {
	tr := siege(1, 4)
	tr.newcomers(31 * minute)
	p, e := make1(t, doubted), newEdge()
	verdicts := probe(t, p, e, tr.batches(200))
	lifted, n := lastOf(e.log, schemas.DecisionRemoved, "probes behave like people")
	if n == 0 || lifted.Live == nil || lifted.Live.People < 2 || !strings.HasPrefix(lifted.Reason, "lifted: ") {
		t.Fatalf("nothing was lifted: %v", kinds(e.log))
	}
	for _, d := range e.log {
		if d.Type == schemas.DecisionAdded && d.Value == lifted.Value && d.Time.After(lifted.Time) {
			t.Errorf("%s was taken again", d.Value)
		}
	}
	after := 0
	for i, a := range verdicts {
		if r := &tr.rows[i]; isVisitor(r.Client) && r.Time > lifted.Time.UnixMilli()+2000 {
			if after++; a != schemas.Allow {
				t.Errorf("%s: %s after that, for %s", r.Client, a, r.Path)
			}
		}
	}
	if after < 100 {
		t.Errorf("%d requests of visitors after that: the test shows nothing", after)
	}
	for _, a := range p.detector.sites[0].armed {
		if a.Value == lifted.Value {
			t.Errorf("%s hurt, and is armed", a.Value)
		}
	}
}

// TestWhatLocksPeopleOutOnlyAsks: what blocks and is not renewed because its probes behave like people is neither decided anew as a block two
// seconds later nor armed; what asks, and what matches no more, may be.
func TestWhatLocksPeopleOutOnlyAsks(t *testing.T) {
	for name, c := range map[string]struct {
		action schemas.Action
		ends   string
		live   schemas.Live
		want   schemas.Action // of the same, proposed as a block again
	}{
		"a block whose probes are people":      {schemas.Block, "not renewed: its probes behave like people", schemas.Live{Probes: 2, People: 1}, schemas.Challenge},
		"a block that matches no more":         {schemas.Block, "", schemas.Live{Probes: 2, People: 1}, schemas.Block},
		"a block of bots":                      {schemas.Block, "not renewed: it would touch more than may be", schemas.Live{Probes: 12}, schemas.Block},
		"a challenge whose probes are people":  {schemas.Challenge, "not renewed: its probes behave like people", schemas.Live{Probes: 2, People: 1}, schemas.Block},
		"a block that one of many probes hurt": {schemas.Block, "not renewed: it would touch more than may be", schemas.Live{Probes: 40, People: 1}, schemas.Block},
	} {
		p, s, score := withScore(t)
		second := p.detector.closed
		d := &decision{signature: schemas.Signature{{Trait: schemas.TraitMethod, Value: "GET"}}, incident: s.incident.id, since: second - 600, matched: second - 2, Decision: schemas.Decision{
			ID: "i1-98", Action: c.action, Scope: schemas.ScopeSignature, Value: `method="GET"`, Expires: score.Expires.Add(-time.Hour), Origin: schemas.OriginWeir}}
		d.live, d.ends = c.live, c.ends
		s.know.decisions = []*decision{d}
		s.expire(second, func(schemas.Event) {})
		again := attribute.Measure{Action: schemas.Block, Scope: schemas.ScopeSignature, Value: d.Value, Signature: d.signature}
		if s.mind(&again); again.Action != c.want {
			t.Errorf("%s: the same is to %s, want %s", name, again.Action, c.want)
		}
		armed := slices.ContainsFunc(s.armed, func(a *armed) bool { return a.Value == d.Value })
		if armed == d.strays() || len(s.know.decisions) > 0 {
			t.Errorf("%s: armed: %t, %d in force", name, armed, len(s.know.decisions))
		}
	}
}

// TestConduct: what is a person and what is not.
func TestConduct(t *testing.T) {
	for name, c := range map[string]struct {
		conduct
		person bool
	}{
		"a page and its assets":                  {conduct{Requests: 3, Served: 3, Pages: 1, Assets: 2, Follows: 2}, true},
		"the same without referers":              {conduct{Requests: 3, Served: 3, Pages: 1, Assets: 2, Cookies: 2}, true},
		"pages with a cookie, assets are cached": {conduct{Requests: 2, Served: 2, Pages: 2, Follows: 1, Cookies: 2}, true},
		"random pages":                           {conduct{Requests: 9, Served: 1, Pages: 1}, false},
		"pages, nothing else":                    {conduct{Requests: 9, Served: 9, Pages: 9}, false},
		"forged referers":                        {conduct{Requests: 9, Served: 9, Pages: 9, Follows: 9}, false},
		"assets of pages that are not there":     {conduct{Requests: 9, Served: 3, Assets: 3, Follows: 9, Cookies: 9}, false},
		"a site that fails":                      {conduct{Requests: 9, Served: 3, Pages: 1, Assets: 2, Follows: 9, Cookies: 9}, false},
	} {
		if c.conduct.person() != c.person {
			t.Errorf("%s: a person is %t", name, !c.person)
		}
	}
}

// TestEnforcingLaterIsOnProbation: what was decided while the site was only observed is on probation
// from when it is enforced: nobody stays blocked by an address, and all of it lapses.
func TestEnforcingLaterIsOnProbation(t *testing.T) {
	tr := siege(1, 5)
	o, enforce, since := doubted, false, time.Time{}
	o.Enforced = func(string) bool { return enforce }
	p, e := make1(t, o), newEdge()
	for _, b := range tr.batches(200) {
		if now := time.UnixMilli(p.counter.latest); !enforce && len(e.held) > 0 && now.Sub(e.log[0].Time) > 50*time.Second {
			enforce, since = true, now
		}
		p.Consume(b, func(row int, r *schemas.Request) schemas.Action {
			if !enforce {
				return schemas.Allow
			}
			return e.judge(row, r)
		}, e.take)
	}
	if since.IsZero() {
		t.Fatal("nothing was decided while the site was observed")
	}
	blocked, lapsed := map[string]bool{}, 0
	for _, d := range e.log {
		if d.Decision == nil || d.ID == "" {
			continue
		}
		if blocked[d.ID] = d.Type != schemas.DecisionRemoved && d.Scope == schemas.ScopeClient && d.Action == schemas.Block; blocked[d.ID] && d.Time.After(since.Add(3*time.Second)) {
			t.Errorf("%s blocks an address on probation", d.ID)
		}
		if d.Time.After(since.Add(3*time.Second)) && d.Type != schemas.DecisionRemoved && d.Expires.After(since.Add(doubted.Probation+5*time.Second)) {
			t.Errorf("%s of %s holds until %s, beyond the probation from %s on", d.ID, d.Time, d.Expires, since)
		}
		if strings.HasPrefix(d.Reason, "lapsed: ") {
			lapsed++
		}
	}
	if lapsed == 0 {
		t.Error("nothing lapsed")
	}
	for id, still := range blocked {
		if d := e.held[id]; still && d.Scope == schemas.ScopeClient {
			t.Errorf("%s still blocks an address", id)
		}
	}
	if len(e.held) > 0 {
		t.Errorf("%d decisions hold after all has lapsed", len(e.held))
	}
}
