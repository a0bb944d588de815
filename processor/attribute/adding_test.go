package attribute

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// usually is how likely somebody who is no bot is odd in one thing.
const usually = .07

// weakly is a request of which many traits each tell a little: every one is odd with a chance of its own.
func weakly(r *rand.Rand, client uint32, odd float64) *schemas.Request {
	of := func(usual, other string) string {
		if r.Float64() < odd {
			return other
		}
		return usual
	}
	q := request(client, agents[r.IntN(len(agents))], of("gzip, br", "gzip"), of("/page", "/list")+fmt.Sprint(r.IntN(30)), "", schemas.CookieNone)
	q.AcceptLanguage, q.Protocol = []byte(of("en", "en-US,en")), []byte(of("HTTP/2.0", "HTTP/1.1"))
	q.TLS = []byte(of("TLSv1.3 TLS_AES_128_GCM_SHA256 X25519", "TLSv1.2 ECDHE P-256"))
	if of("", "x") == "x" {
		q.Query = []byte("page=2&sort=name")
	}
	if of("", "x") == "x" {
		q.Referer = []byte("https://search.example/")
	}
	if of("", "x") == "x" {
		q.Cookie = schemas.CookieSome
	}
	q.Method = []byte(of("GET", "HEAD"))
	return q
}

// weakAttack is a site whose people are seldom odd in anything, and bots that often are in each.
func weakAttack(seed uint64, people int) (normal, suspect *Sample, r *rand.Rand) {
	x := NewExtractor(seed)
	r = rand.New(rand.NewPCG(seed, 3))
	normal, suspect = NewSample(x, 1<<16), NewSample(x, 4096)
	for range people {
		normal.take(weakly(r, r.Uint32(), usually))
	}
	normal.Span = time.Duration(people) * time.Second
	for range 60 {
		suspect.take(weakly(r, r.Uint32(), usually))
	}
	for range 900 {
		suspect.take(weakly(r, r.Uint32(), .6))
	}
	suspect.Span = time.Minute
	return normal, suspect, r
}

// reached is how many of so many requests measures stop.
func reached(measures []Measure, r *rand.Rand, n int, odd float64) (stopped int) {
	for range n {
		if stops(measures, weakly(r, r.Uint32(), odd)) {
			stopped++
		}
	}
	return stopped
}

// stops reports whether a measure on requests matches one.
func stops(measures []Measure, q *schemas.Request) bool {
	return slices.ContainsFunc(measures, func(m Measure) bool {
		ok := false
		switch m.Scope {
		case schemas.ScopeSignature:
			ok, _ = m.Signature.Match(q, nil)
		case schemas.ScopeScore:
			ok, _ = m.Score.Match(q, nil)
		}
		return ok
	})
}

// TestWeakFactsAddUp: what no three traits tell is told by many, at sites with few people and with many, and fresh
// people are touched no more than the budget says.
func TestWeakFactsAddUp(t *testing.T) {
	for _, people := range []int{400, 4000} {
		touched, stopped, before, none := 0, 0, 0, 0
		for seed := range uint64(6) {
			normal, suspect, r := weakAttack(seed, people)
			without := Analyse(normal, suspect, Budget{})
			with := Analyse(normal, suspect, Budget{MaxScores: 4})
			if !slices.ContainsFunc(with, func(m Measure) bool { return m.Scope == schemas.ScopeScore }) {
				none++ // signatures left little
			}
			before += reached(without, r, 1000, .6)
			stopped += reached(with, r, 1000, .6)
			touched += reached(with, r, 2000, usually)
			for _, m := range with {
				if m.Scope == schemas.ScopeScore && m.Action != schemas.Challenge {
					t.Errorf("%d people, seed %d: a score is to %s", people, seed, m.Action)
				}
				if m.Scope == schemas.ScopeScore {
					checkScore(t, normal, &m)
				}
			}
		}
		t.Logf("%d people: of 6000 bots %d are stopped, %d without scores, of 12000 people %d; on %d of 6 seeds no score", people, stopped, before, touched, none)
		if none > 2 || stopped < before+60 {
			t.Errorf("%d people: of 6000 bots %d are stopped, %d without scores", people, stopped, before)
		}
		if touched > 180 {
			t.Errorf("%d people: of 12000 fresh people %d are touched, at most 1.5 %% may be", people, touched)
		}
	}
}

