package attribute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

var agents = []string{"Firefox/140", "Firefox/141", "Chrome/140", "Chrome/141", "Chrome/142", "Safari/18", "Edge/140"}

// visitors come for the span: pages with assets, first without cookie and referer.
func visitors(s *Sample, r *rand.Rand, n int, span time.Duration) {
	for range n {
		c, agent, encoding := r.Uint32(), agents[r.IntN(len(agents))], "gzip, br"
		switch r.IntN(40) {
		case 0:
			agent, encoding = "feed reader", "gzip"
		case 1:
			agent, encoding = "curl", ""
		}
		s.take(request(c, agent, encoding, fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone))
		for range r.IntN(4) {
			s.take(request(c, agent, encoding, fmt.Sprintf("/page%d", r.IntN(30)), "https://www.example.org/", schemas.CookieSome))
			s.take(request(c, agent, encoding, "/style.css", "https://www.example.org/", schemas.CookieSome))
		}
	}
	s.Span = span
}

// bots claim a visitor's agent and have a library's encodings.
func bots(s *Sample, r *rand.Rand, n int, encoding string) {
	for range n {
		s.take(request(r.Uint32(), agents[r.IntN(len(agents))], encoding, fmt.Sprintf("/%x/%d", r.Uint32(), r.IntN(99)), "", schemas.CookieNone))
	}
}

func samples(seed uint64) (normal, suspect *Sample, r *rand.Rand) {
	x := NewExtractor(seed)
	r = rand.New(rand.NewPCG(seed, 1))
	normal, suspect = NewSample(x, 1<<16), NewSample(x, 4096)
	visitors(normal, r, 4000, 4000*time.Second)
	visitors(suspect, r, 60, time.Minute)
	return normal, suspect, r
}

func matches(measures []Measure, r *schemas.Request) bool {
	for _, m := range measures {
		if m.Action != schemas.Block {
			continue
		}
		if ok, _ := m.Signature.Match(r, nil); ok {
			return true
		}
	}
	return false
}

func TestFindsWhatSetsTheBotsApart(t *testing.T) {
	for seed := range uint64(4) {
		normal, suspect, r := samples(seed)
		bots(suspect, r, 600, "gzip, deflate")
		suspect.Span = time.Minute
		measures := Analyse(normal, suspect, Budget{Site: "www.example.org"})
		if len(measures) == 0 {
			t.Fatalf("seed %d: nothing found", seed)
		}
		fresh := NewSample(normal.x, 4096)
		stopped, touched := 0, 0
		for range 1000 {
			if matches(measures, request(r.Uint32(), agents[r.IntN(len(agents))], "gzip, deflate", fmt.Sprintf("/%x/%d", r.Uint32(), r.IntN(99)), "", schemas.CookieNone)) {
				stopped++
			}
			if matches(measures, request(r.Uint32(), agents[r.IntN(len(agents))], "gzip, br", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone)) {
				touched++
			}
		}
		_ = fresh
		if stopped < 950 || touched > 5 {
			t.Errorf("seed %d: stops %d of 1000 bots, touches %d of 1000 visitors: %v", seed, stopped, touched, measures)
		}
		e := measures[0].Evidence
		if e == nil || len(e.Traits) == 0 || len(e.Samples) == 0 || len(e.Nearest) == 0 || e.SQL == "" || e.RiskRatio < 2 || e.AttackShare < 0.3 {
			t.Errorf("seed %d: thin evidence %+v", seed, e)
		}
	}
}

// TestTheLastHundredth: a signature is narrowed to what nearly all of an attack's requests have, since machines of normal times
// have part of it. What one hundredth of the requests have instead is blocked, too, where it cannot be there by chance.
func TestTheLastHundredth(t *testing.T) {
	const odd = "gzip, compress"
	for seed := range uint64(4) {
		normal, suspect, r := samples(seed)
		for range 100 {
			normal.take(request(r.Uint32(), "monitor", odd, "/page1", "", schemas.CookieNone))
		}
		normal.Span = 4000 * time.Second
		bots(suspect, r, 1200, odd)
		last := func() *schemas.Request {
			return request(r.Uint32(), "Safari/18", odd, fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone)
		}
		for range 15 {
			suspect.take(last())
		}
		suspect.Span = time.Minute
		measures := Analyse(normal, suspect, Budget{})
		if !matches(measures, last()) {
			t.Errorf("seed %d: the last hundredth is not blocked: %v", seed, measures)
		}
		if matches(measures, request(r.Uint32(), "monitor", odd, "/page1", "", schemas.CookieNone)) {
			t.Errorf("seed %d: a monitor is blocked", seed)
		}
	}
}

