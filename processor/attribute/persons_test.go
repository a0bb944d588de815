package attribute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// anHour is a sample of one hour: people come once, programs poll in each of its six periods.
func anHour(x *Extractor, r *rand.Rand, most, people, programs int, ask func() *schemas.Request) *Sample {
	s := NewSample(x, most)
	polling := make([]*schemas.Request, programs)
	for i := range polling {
		polling[i] = request(r.Uint32(), "runner/1.2", "gzip", "/api/jobs", "", schemas.CookieNone)
	}
	for period := range int64(6) {
		s.SetPeriod(period)
		for _, q := range polling {
			s.take(q)
		}
		for range people / 6 {
			s.take(ask())
		}
	}
	s.Span = time.Hour
	return s
}

func (s *Sample) sumOfPersons() (sum float64) {
	for _, person := range s.persons() {
		sum += person
	}
	return sum
}

// TestWhoComesAgainIsOnePerson: a program that polls six times an hour is no six people, and of a thinned
// sample no more is made of it than it is.
func TestWhoComesAgainIsOnePerson(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ask := func() *schemas.Request {
		return request(r.Uint32(), "Firefox/140", "gzip, br", "/", "", schemas.CookieNone)
	}
	s := anHour(NewExtractor(1), r, 1<<16, 1200, 300, ask)
	if n := s.Len(); n != 3000 {
		t.Fatalf("%d clients, want 3000", n)
	}
	if got := s.sumOfPersons(); math.Abs(got-1500) > 1e-6 {
		t.Errorf("%g people in an hour, want 1500", got)
	}
	s.Span = 3 * time.Hour // the same in three hours: whoever is there in each of them is three
	s.changed()
	if got := s.sumOfPersons(); math.Abs(got-2100) > 1e-6 {
		t.Errorf("%g people in three hours, want 2100", got)
	}
	thin := anHour(NewExtractor(1), r, 2000, 1200, 300, ask)
	if got := thin.sumOfPersons() * thin.scale(); thin.level != 1 || got < 1400 || got > 2000 {
		t.Errorf("%g people of every second client, level %d", got, thin.level)
	}
}

// TestWhatIsInForceStaysWithinTheBudget: whatever visitors and bots have in common, all signatures together
// touch no more of the people who are held out than the budget allows: counted one by one, apart from the analysis.
func TestWhatIsInForceStaysWithinTheBudget(t *testing.T) {
	decided := 0
	rapid.Check(t, func(t *rapid.T) {
		x := NewExtractor(rapid.Uint64().Draw(t, "secret"))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		languages := rapid.IntRange(2, 30).Draw(t, "languages")
		ask := func(language int) *schemas.Request {
			q := request(r.Uint32(), agents[r.IntN(len(agents))], "gzip, br", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone)
			q.AcceptLanguage = fmt.Appendf(nil, "l%d", language)
			return q
		}
		one := func() *schemas.Request { return ask(int(float64(languages) * math.Pow(r.Float64(), 3))) }
		programs := rapid.IntRange(0, 600).Draw(t, "programs")
		normal := anHour(x, r, 1<<16, 1800, programs, one)
		suspect := NewSample(x, 4096)
		for range 60 {
			suspect.take(one())
		}
		for range rapid.IntRange(100, 900).Draw(t, "bots") {
			suspect.take(ask(languages - 1 - min(int(r.ExpFloat64()), languages-1)))
		}
		suspect.Span = time.Minute
		measures := Analyse(normal, suspect, Budget{})
		blocked, asked := map[uint64]bool{}, map[uint64]bool{}
		held := map[uint64]bool{}
		for i := range normal.clients {
			c := &normal.clients[i]
			if !heldOut(c.id) {
				continue
			}
			held[c.id] = true
			for _, m := range measures {
				if !hasAll(&normal.rows[c.head].traits, itemsOf(x, m.Signature)) {
					continue
				}
				asked[c.id] = true
				if m.Action == schemas.Block {
					blocked[c.id] = true
				}
			}
		}
		decided += len(measures)
		budget := Budget{}.withDefaults()
		for _, of := range []struct {
			what  string
			who   map[uint64]bool
			share float64
		}{{"blocked", blocked, budget.Collateral}, {"touched", asked, softBound * budget.Soft}} {
			if bound := UpperShare(len(of.who), len(held)); len(of.who) > 0 && bound > of.share {
				t.Fatalf("%d of %d people %s, up to %.2f %%, by %d measures", len(of.who), len(held), of.what, 100*bound, len(measures))
			}
		}
		if share := float64(len(asked)) / float64(len(held)); share > 4.0/3*budget.Soft+0.005 {
			t.Fatalf("%.2f %% of the held-out people are touched", 100*share)
		}
	})
	if decided < 50 {
		t.Errorf("%d measures in all: nothing was tried", decided)
	}
}