// checkScore holds a score's measure to what it says.
func checkScore(t *testing.T, normal *Sample, m *Measure) {
	t.Helper()
	back, err := schemas.ParseScore(m.Value)
	if err != nil || back.String() != m.Score.String() {
		t.Errorf("%s: %v", m.Value, err)
	}
	// What the edge computes on the people who were asked touches none who were not charged.
	match, charged := normal.x.matcher(Rule{Score: m.Score}), make(map[uint64]bool)
	for _, id := range m.Touches {
		charged[id] = true
	}
	for i := range normal.clients {
		c := &normal.clients[i]
		from := networksOf(c.addr)
		for at := c.head; at >= 0; at = normal.rows[at].next {
			traits := normal.rows[at].traits
			if normal.x.resolve(&traits, nil, c.id); match(&traits, &from) && !charged[c.id] {
				t.Errorf("a client is touched that was not charged: %s", m.Value)
			}
		}
	}
	if m.Collateral > softBound*SoftTimes*.005 {
		t.Errorf("it touches %.4f", m.Collateral)
	}
	e := m.Evidence
	for _, told := range e.Traits {
		if told.Normal > .9 && told.Bits > 1 {
			t.Errorf("what nearly everybody has says %.1f bits: %+v", told.Bits, told)
		}
	}
	if len(e.Traits) == 0 || len(e.Samples) == 0 || len(e.Nearest) == 0 || !strings.Contains(e.SQL, "transform(toString(accept_encoding)") || e.RiskRatio < 2 {
		t.Errorf("thin evidence: %+v", e)
	}
}

// TestNoScoreOfWhatEverybodyIs: bots that are what people are, but for saying all the same of these, make no score touch
// everybody who says that.
func TestNoScoreOfWhatEverybodyIs(t *testing.T) {
	for seed := range uint64(4) {
		normal, suspect, r := weakAttack(seed, 2000)
		suspect.Reset()
		for range 900 {
			q := weakly(r, r.Uint32(), usually)
			q.UserAgent = []byte(agents[0])
			suspect.take(q)
		}
		suspect.Span = time.Minute
		for _, m := range Analyse(normal, suspect, Budget{MaxScores: 4}) {
			if m.Scope != schemas.ScopeScore {
				continue
			}
			touched := 0
			for range 2000 {
				q := weakly(r, r.Uint32(), usually)
				q.UserAgent = []byte(agents[0])
				if ok, _ := m.Score.Match(q, nil); ok {
					touched++
				}
			}
			if touched > 2000/5 { // one in seven says so: a budget of 3 % is a fifth of them at most
				t.Errorf("seed %d: %d of 2000 who say so are touched: %s", seed, touched, m.Value)
			}
		}
	}
}

// TestAMinorityPaysNoMoreThanTheBudget: half of the bots, or all, copy what one or two visitors in a hundred are, so that its
// traits come to many points. The budget is of all people: they pay no more than it, and that is a part of such a minority.
func TestAMinorityPaysNoMoreThanTheBudget(t *testing.T) {
	for _, c := range []struct{ copied, rare float64 }{{.5, .01}, {.5, .02}, {1, .01}, {1, .02}} {
		people, of, touched, blocked, blockedOf, scores := 0, 0, 0, 0, 0, 0
		for seed := range uint64(6) {
			r := rand.New(rand.NewPCG(seed, 9))
			draw := func(odd, rare float64) (*schemas.Request, bool) {
				q, is := weakly(r, r.Uint32(), odd), r.Float64() < rare
				if is {
					q.AcceptLanguage = []byte("cy")
				}
				return q, is
			}
			normal, suspect := NewSample(NewExtractor(seed), 1<<16), NewSample(NewExtractor(seed), 4096)
			for range 800 {
				q, _ := draw(usually, c.rare)
				normal.take(q)
			}
			for range 900 {
				q, _ := draw(.6, c.copied)
				suspect.take(q)
			}
			normal.Span, suspect.Span = 800*time.Second, time.Minute
			measures := Analyse(normal, suspect, Budget{MaxScores: 4})
			blocks := slices.DeleteFunc(slices.Clone(measures), func(m Measure) bool { return m.Action != schemas.Block })
			for _, m := range measures {
				if m.Scope == schemas.ScopeScore {
					scores++
				}
			}
			for range 4000 {
				people++
				q, is := draw(usually, c.rare)
				if is {
					of++
				}
				if stops(measures, q) {
					touched++
				}
				if stops(blocks, q) {
					if blocked++; is {
						blockedOf++
					}
				}
			}
		}
		t.Logf("%.0f %% of the bots copy %.0f %% of the people: of %d people %d are touched, %d blocked; of the %d who are copied %d (%.0f %%)",
			100*c.copied, 100*c.rare, people, touched, blocked, of, blockedOf, 100*float64(blockedOf)/float64(of))
		if c.copied < 1 && scores == 0 || 200*blocked > people || 1000*touched > 15*people {
			t.Errorf("%d scores: of %d people %d are touched, at most 1.5 %% may be, and %d blocked, at most 0.5 %%", scores, people, touched, blocked)
		}
	}
}

