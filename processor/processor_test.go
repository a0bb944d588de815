package processor

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// edge holds the decisions of a moment, as replay's does but without its speed.
type edge struct {
	held  map[string]schemas.Event
	log   []schemas.Event
	lists [schemas.NumListed]schemas.KnownSet // what is known of the site

	signatures map[string]schemas.Signature // by decision
	scores     map[string]*schemas.Score
}

func newEdge() *edge {
	return &edge{held: make(map[string]schemas.Event), signatures: make(map[string]schemas.Signature), scores: make(map[string]*schemas.Score)}
}

func (e *edge) take(event schemas.Event) {
	e.log = append(e.log, event)
	if event.Decision == nil {
		return
	}
	if event.Type == schemas.DecisionRemoved {
		delete(e.held, event.ID)
		return
	}
	e.held[event.ID] = event
	if event.Scope == schemas.ScopeSignature {
		signature, err := schemas.ParseSignature(event.Value)
		if err != nil {
			panic(err)
		}
		e.signatures[event.ID] = signature
	}
	if event.Scope == schemas.ScopeScore {
		score, err := schemas.ParseScore(event.Value)
		if err != nil {
			panic(err)
		}
		e.scores[event.ID] = score
	}
}

func (e *edge) judge(_ int, r *schemas.Request) (action schemas.Action) {
	action = schemas.Allow
	for _, d := range e.held {
		at := time.UnixMilli(r.Time)
		if at.Before(d.Time.Add(2*time.Second)) || !at.Before(d.Expires) {
			continue
		}
		if e.decides(&d, r) && d.Action.Severity() > action.Severity() {
			action = d.Action
		}
	}
	return action
}

// decides reports whether a request is what the decision is about.
func (e *edge) decides(d *schemas.Event, r *schemas.Request) bool {
	switch d.Scope {
	case schemas.ScopeSignature:
		return e.matches(e.signatures[d.ID], r)
	case schemas.ScopeScore:
		match, _ := adds(e.scores[d.ID], r, e.said(r), nil)
		return match
	}
	return d.Value == r.Client.String()
}

// know takes what is known of the site.
func (e *edge) know(_ time.Time, list *schemas.SiteList) { e.lists[list.Of] = list.Set() }

// matches is Signature.Match with what is known of the site.
func (e *edge) matches(s schemas.Signature, r *schemas.Request) bool {
	match, _ := matches(s, r, e.said(r), nil)
	return match
}

func (e *edge) said(r *schemas.Request) func(schemas.Listed) string {
	return func(of schemas.Listed) string {
		value, _ := of.Value(e.lists[of], r, nil)
		return value
	}
}

// run replays and tells what was done to each request.
func run(t testing.TB, p *Processor, batches []*schemas.Batch) (*edge, []schemas.Action) {
	t.Helper()
	e := newEdge()
	return e, e.run(p, batches)
}

func (e *edge) run(p *Processor, batches []*schemas.Batch) (verdicts []schemas.Action) {
	for _, b := range batches {
		p.Consume(b, func(row int, r *schemas.Request) schemas.Action {
			a := e.judge(row, r)
			verdicts = append(verdicts, a)
			return a
		}, e.take)
	}
	return verdicts
}