func itemsOf(x *Extractor, s schemas.Signature) []item {
	items := make([]item, len(s))
	for i, t := range s {
		items[i] = item{t.Trait, x.hash(t.Trait, []byte(t.Value))}
	}
	return items
}

// TestWorth: of the budget a measure costs as much as it is worth, and no more.
func TestWorth(t *testing.T) {
	a := &analysis{share: 0.02, attackShare: 0.5, suspect: &matrix{total: 2000}}
	for _, x := range []struct {
		gain, people float64
		want         bool
	}{
		{660, 0.015, true},  // two thirds of the attack, for most of the budget
		{24, 0.013, false},  // a fortieth, for as much
		{24, 0.002, true},   // and for what it is worth
		{10, 0, true},       // what touches nobody
		{10, 0.0009, true},  // or one, of a thousand
		{10, 0.0025, false}, // but not two
	} {
		if got := a.worth(x.gain, x.people, 0.001); got != x.want {
			t.Errorf("%g of 1000 requests for %g of the people: %t", x.gain, x.people, got)
		}
	}
}

// TestWhichRowsAreKeptIsDrawnForEach: of whoever asks for more than is kept, another part is, so that nothing
// that all of them ask for is missing of all of them.
func TestWhichRowsAreKeptIsDrawnForEach(t *testing.T) {
	x := NewExtractor(5)
	s := NewSample(x, 4096)
	const clients, shapes = 400, 24
	for c := range uint32(clients) {
		for n := range shapes {
			q := request(0x0A000000+c, "Firefox/140", "gzip, br", "/page", "", schemas.CookieNone)
			q.Query = fmt.Appendf(nil, "key%c=1", 'a'+n)
			s.take(q)
		}
	}
	kept := map[uint32]int{}
	for i := range s.clients {
		for at := s.rows[s.clients[i].head].next; at >= 0; at = s.rows[at].next {
			kept[s.rows[at].traits[schemas.TraitQueryKeys]]++
		}
	}
	mean := clients * (maxRows - 1) / (shapes - 1)
	if len(kept) != shapes-1 {
		t.Errorf("of %d requests that all have in common %d are kept of anybody", shapes-1, len(kept))
	}
	for _, n := range kept {
		if n < mean/2 || n > 2*mean {
			t.Errorf("one is kept of %d of %d clients, want about %d", n, clients, mean)
		}
	}
}