// TestAScoreSparesWhomItHurt: nobody is matched for whom another was lifted.
func TestAScoreSparesWhomItHurt(t *testing.T) {
	normal, suspect, r := weakAttack(1, 4000)
	people := NewSample(normal.x, 64)
	hurt := make([]*schemas.Request, 3)
	for i := range hurt {
		hurt[i] = weakly(r, r.Uint32(), .9)
		people.take(hurt[i])
	}
	for _, m := range Analyse(normal, suspect, Budget{MaxScores: 4, Hurt: Hurt{People: people}}) {
		for _, q := range hurt {
			if m.Score != nil {
				if ok, _ := m.Score.Match(q, nil); ok {
					t.Errorf("it matches somebody who was hurt: %s", m.Value)
				}
			}
		}
	}
}

// TestScoresInForceCount: what one stops needs no further one, and whom it touches counts.
func TestScoresInForceCount(t *testing.T) {
	normal, suspect, _ := weakAttack(2, 4000)
	budget := Budget{MaxScores: 4}
	first := Analyse(normal, suspect, budget)
	for _, m := range first {
		switch {
		case m.Scope == schemas.ScopeSignature && m.Action == schemas.Block:
			budget.InForce = append(budget.InForce, m.Signature)
		case m.Scope == schemas.ScopeSignature:
			budget.Softly = append(budget.Softly, m.Signature)
		case m.Scope == schemas.ScopeScore:
			budget.Scores = append(budget.Scores, ScoreInForce{m.Score, m.Touches})
		}
	}
	for _, m := range Analyse(normal, suspect, budget) {
		if m.Scope == schemas.ScopeScore {
			t.Errorf("another score beside %d that were just taken: %s", len(first), m.Value)
		}
	}
	a := newAnalysis(normal, suspect, budget.withDefaults())
	a.coverScores(budget.Scores)
	charged := a.normal.clientsOf(a.charged)
	for _, s := range budget.Scores {
		if len(s.Touches) == 0 {
			t.Error("a score that touches nobody shows nothing")
		}
		for _, id := range s.Touches {
			if !charged[id] {
				t.Errorf("client %x, whom a score in force touches, does not count", id)
			}
		}
	}
	if len(budget.Scores) == 0 {
		t.Error("no score")
	}
}

// TestWhatAsksIsCertifiedAnew: measures fit as they were taken, for sites young and old, and no more once so many of the normal clients
// are as the bots are.
func TestWhatAsksIsCertifiedAnew(t *testing.T) {
	scored := 0
	for _, people := range []int{400, 4000} {
		for seed := range uint64(4) {
			normal, suspect, r := weakAttack(seed+1, people)
			var blocks, softly []schemas.Signature
			var scores []ScoreInForce
			for _, m := range Analyse(normal, suspect, Budget{MaxScores: 4}) {
				switch {
				case m.Scope == schemas.ScopeSignature && m.Action == schemas.Block:
					blocks = append(blocks, m.Signature)
				case m.Scope == schemas.ScopeSignature:
					softly = append(softly, m.Signature)
				case m.Scope == schemas.ScopeScore:
					scores = append(scores, ScoreInForce{m.Score, m.Touches})
				}
			}
			if len(scores) == 0 { // signatures left little
				continue
			}
			scored++
			if !FitsSoftly(normal, suspect, blocks, softly, scores, Budget{}) {
				t.Errorf("%d people, seed %d: what was just taken does not fit", people, seed)
			}
			for range people / 10 {
				normal.take(weakly(r, r.Uint32(), .6))
			}
			if FitsSoftly(normal, suspect, blocks, softly, scores, Budget{}) || FitsSoftly(normal, suspect, nil, nil, scores, Budget{}) {
				t.Errorf("%d people, seed %d: it fits although one in eleven of the normal clients is as bots are", people, seed)
			}
		}
	}
	if scored < 6 {
		t.Errorf("of eight attacks %d have a score", scored)
	}
}