func make1(t testing.TB, o Options) *Processor {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const minute = int64(60_000)

// story is 50 ordinary minutes, then a botnet among the visitors.
func story(seed uint64) (*traffic, int64) {
	t := newTraffic(seed)
	t.people(0, 56*minute, 0.8)
	t.botnet(50*minute, 55*minute, 5000, 1700)
	return t, 50 * minute
}

// small asks for less knowledge than in production, so that tests are short, and puts no site
// on probation.
var small = Options{MinBaseline: 10 * time.Minute, MinClients: 100, Collateral: 0.01, Probation: -1}

func kinds(log []schemas.Event) (out []string) {
	for _, e := range log {
		if e.Decision == nil {
			out = append(out, fmt.Sprintf("%s %s %s", e.Type, e.Kind, strings.Join(e.Sites, ",")))
		}
	}
	return out
}

func isBot(r *schemas.Request) bool { return string(r.AcceptEncoding) == library.encoding }

func TestTheOpeningStory(t *testing.T) {
	for seed := range uint64(3) {
		tr, attack := story(seed)
		e, verdicts := run(t, make1(t, small), tr.batches(500))
		if len(e.log) == 0 || e.log[0].Type != schemas.IncidentOpened || e.log[0].Kind != schemas.Flood {
			t.Fatalf("seed %d: %v", seed, kinds(e.log))
		}
		if late := e.log[0].Time.Sub(time.UnixMilli(start + attack)); late < 0 || late > 20*time.Second {
			t.Errorf("seed %d: noticed after %s", seed, late)
		}
		if !strings.HasPrefix(e.log[0].Incident, "i26") || len(e.log[0].Signals) < 3 || e.log[0].Cause == "" {
			t.Errorf("seed %d: %+v", seed, e.log[0])
		}
		bots, blocked, touched := 0, 0, 0
		for i, a := range verdicts {
			r := &tr.rows[i]
			if !isBot(r) {
				if a != schemas.Allow {
					touched++
				}
			} else if r.Time > start+attack+minute {
				bots++
				if a == schemas.Block {
					blocked++
				}
			}
		}
		if float64(blocked) < 0.9*float64(bots) || touched > 3 {
			t.Errorf("seed %d: %d of %d bots blocked, %d requests of visitors touched", seed, blocked, bots, touched)
		}
		for _, d := range e.log {
			lasts := 10 * time.Minute
			if d.Decision != nil && d.Scope == schemas.ScopeClient {
				lasts *= scoredLives
			}
			if d.Decision != nil && d.Type == schemas.DecisionAdded &&
				(!strings.HasPrefix(d.ID, e.log[0].Incident+"-") || d.Evidence == nil || d.Origin != "weir" || d.Reason == "" ||
					!d.Expires.Equal(d.Time.Add(lasts)) || len(d.Sites) != 1) {
				t.Errorf("seed %d: %+v %+v", seed, d, d.Decision)
			}
		}
	}
}

func TestTheIncidentClosesAndDecisionsEnd(t *testing.T) {
	tr, _ := story(1)
	tr.people(56*minute, 90*minute, 0.8)
	e, _ := run(t, make1(t, small), tr.batches(500))
	if got := kinds(e.log); len(got) != 2 || !strings.HasPrefix(got[1], "incident.closed flood") {
		t.Errorf("%v", got)
	}
	if len(e.held) > 0 {
		t.Errorf("%d decisions are held 34 minutes after the attack", len(e.held))
	}
}

// TestVerdictsDependOnNothingLater: the events of a prefix are the prefix of the
// events, whatever the batches.
// pagesAttacked is an attack with all that a browser sends, for pages that there are not, on a
// site that answers everything with a page.
func pagesAttacked(seed uint64) (tr *traffic, begins int64) {
	tr = newTraffic(seed)
	begins = 15 * minute
	tr.people(0, begins+4*minute, 1.5)
	clients := make([]netip.Addr, 1200)
	for i := range clients {
		clients[i] = tr.client()
	}
	for i := range 3600 {
		p := browsers[tr.r.IntN(len(browsers))]
		tr.add(begins+tr.r.Int64N(3*minute), clients[i%len(clients)], &p, fmt.Sprintf("/page%d", 1000+tr.r.IntN(1_000_000)), "", false, 200)
	}
	return tr, begins
}

func isRandomPage(r *schemas.Request) bool {
	return len(r.Path) > len("/page999") && string(r.Path[:5]) == "/page"
}

// What nothing but the path sets apart is stopped by it: the pages that a site has are
// known from those that it served before, and an attack teaches it none.
func TestUnknownPathsAreStopped(t *testing.T) {
	tr, begins := pagesAttacked(5)
	lists := 0
	e := newEdge()
	o := small
	o.Known = func(at time.Time, list *schemas.SiteList) {
		e.know(at, list)
		lists++
		for _, path := range list.Entries {
			if len(path) > len("/page999") && path[:5] == "/page" {
				t.Fatalf("the attack's page %s is known", path)
			}
		}
	}
	batches := tr.batches(1000)
	actions := e.run(make1(t, o), batches)
	if lists == 0 {
		t.Fatal("no list of known paths was told")
	}
	var stopped, bots, touched, people int
	for i := range tr.rows {
		r := &tr.rows[i]
		switch {
		case r.Time < start+begins+60_000:
		case isRandomPage(r):
			if bots++; actions[i].Severity() > 0 {
				stopped++
			}
		default:
			if people++; actions[i].Severity() > 0 {
				touched++
			}
		}
	}
	if float64(stopped) < .95*float64(bots) || float64(touched) > .02*float64(people) {
		t.Errorf("%d of %d of the attack's requests stopped, %d of %d others", stopped, bots, touched, people)
	}
	if !slices.ContainsFunc(e.log, func(x schemas.Event) bool {
		return x.Type == schemas.DecisionAdded && strings.Contains(x.Value, "path_known")
	}) {
		t.Error("no decision asks whether a path is known")
	}
}

func TestVerdictsDependOnNothingLater(t *testing.T) {
	tr, _ := story(1)
	whole, verdicts := run(t, make1(t, small), tr.batches(500))
	n := len(tr.rows) * 97 / 100
	tr.rows = tr.rows[:n]
	part, first := run(t, make1(t, small), tr.batches(333))
	for i := range first {
		if first[i] != verdicts[i] {
			t.Fatalf("row %d: %s alone, %s in the whole", i, first[i], verdicts[i])
		}
	}
	a, b := lines(t, part.log), lines(t, whole.log)
	if len(a) < 2 || !strings.HasPrefix(strings.Join(b, "\n"), strings.Join(a, "\n")) {
		t.Errorf("%d events alone are not the first of the %d of the whole", len(a), len(b))
	}
}

func lines(t testing.TB, log []schemas.Event) (out []string) {
	t.Helper()
	for _, e := range log {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

func TestInnocentCrowdsAndQuietHours(t *testing.T) {
	quiet := newTraffic(5)
	quiet.people(0, 90*minute, 0.8)
	crowd := newTraffic(6)
	crowd.people(0, 60*minute, 0.8)
	crowd.crowd(50*minute, 55*minute, 2500)
	for name, tr := range map[string]*traffic{"quiet": quiet, "crowd": crowd} {
		e, _ := run(t, make1(t, small), tr.batches(500))
		for _, event := range e.log {
			if event.Decision != nil || event.Kind.Attack() {
				t.Errorf("%s: %s %s %+v", name, event.Type, event.Kind, event.Decision)
			}
		}
		if name == "quiet" && len(e.log) > 0 {
			t.Errorf("quiet: %v", kinds(e.log))
		}
	}
}

func TestNoDecisionWhileYoungOrLearning(t *testing.T) {
	for name, o := range map[string]Options{
		"young": {MinBaseline: 2 * time.Hour, MinClients: 100}, "learning": {MinBaseline: 10 * time.Minute, MinClients: 100, LearnOnly: true},
	} {
		tr, _ := story(1)
		e, _ := run(t, make1(t, o), tr.batches(500))
		if len(e.log) == 0 {
			t.Errorf("%s: no incident", name)
		}
		for _, event := range e.log {
			if event.Decision != nil {
				t.Errorf("%s: %+v", name, event.Decision)
			}
		}
	}
}

// TestStoppedRequestsAreNeverLearned: what an edge stopped must not become normal.
func TestStoppedRequestsAreNeverLearned(t *testing.T) {
	tr := newTraffic(1)
	tr.people(0, 30*minute, 0.8)
	p := make1(t, small)
	for _, b := range tr.batches(500) {
		p.Consume(b, func(int, *schemas.Request) schemas.Action { return schemas.Block }, func(schemas.Event) {})
	}
	if s := p.Sites(); s[0].Clients != 0 {
		t.Errorf("%d normal clients learned of nothing but stopped requests", s[0].Clients)
	}
}

func TestHostsAreBounded(t *testing.T) {
	p := make1(t, Options{MaxSites: 10})
	tr := newTraffic(1)
	for i := range 500 {
		tr.site = fmt.Sprintf("host%d.example.org", i)
		tr.add(int64(i*100), tr.client(), &tool, "/", "", false, 200)
	}
	run(t, p, tr.batches(100))
	sites := p.Sites()
	if len(sites) != 10 || sites[9].Name != Other || sites[9].Requests != 491 {
		t.Errorf("%d sites, the last %+v", len(sites), sites[len(sites)-1])
	}
}

func TestClocksThatJump(t *testing.T) {
	p := make1(t, Options{})
	tr := newTraffic(1)
	for _, at := range []int64{0, 10_000, -3_600_000, 20_000, 10 * 365 * 24 * 60 * minute, 30_000, -start} {
		tr.add(at, tr.client(), &tool, "/", "", false, 200)
	}
	b := schemas.NewBuilder("edge", "source")
	for i := range tr.rows {
		b.Append(&tr.rows[i])
	}
	p.Consume(b.Batch(), nil, func(e schemas.Event) { t.Errorf("%+v", e) })
	if got := p.Sites()[0].Requests; got != 7 {
		t.Errorf("%d requests counted, want 7", got)
	}
}

func TestAllowedClientsAreNeverDecidedAgainst(t *testing.T) {
	tr := newTraffic(3)
	tr.people(0, 56*minute, 0.8)
	hammer := netip.MustParseAddr("192.0.2.7")
	for i := range 60_000 {
		tr.add(50*minute+int64(i)*5, hammer, &browsers[0], "/page1", "", false, 200)
	}
	tr.botnet(50*minute, 55*minute, 5000, 1700)
	o := small
	o.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	e, _ := run(t, make1(t, o), tr.batches(500))
	for _, event := range e.log {
		if event.Decision != nil && event.Value == hammer.String() {
			t.Errorf("%s %s against an allowed client", event.Type, event.ID)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{
		{Lateness: time.Minute}, {Lateness: -1}, {TTL: time.Second}, {Collateral: 0.9}, {Collateral: -1}, {MinBaseline: -1},
		{MinClients: -1}, {MaxSites: -1}, {MaxClients: 5}, {SampleClients: 5},
	} {
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "processor: ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	o := small
	o.Registerer = r
	p := make1(t, o)
	tr, _ := story(1)
	run(t, p, tr.batches(500))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			sums[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if sums["weir_processor_requests_total"] != float64(len(tr.rows)) || sums["weir_processor_sites"] != 1 ||
		sums["weir_processor_incidents_total"] != 1 || sums["weir_processor_decisions_total"] == 0 {
		t.Errorf("%v for %d requests", sums, len(tr.rows))
	}
	if _, err := New(o); err == nil {
		t.Error("the same metrics were registered twice")
	}
}

// TestOneWrongClock holds that a single request of the year 2100, or two, neither end
// windows nor make what follows late; four in a row are believed.
func TestOneWrongClock(t *testing.T) {
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC).UnixMilli()
	future := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	at := func(times ...int64) {
		b := schemas.NewBuilder("edge", "test")
		for _, ms := range times {
			b.Append(&schemas.Request{Time: ms, Site: []byte("a.example"), Client: netip.MustParseAddr("192.0.2.1"), Path: []byte("/")})
		}
		p.Consume(b.Batch(), nil, func(schemas.Event) {})
	}
	at(start, future, start+1000, future, future, future-1, start+2000, start+62000, start+3000)
	if p.counter.latest != start+3000 {
		t.Errorf("three requests of 2100 moved the clock to %s", time.UnixMilli(p.counter.latest).UTC())
	}
	at(future, future+1, future+2, future+3)
	if p.counter.latest != future+3 {
		t.Errorf("four in a row were not believed: the clock is at %s", time.UnixMilli(p.counter.latest).UTC())
	}
}

// TestRewindUsesABaselineOnAnEarlierLog learns from one time and sees an earlier one.
func TestRewindUsesABaselineOnAnEarlierLog(t *testing.T) {
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)
	feed := func(from time.Time) {
		b := schemas.NewBuilder("edge", "test")
		for i := range 600 {
			b.Append(&schemas.Request{Time: from.Add(time.Duration(i) * time.Second).UnixMilli(), Site: []byte("a.example"),
				Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Path: []byte("/"), Status: 200})
		}
		p.Consume(b.Batch(), nil, func(schemas.Event) {})
	}
	feed(later)
	learned := p.Sites()[0].Learned
	if learned == 0 {
		t.Fatal("nothing was learned: the test shows nothing")
	}
	p.Rewind()
	feed(later.Add(-24 * time.Hour))
	if again := p.Sites()[0].Learned; again < learned+learned/2 {
		t.Errorf("learned from %s and then from %s: an earlier log teaches nothing", learned, again)
	}
}