// TestPartsOfOneProgramAreNoTwoChances: an agent that comes with one TLS is as frequent as it is with it, and a language
// that some of them have is to be expected of as many; that each is a chance of its own would make them few.
func TestPartsOfOneProgramAreNoTwoChances(t *testing.T) {
	x, r := NewExtractor(4), rand.New(rand.NewPCG(4, 4))
	normal := NewSample(x, 1<<16)
	for n := range 4000 {
		q := request(r.Uint32(), "Chrome/140", "gzip, br", "/", "", schemas.CookieNone)
		if n%20 == 0 { // one in twenty: a rare browser, its own TLS
			q.UserAgent, q.TLS = []byte("Opera/9"), []byte("TLSv1.3 TLS_OPERA X25519")
		}
		if n%50 == 1 {
			q.AcceptLanguage = []byte("se")
		}
		normal.take(q)
	}
	normal.Span = time.Hour
	suspect := NewSample(x, 64)
	bots(suspect, r, 30, "gzip")
	a := newAnalysis(normal, suspect, Budget{}.withDefaults())
	items := itemsOf(x, schemas.Signature{
		{Trait: schemas.TraitUserAgent, Value: "Opera/9"}, {Trait: schemas.TraitAcceptLanguage, Value: "se"}, {Trait: schemas.TraitTLS, Value: "TLSv1.3 TLS_OPERA X25519"},
	})
	if _, got := a.toExpect(items); math.Abs(got-4) > 0.01 { // 200 of 4000, one in fifty of whom has the language
		t.Errorf("%g are to be expected, want 4", got)
	}
	if got := a.byEachTrait(items); got > 0.5 {
		t.Errorf("%g are to be expected of three chances", got)
	}
	if doubt := a.doubtful(items, 0); math.Abs(doubt-4.1) > 0.01 {
		t.Errorf("a doubt of %g, want 4.1", doubt)
	}
	if doubt := a.doubtful(items[:2], 80); doubt != leastDoubt {
		t.Errorf("a doubt of %g where more are seen than were to be expected", doubt)
	}
}

// TestWhatSeldomMeetsIsNotImpossible: who asks for a page of a repository mostly comes from another, so that a browser on such a page without a
// referer is rarer by far than the browser, the page and those without a referer lead to expect, and is somebody all the same. What
// two traits make impossible, as an agent with another's TLS, stays so with a third.
func TestWhatSeldomMeetsIsNotImpossible(t *testing.T) {
	x, r := NewExtractor(4), rand.New(rand.NewPCG(4, 4))
	normal := NewSample(x, 1<<16)
	const chrome, opera = "TLSv1.3 TLS_CHROME X25519", "TLSv1.3 TLS_OPERA X25519"
	for n := range 4000 {
		client, tls, agent := r.Uint32(), chrome, "Chrome/140"
		if n%4 > 0 {
			tls, agent = opera, "Opera/9"
		}
		ask := func(path, referer string) {
			q := request(client, agent, "gzip, br", path, referer, schemas.CookieNone)
			q.TLS = []byte(tls)
			normal.take(q)
		}
		ask("/", "")
		switch {
		case n%800 == 0, n%100 == 1: // from a bookmark: 45, of whom five have the one browser in four
			ask("/issues", "")
		case n%10 < 2:
			ask("/issues", "https://www.example.org/")
		}
	}
	normal.Span = time.Hour
	suspect := NewSample(x, 64)
	bots(suspect, r, 30, "gzip")
	a := newAnalysis(normal, suspect, Budget{}.withDefaults())
	for _, c := range []struct {
		name   string
		agent  schemas.TraitValue
		wanted bool // people are to be expected beside those who were seen
	}{
		{"seldom", schemas.TraitValue{Trait: schemas.TraitTLS, Value: chrome}, true},
		{"impossible", schemas.TraitValue{Trait: schemas.TraitUserAgent, Value: "Chrome/140"}, false},
	} {
		last := schemas.TraitValue{Trait: schemas.TraitPathShape, Value: "/a2"}
		if !c.wanted {
			last = schemas.TraitValue{Trait: schemas.TraitTLS, Value: opera}
		}
		items := itemsOf(x, schemas.Signature{c.agent, {Trait: schemas.TraitReferer, Value: "none"}, last})
		seen := a.touchedBy(a.normal.match(items))
		if doubt := a.doubtful(items, seen); (doubt > 5) != c.wanted || doubt < leastDoubt {
			t.Errorf("%s: %d were seen, a doubt of %g", c.name, seen, doubt)
		}
	}
}