// TestLearningIsTheSameEachTime: maps have no order, and a replay twice must decide the same.
func TestLearningIsTheSameEachTime(t *testing.T) {
	text := ""
	for range 3 {
		normal, suspect, _ := weakAttack(3, 1000)
		now := ""
		for _, m := range Analyse(normal, suspect, Budget{MaxScores: 4}) {
			now += string(m.Action) + " " + m.Value + "\n"
		}
		if text != "" && now != text {
			t.Fatalf("%s\nthen\n%s", text, now)
		}
		text = now
	}
}

func BenchmarkLearn(b *testing.B) {
	normal, suspect, _ := weakAttack(1, 8000)
	a := newAnalysis(normal, suspect, Budget{}.withDefaults())
	for b.Loop() {
		a.learn()
	}
}

// TestAScoreTakesTheirPlace: signatures that were taken when the suspects were too few to learn from give way to a
// score that stops much more.
func TestAScoreTakesTheirPlace(t *testing.T) {
	before, after, touched, taken := 0, 0, 0, 0
	for seed := range uint64(6) {
		normal, suspect, r := weakAttack(seed, 400)
		early := NewSample(normal.x, 4096)
		for range 150 {
			early.take(weakly(r, r.Uint32(), .6))
		}
		early.Span = suspect.Span
		budget := Budget{MaxScores: 4}
		first := Analyse(normal, early, budget)
		for _, m := range first {
			switch {
			case m.Score != nil:
				t.Fatalf("seed %d: a score of %d suspects", seed, early.Len())
			case m.Action == schemas.Block:
				budget.InForce = append(budget.InForce, m.Signature)
			default:
				budget.Softly = append(budget.Softly, m.Signature)
			}
		}
		if len(budget.Softly) == 0 {
			t.Fatalf("seed %d: no signature asks", seed)
		}
		now := Analyse(normal, suspect, budget)
		in := slices.ContainsFunc(now, func(m Measure) bool { return m.Instead })
		if in {
			taken++
		}
		for _, m := range first {
			if m.Action == schemas.Block || !in {
				now = append(now, m)
			}
		}
		before += reached(first, r, 1000, .6)
		after += reached(now, r, 1000, .6)
		touched += reached(now, r, 2000, usually)
	}
	t.Logf("%d times: of 6000 bots %d are stopped at first and %d then, of 12000 people %d", taken, before, after, touched)
	// Two in a hundred may be asked, with those of busier hours; within half of the budget one of the six scores would be.
	if taken < 4 || after < before+600 || touched > 240 {
		t.Errorf("%d times: of 6000 bots %d are stopped at first and %d then, of 12000 people %d", taken, before, after, touched)
	}
}

// TestBrowsersAreAskedAndNotBlocked: where the attack's clients are browsers nothing is blocked by what a request is, and what asks has the
// budget of both, when it is taken and when it is renewed.
func TestBrowsersAreAskedAndNotBlocked(t *testing.T) {
	x, r := NewExtractor(7), rand.New(rand.NewPCG(7, 7))
	normal, suspect := NewSample(x, 1<<16), NewSample(x, 1<<16)
	for range 4000 {
		normal.take(request(r.Uint32(), "Chrome/140", "gzip, br", "/", "", schemas.CookieNone))
	}
	normal.Span = time.Hour
	bots(suspect, r, 300, "gzip")
	for _, browsers := range []bool{false, true} {
		blocks, asks := 0, 0
		for _, m := range Analyse(normal, suspect, Budget{Browsers: browsers}) {
			switch m.Action {
			case schemas.Block:
				blocks++
			default:
				asks++
			}
		}
		if blocks > 0 == browsers || asks > 0 != browsers {
			t.Errorf("of browsers: %t: %d block, %d ask", browsers, blocks, asks)
		}
		armed := blocking(t, normal, suspect)
		for _, m := range Recall(normal, suspect, armed, Budget{Browsers: browsers}).Measures {
			if m.Action == schemas.Block == browsers {
				t.Errorf("of browsers: %t: what is armed is to %s", browsers, m.Action)
			}
		}
		a := newAnalysis(normal, suspect, Budget{Browsers: browsers}.withDefaults())
		a.share, a.soft = a.budget.Soft, true
		for at := range a.normal.rows { // 1.75 %
			if a.normal.owner[at]%400 < 7 {
				a.charged[at/64] |= 1 << (at % 64)
			}
		}
		if a.affords(a.charged, 1) {
			t.Errorf("of browsers: %t: a score may touch 1.75 %%", browsers)
		}
	}
}