// TestNoRefererIsATrap: bots that differ from newcomers in nothing but the number of
// them must not be stopped by what newcomers share.
// TestADrowningSiteLogsNoMoreThanUsual: the log's rate is the normal one, as the site answers
// no more than that, but the clients are far more.
func TestADrowningSiteLogsNoMoreThanUsual(t *testing.T) {
	normal, suspect, r := samples(1)
	bots(suspect, r, 600, "gzip, deflate")
	suspect.Span = time.Minute
	usual := suspect.Requests / suspect.Span.Seconds()
	if len(Analyse(normal, suspect, Budget{NormalRate: usual})) == 0 {
		t.Error("nothing is decided on bots that bring a site down to its usual rate")
	}
}

func TestNoRefererIsATrap(t *testing.T) {
	for seed := range uint64(4) {
		normal, suspect, r := samples(seed)
		for range 600 { // browsers to the last header, real pages
			suspect.take(request(r.Uint32(), agents[r.IntN(len(agents))], "gzip, br", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone))
		}
		suspect.Span = time.Minute
		for _, m := range Analyse(normal, suspect, Budget{}) {
			if m.Action == schemas.Block || m.Action == schemas.Challenge {
				t.Errorf("seed %d: %s %s", seed, m.Action, m.Value)
			}
		}
	}
}

func TestNoExcessNoMeasure(t *testing.T) {
	for seed := range uint64(4) {
		normal, suspect, r := samples(seed)
		bots(suspect, r, 5, "gzip, deflate")
		suspect.Span = time.Minute
		if measures := Analyse(normal, suspect, Budget{}); len(measures) > 0 {
			t.Errorf("seed %d: %v", seed, measures)
		}
	}
}

func TestTooFewVisitorsToCertifyAsksForAChallenge(t *testing.T) {
	x := NewExtractor(1)
	r := rand.New(rand.NewPCG(1, 1))
	normal, suspect := NewSample(x, 4096), NewSample(x, 4096)
	visitors(normal, r, 110, 400*time.Second)
	visitors(suspect, r, 30, time.Minute)
	bots(suspect, r, 900, "gzip, deflate")
	suspect.Span = time.Minute
	measures := Analyse(normal, suspect, Budget{})
	if len(measures) == 0 {
		t.Fatal("nothing found")
	}
	for _, m := range measures {
		if m.Action != schemas.Challenge || m.Collateral <= 0.005 {
			t.Errorf("%s %s with collateral %.4f of %d", m.Action, m.Value, m.Collateral, m.CollateralClients)
		}
	}
	if few := Analyse(normal, suspect, Budget{MinClients: 500}); len(few) > 0 {
		t.Errorf("with 110 of 500 clients known: %v", few)
	}
}

func TestInForceIsNotProposedAgain(t *testing.T) {
	normal, suspect, r := samples(1)
	bots(suspect, r, 600, "gzip, deflate")
	suspect.Span = time.Minute
	var budget Budget
	for _, m := range Analyse(normal, suspect, budget) {
		budget.InForce = append(budget.InForce, m.Signature)
	}
	if again := Analyse(normal, suspect, budget); len(again) > 0 {
		t.Errorf("proposed beside %v: %v", budget.InForce, again)
	}
}

func TestOneHeavyClient(t *testing.T) {
	normal, suspect, _ := samples(1)
	hammer := request(77, agents[0], "gzip, br", "/page1", "", schemas.CookieNone)
	for range 3000 {
		suspect.take(hammer)
	}
	suspect.Span = time.Minute
	found := false
	for _, m := range Analyse(normal, suspect, Budget{}) {
		if m.Scope == schemas.ScopeClient && m.Value == hammer.Client.String() {
			found = true
		} else {
			t.Errorf("%s %s", m.Scope, m.Value)
		}
	}
	if !found {
		t.Error("the client with 3000 requests is not named")
	}
	spare := func(a netip.Addr) bool { return a == hammer.Client }
	if left := Analyse(normal, suspect, Budget{Spare: spare}); len(left) > 0 {
		t.Errorf("%s %s, though its address is spared", left[0].Scope, left[0].Value)
	}
}