// blocking is what blocks the suspects where they are none of browsers.
func blocking(t *testing.T, normal, suspect *Sample) (armed []schemas.Signature) {
	for _, m := range Analyse(normal, suspect, Budget{}) {
		if m.Signature != nil && m.Action == schemas.Block {
			armed = append(armed, m.Signature)
		}
	}
	if len(armed) == 0 {
		t.Fatal("nothing blocks them")
	}
	return armed
}

// TestAScoreIsWorthItsPeople: where the lowest threshold is not worth the people that it touches a higher one is taken. In an attack by browsers
// it must stop as much for them as a signature.
func TestAScoreIsWorthItsPeople(t *testing.T) {
	taken, touched := make(map[bool]int), make(map[bool]int)
	for seed := range uint64(8) {
		normal, suspect, r := weakAttack(seed+20, 2000)
		for range 4000 { // of whom nothing tells
			suspect.take(weakly(r, r.Uint32(), usually))
		}
		for browsers, times := range map[bool]float64{false: scoreWorth, true: 1} {
			a := newAnalysis(normal, suspect, Budget{MaxScores: 4, Browsers: browsers}.withDefaults())
			a.share, a.soft = a.budget.Soft, true
			m, ok := a.addUp(1)
			if !ok {
				continue
			}
			taken[browsers]++
			own, all := a.touchedAll(a.charged), a.everybody()
			touched[browsers] += own.all
			if !a.worth(m.Stops*a.attackShare*a.suspect.total, own.people/all.people/times, 1/all.people) {
				t.Errorf("seed %d, browsers %t: %g of the attack for %d of %d people", seed, browsers, m.Stops, own.all, all.all)
			}
		}
	}
	t.Logf("scores taken: %d of browsers, %d of others; people touched: %d, %d", taken[true], taken[false], touched[true], touched[false])
	if taken[true] < 7 || taken[false] < 7 || touched[true] >= touched[false] {
		t.Errorf("scores taken: %d of browsers, %d of others; people touched: %d, %d", taken[true], taken[false], touched[true], touched[false])
	}
}

// TestWhoIsBare: in what is left of an attack that is stopped but for some hundredths those count who load nothing of the pages that they get, and no visitor
// whom the site failed each time: nobody could have loaded anything.
func TestWhoIsBare(t *testing.T) {
	normal, suspect, r := weakAttack(3, 400)
	load := func(status int) (id uint64) {
		q := request(r.Uint32(), agents[0], "gzip, br", "/page1", "", schemas.CookieNone)
		q.Status = uint16(status)
		id = suspect.x.ClientHash(schemas.ClientOf(q.Client).As16())
		suspect.take(q)
		return id
	}
	got, failing := load(200), load(503)
	a := newAnalysis(normal, suspect, Budget{}.withDefaults())
	of := a.suspect.clientsOf(a.bare())
	if !of[got] {
		t.Error("one that got a page and loaded nothing of it does not count")
	}
	if of[failing] {
		t.Error("one whom the site failed counts as one that loads nothing")
	}
}

// TestWhoWasLiftedForPeopleIsCareful: a score of some hundredths is looked for no more once a measure was lifted for people, whether probes or the visitors
// that the site knows show them; in an attack by browsers blocks are lifted for the attack's own.
func TestWhoWasLiftedForPeopleIsCareful(t *testing.T) {
	x := NewExtractor(1)
	lifted := []schemas.Signature{{{Trait: schemas.TraitMethod, Value: "PUT"}}}
	for name, c := range map[string]struct {
		budget Budget
		want   bool
	}{
		"nothing was lifted":             {Budget{}, false},
		"probes":                         {Budget{Hurt: Hurt{People: NewSample(x, 8)}}, true},
		"visitors that the site knows":   {Budget{Refused: lifted}, true},
		"a network that visitors are in": {Budget{RefusedPrefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, true},
		"a block, of browsers":           {Budget{Refused: lifted, Browsers: true}, false},
	} {
		a := &analysis{budget: c.budget}
		if a.careful() != c.want {
			t.Errorf("%s: careful is %v", name, !c.want)
		}
	}
}