func TestTheSameInputTheSameMeasures(t *testing.T) {
	var first string
	for range 3 {
		normal, suspect, r := samples(2)
		bots(suspect, r, 600, "gzip, deflate")
		suspect.Span = time.Minute
		text := ""
		for _, m := range Analyse(normal, suspect, Budget{}) {
			text += fmt.Sprintf("%s %s %v %+v\n", m.Action, m.Value, m.Collateral, m.Evidence)
		}
		if first == "" {
			first = text
		}
		if text != first {
			t.Fatalf("now\n%s\nbefore\n%s", text, first)
		}
	}
}

func BenchmarkAnalyse(b *testing.B) {
	normal, suspect, r := samples(1)
	bots(suspect, r, 2000, "gzip, deflate")
	suspect.Span = time.Minute
	b.ReportAllocs()
	for range b.N {
		Analyse(normal, suspect, Budget{})
	}
}

// TestScannersAreNobodysVisitors: background noise with the botnet's library, which
// meets nothing but 404, is no reason to spare the botnet.
func TestScannersAreNobodysVisitors(t *testing.T) {
	normal, suspect, r := samples(3)
	span := normal.Span
	for range 120 {
		c := r.Uint32()
		for range 6 {
			q := request(c, agents[r.IntN(len(agents))], "gzip, deflate", fmt.Sprintf("/%x/%d", r.Uint32(), r.IntN(99)), "", schemas.CookieNone)
			q.Status = 404
			normal.take(q)
		}
	}
	normal.Span = span
	bots(suspect, r, 600, "gzip, deflate")
	suspect.Span = time.Minute
	stops := 0.0
	for _, m := range Analyse(normal, suspect, Budget{}) {
		if m.Action == schemas.Block {
			stops += m.Stops
		}
	}
	if stops < 0.9 {
		t.Errorf("stops %.2f of the attack", stops)
	}
}

// TestWhoeverComesDuringAnAttackIsNotTheAttack: a crawler that the site has not seen
// before, with some of the bots' common traits, is left alone.
func TestWhoeverComesDuringAnAttackIsNotTheAttack(t *testing.T) {
	for seed := range uint64(4) {
		normal, suspect, r := samples(seed)
		bots(suspect, r, 900, "gzip, deflate")
		crawler := func() *schemas.Request {
			return request(r.Uint32N(6), "new crawler", "gzip, br", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone)
		}
		for range 15 {
			suspect.take(crawler())
		}
		suspect.Span = time.Minute
		if measures := Analyse(normal, suspect, Budget{}); matches(measures, crawler()) || len(measures) == 0 {
			t.Errorf("seed %d: %v", seed, measures)
		}
	}
}

// TestWhatIsToBeExpectedIsLessThanTheBound: what blocks is certified within the budget, and what is to be expected of it, with whom nobody was seen to be,
// within a part of it, the smaller of the few clients that a young site knows. Beyond that it asks.
func TestWhatIsToBeExpectedIsLessThanTheBound(t *testing.T) {
	normal, suspect, r := samples(6)
	bots(suspect, r, 900, "identity")
	a := newAnalysis(normal, suspect, Budget{}.withDefaults())
	items := itemsOf(a.x, schemas.Signature{{Trait: schemas.TraitAcceptEncoding, Value: "identity"}})
	rows, own := a.suspect.match(items), a.normal.match(items)
	for _, c := range []struct {
		known int
		doubt float64 // share of the people
		ok    bool
	}{{2400, 0, true}, {2400, .0015, true}, {2400, .0025, false}, {2400, .0045, false}, {2600, .0025, true}, {2600, .003, true}, {2600, .004, false}} {
		a.choose0.all = c.known - a.calibrate0.all
		n := float64(c.known)
		a.doubt, a.share, a.soft = c.doubt*n, a.budget.Collateral, false
		if action, doubt, ok := a.action(items, rows, own, own); ok != c.ok {
			t.Errorf("with %.4f doubted, %.4f in all: %s, %t", c.doubt, doubt/n, action, ok)
		}
		a.share, a.soft = a.budget.Soft, true
		if _, _, ok := a.action(items, rows, own, own); !ok {
			t.Errorf("with %.4f doubted it may not even ask", c.doubt)
		}
	}
}
