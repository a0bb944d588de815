package detect

import (
	"math/rand/v2"
	"testing"

	"github.com/weir-project/weir/processor/baseline"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// seen is a window in a few words.
type seen struct {
	requests, clients, fresh, missing, unknown, unfamiliar float64
	notFound, holes, errors, pages                         float64 // requests
	paths                                                  float64
	entropy                                                float64
	stopped                                                float64
	declared                                               float64 // share
	loading                                                float64 // clients
	distinct                                               float64 // pages; half of all where it is 0
	work                                                   float64 // seconds
	direct                                                 float64 // requests without referer; half of the pages where it is 0
}

func (s seen) reading() Reading {
	direct := s.direct
	if direct == 0 {
		direct = s.pages / 2
	}
	distinct := s.distinct
	if distinct == 0 {
		distinct = s.pages / 2
	}
	c := window.Counts{
		window.Requests: uint64(s.requests), window.NewClients: uint64(s.fresh), window.NotFound: uint64(s.notFound), window.Holes: uint64(s.holes),
		window.ServerError: uint64(s.errors), window.Pages: uint64(s.pages), window.NoReferer: uint64(direct),
		window.Stopped: uint64(s.stopped), window.Work: uint64(1000 * s.work),
	}
	reading := Read(&c, window.Reading{
		Clients: s.clients, Paths: s.paths, Entropy: s.entropy,
		Marked: [window.NumMarks]float64{window.MissingPage: s.missing, window.UnknownPath: s.unknown, window.Unfamiliar: s.unfamiliar, window.Loading: s.loading, window.Declared: s.declared * s.clients},
		Pages:  distinct,
	})
	return reading
}

var ordinary = seen{requests: 50, clients: 15, fresh: 3, missing: 1, unknown: 1, unfamiliar: 1, notFound: 1, pages: 25, paths: 35, entropy: 4.8, loading: 9, declared: .2, distinct: 18, work: 5}

func normalSite(t testing.TB) *baseline.Site {
	t.Helper()
	b, r := baseline.New(Scales()), rand.New(rand.NewPCG(1, 1))
	for i := range 2000 {
		s, by := ordinary, 0.7+0.6*r.Float64()
		for _, v := range []*float64{&s.requests, &s.clients, &s.fresh, &s.missing, &s.unknown, &s.unfamiliar, &s.notFound, &s.pages, &s.paths, &s.loading, &s.distinct, &s.work} {
			*v *= by
		}
		reading := s.reading()
		b.Learn(i/360, reading.Even[:])
	}
	return b
}

func TestKinds(t *testing.T) {
	b := normalSite(t)
	cases := map[string]struct {
		s    seen
		kind schemas.Kind
		open bool
	}{
		"ordinary":                           {ordinary, "", false},
		"twice as much":                      {seen{requests: 100, clients: 30, fresh: 6, missing: 2, unknown: 2, unfamiliar: 2, notFound: 2, pages: 50, paths: 60, entropy: 5.4, loading: 18, declared: .2, distinct: 30}, "", false},
		"the opening story":                  {seen{requests: 210, clients: 150, fresh: 140, missing: 130, unknown: 135, unfamiliar: 130, notFound: 150, pages: 190, paths: 190, entropy: 7.4}, schemas.Flood, true},
		"one scanner":                        {seen{requests: 400, clients: 16, fresh: 4, missing: 2, unknown: 2, unfamiliar: 2, notFound: 350, pages: 380, paths: 380, entropy: 8.3}, schemas.Scan, true},
		"one crawler":                        {seen{requests: 400, clients: 16, fresh: 4, missing: 2, unknown: 2, unfamiliar: 2, notFound: 20, pages: 380, paths: 380, entropy: 8.3}, schemas.Crawler, true},
		"a scanner like any":                 {seen{requests: 75, clients: 16, fresh: 4, missing: 2, unknown: 2, unfamiliar: 2, notFound: 25, pages: 50, paths: 58, entropy: 5.3, loading: 9, declared: .2, distinct: 40}, "", false},
		"a botnet that tries holes":          {seen{requests: 210, clients: 150, fresh: 140, missing: 130, unknown: 135, unfamiliar: 130, notFound: 150, holes: 140, pages: 190, paths: 190, entropy: 7.4}, schemas.Scan, true},
		"a front-page link":                  {seen{requests: 900, clients: 220, fresh: 190, missing: 4, unknown: 5, unfamiliar: 12, notFound: 5, pages: 400, paths: 45, entropy: 3.9, loading: 190}, schemas.Crowd, true},
		"a broken deploy":                    {seen{requests: 55, clients: 16, fresh: 3, missing: 1, unknown: 1, unfamiliar: 1, notFound: 1, errors: 30, pages: 30, paths: 35, entropy: 4.8}, schemas.Breakage, true},
		"link previews":                      {seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 1, unfamiliar: 190, notFound: 1, pages: 230, paths: 20, entropy: 1.2, declared: .9}, schemas.Release, true},
		"a tool, all over the site":          {seen{requests: 110, clients: 67, fresh: 45, missing: 1, unknown: 2, unfamiliar: 2, notFound: 1, pages: 70, paths: 85, entropy: 5.4, loading: 9, declared: .76, distinct: 62}, schemas.Scrape, true},
		"machines it knows, all over":        {seen{requests: 180, clients: 67, fresh: 8, missing: 1, unknown: 2, unfamiliar: 2, notFound: 1, pages: 150, paths: 85, entropy: 6.4, loading: 9, declared: .76, distinct: 82, work: 25}, schemas.Release, true},
		"machines on few pages":              {seen{requests: 110, clients: 67, fresh: 45, missing: 1, unknown: 2, unfamiliar: 2, notFound: 1, pages: 70, paths: 40, entropy: 4.9, loading: 9, declared: .76, distinct: 30}, schemas.Release, true},
		"drowned, and logs little":           {seen{requests: 52, clients: 50, fresh: 45, missing: 30, unknown: 40, unfamiliar: 30, notFound: 5, errors: 30, pages: 52, paths: 50, entropy: 5.6}, schemas.Flood, true},
		"one page hammered":                  {seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 1, unfamiliar: 10, notFound: 1, pages: 230, paths: 20, entropy: 1.2, declared: .1}, schemas.Flood, true},
		"known browsers, bare":               {seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 2, unfamiliar: 10, notFound: 1, pages: 240, paths: 230, entropy: 7.6}, schemas.Scrape, true},
		"an outage, reloading":               {seen{requests: 180, clients: 40, fresh: 9, missing: 1, unknown: 1, unfamiliar: 1, notFound: 1, errors: 150, pages: 170, paths: 60, entropy: 5.2}, schemas.Crowd, true},
		"drowned by strangers":               {seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 2, unfamiliar: 200, notFound: 1, errors: 240, pages: 250, paths: 20, entropy: 1.2, direct: 240}, schemas.Flood, true},
		"drowned by a crowd":                 {seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 2, unfamiliar: 60, notFound: 1, errors: 240, pages: 250, paths: 20, entropy: 1.2, direct: 240}, schemas.Crowd, true},
		"drowned by strangers who know some": {seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 2, unfamiliar: 145, notFound: 1, errors: 240, pages: 250, paths: 20, entropy: 1.2, direct: 240}, schemas.Flood, true},
		"drowned by a link":                  {seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 2, unfamiliar: 200, notFound: 1, errors: 240, pages: 250, paths: 20, entropy: 1.2, direct: 30}, schemas.Crowd, true},
		"few, for a dear page":               {seen{requests: 90, clients: 55, fresh: 43, missing: 1, unknown: 1, unfamiliar: 2, notFound: 1, pages: 65, paths: 36, entropy: 4.6, loading: 9, declared: .1, distinct: 19, work: 25}, schemas.Flood, true},
		"regulars of a text":                 {seen{requests: 120, clients: 60, fresh: 6, missing: 1, unknown: 1, unfamiliar: 2, notFound: 1, pages: 80, paths: 40, entropy: 4.6, loading: 26, declared: .1, distinct: 19, work: 12}, schemas.Crowd, true},
		"full browsers, all over":            {seen{requests: 700, clients: 100, fresh: 86, missing: 2, unknown: 6, unfamiliar: 3, notFound: 2, pages: 125, paths: 190, entropy: 5.1, loading: 90, declared: .05, distinct: 96, work: 40}, schemas.Flood, true},
		"a link, then around":                {seen{requests: 700, clients: 100, fresh: 86, missing: 2, unknown: 6, unfamiliar: 3, notFound: 2, pages: 125, paths: 120, entropy: 4.6, loading: 90, declared: .05, distinct: 50, work: 40}, schemas.Crowd, true},
		"a newsletter to a young site":       {seen{requests: 620, clients: 130, fresh: 90, missing: 2, unknown: 95, unfamiliar: 60, notFound: 2, pages: 150, paths: 120, entropy: 5.2, loading: 115, declared: .05, distinct: 60, work: 20}, schemas.Crowd, true},
		"strangers, each page":               {seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 2, unfamiliar: 200, notFound: 1, pages: 240, paths: 230, entropy: 7.6}, schemas.Scrape, true},
	}
	for name, c := range cases {
		var state State
		r := c.s.reading()
		scores := Score(b, 2, &r)
		opened := false
		for second := range int64(30) {
			opened = state.Step(second, &r, &scores) == Opened || opened
		}
		if opened != c.open || state.Kind != c.kind {
			t.Errorf("%s: opened %v as %q, want %v as %q (%+v)", name, opened, state.Kind, c.open, c.kind, Signals(&r, &scores))
		}
	}
}

func TestOneWindowIsNotAnIncident(t *testing.T) {
	b := normalSite(t)
	r := seen{requests: 210, clients: 150, fresh: 140, missing: 130, unknown: 135, unfamiliar: 130, notFound: 150, pages: 190, paths: 190}.reading()
	scores := Score(b, 2, &r)
	calm := ordinary.reading()
	calmScores := Score(b, 2, &calm)
	var state State
	for second := range int64(60) {
		change := None
		if second%3 == 0 {
			change = state.Step(second, &calm, &calmScores)
		} else {
			change = state.Step(second, &r, &scores)
		}
		if change != None {
			t.Fatalf("second %d: change %d", second, change)
		}
	}
}

// TestStaysOpenWhileRequestsAreStopped: a mitigation that works must not end the
// incident, and an incident ends two minutes after it went quiet.
func TestStaysOpenWhileRequestsAreStopped(t *testing.T) {
	b := normalSite(t)
	var state State
	step := func(second int64, s seen) Change {
		r := s.reading()
		scores := Score(b, 2, &r)
		return state.Step(second, &r, &scores)
	}
	flood := seen{requests: 210, clients: 150, fresh: 140, missing: 130, unknown: 135, unfamiliar: 130, notFound: 150, pages: 190, paths: 190}
	second := int64(0)
	for ; second < 10; second++ {
		step(second, flood)
	}
	if !state.Open {
		t.Fatal("not open")
	}
	stopped := ordinary
	stopped.stopped = 20
	for ; second < 600; second++ {
		if c := step(second, stopped); c != None {
			t.Fatalf("second %d: change %d while requests are stopped", second, c)
		}
	}
	quiet := second
	for ; state.Open; second++ {
		step(second, ordinary)
	}
	if took := second - 1 - quiet; took != 120 {
		t.Errorf("closed after %d quiet seconds, want 120", took)
	}
}

func TestAYoungSiteIsDoubted(t *testing.T) {
	b := baseline.New(Scales())
	for range 3 {
		r := ordinary.reading()
		b.Learn(0, r.Even[:])
	}
	r := seen{requests: 210, clients: 60, fresh: 50, missing: 40, unknown: 50, unfamiliar: 50, notFound: 50, pages: 190, paths: 190}.reading()
	scores := Score(b, 0, &r)
	if s := volumeScore(&scores); s > enter {
		t.Errorf("score %.1f after half a minute of knowledge", s)
	}
}

func BenchmarkScore(bench *testing.B) {
	b := normalSite(bench)
	r := ordinary.reading()
	bench.ReportAllocs()
	for range bench.N {
		Score(b, 2, &r)
	}
}

// What visitors met counts only what an edge let through.
func TestVisitorSignals(t *testing.T) {
	find := func(r Reading, name string) float64 {
		for _, s := range All(&r, &Scores{}, new(window.Mix)) {
			if s.Name == name {
				return s.Value
			}
		}
		t.Fatalf("no signal %s", name)
		return 0
	}
	var r Reading
	r.Requests, r.Stopped = 1000, 900
	r.Raw[ErrorShare], r.Raw[AbandonedShare] = 0.02, 0.03 // 50 of the 100 let through
	if got := find(r, schemas.StoppedShare); got != 0.9 {
		t.Errorf("stopped %v, want 0.9", got)
	}
	if got := find(r, schemas.UnservedShare); got != 0.5 {
		t.Errorf("unserved %v, want 0.5", got)
	}
	if got := find(Reading{}, schemas.UnservedShare); got != 0 {
		t.Errorf("nothing came, unserved %v", got)
	}
	r.Stopped = 1000
	if got := find(r, schemas.UnservedShare); got != 0 {
		t.Errorf("everything stopped, unserved %v", got)
	}
}

// TestASlowRampIsNoticed: an attack that grows by a hundredth a step is noticed before it
// doubles the traffic, and nothing of it is learned once it is doubtful; as much growth of
// ordinary visitors is neither.
func TestASlowRampIsNoticed(t *testing.T) {
	b := normalSite(t)
	play := func(hostile bool) (noticed, doubtful int) {
		var state State
		for step := range 400 {
			s, more := ordinary, float64(step)*.25
			s.requests += more
			s.pages += more / 2
			s.clients += more / 2
			if !hostile {
				s.loading += more / 3
			} else {
				s.pages += more / 2
				s.missing += more / 2
				s.unknown += more / 2
				s.notFound += more
				s.fresh += more / 2
			}
			r := s.reading()
			scores := Score(b, 2, &r)
			state.Drift(int64(step*10), &r, &scores)
			if doubtful == 0 && state.Doubtful() {
				doubtful = step
			}
			if state.Step(int64(step*10), &r, &scores); state.Open && state.Kind.Attack() {
				return step, doubtful
			}
		}
		return 0, doubtful
	}
	noticed, doubtful := play(true)
	if noticed == 0 || noticed > 200 || doubtful == 0 || doubtful >= noticed {
		t.Errorf("noticed at step %d, doubtful from step %d; it doubles the traffic at step 200", noticed, doubtful)
	}
	if noticed, _ := play(false); noticed != 0 {
		t.Errorf("more visitors of the usual kind are an attack at step %d", noticed)
	}
}

// TestAlert: an attack by clients that came before, while the site drowns, shows neither in
// requests nor in new clients.
func TestAlert(t *testing.T) {
	b := normalSite(t)
	r := ordinary.reading()
	scores := Score(b, 2, &r)
	alert := AlertOf(b, 2, &scores)
	calm := window.Counts{window.Requests: 50, window.NewClients: 3, window.Pages: 25, window.NotFound: 1, window.Work: 5000}
	if alert.By(&calm) {
		t.Errorf("what is ordinary alerts: %v, alert is %v", calm, alert)
	}
	for which, n := range map[window.Count]uint64{window.Requests: 200, window.NewClients: 40, window.Pages: 60, window.NotFound: 40, window.Work: 60_000} {
		counts := calm
		counts[which] = n
		if !alert.By(&counts) {
			t.Errorf("count %d of %d does not alert, alert is %v", which, n, alert)
		}
	}
}

// TestACrowdThatBringsASiteDown: who brought assets as long as the site answered is no botnet
// once it does not; without that the same is one.
func TestACrowdThatBringsASiteDown(t *testing.T) {
	b := normalSite(t)
	link := seen{requests: 700, clients: 200, fresh: 160, missing: 2, unknown: 110, unfamiliar: 70, notFound: 2, pages: 220, paths: 140, entropy: 5.2, loading: 150, declared: .05, distinct: 80, work: 20}
	fails := seen{requests: 500, clients: 230, fresh: 170, missing: 2, unknown: 150, unfamiliar: 80, notFound: 2, errors: 120, pages: 250, paths: 140, entropy: 5.2, loading: 60, declared: .05, distinct: 80, work: 60}
	for _, before := range []int64{0, 30} {
		var state State
		for second := range int64(60) {
			r := fails.reading()
			if second < before {
				r = link.reading()
			}
			scores := Score(b, 2, &r)
			state.Step(second, &r, &scores)
		}
		if attack := state.Open && state.Kind.Attack(); attack != (before == 0) {
			t.Errorf("%d s of a link before it fails: %q", before, state.Kind)
		}
	}
}

// TestPeopleFollowPreviews: a site fails under a link's previews, and people follow: there are
// fewer machines then, and nobody gets assets.
func TestPeopleFollowPreviews(t *testing.T) {
	b := normalSite(t)
	previews := seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 1, unfamiliar: 190, notFound: 1, pages: 230, paths: 20, entropy: 1.2, declared: .9}
	follow := seen{requests: 170, clients: 130, fresh: 95, missing: 1, unknown: 1, unfamiliar: 100, notFound: 1, errors: 90, pages: 140, paths: 20, entropy: 1.5, declared: .5, loading: 10, direct: 120}
	for _, before := range []int64{0, 40} {
		var state State
		for second := range int64(80) {
			r := follow.reading()
			if second < before {
				r = previews.reading()
			}
			scores := Score(b, 2, &r)
			state.Step(second, &r, &scores)
		}
		if attack := state.Open && state.Kind.Attack(); attack != (before == 0) {
			t.Errorf("%d s of previews before: %q", before, state.Kind)
		}
	}
}

// TestAFewThatAskForMuch: a service that catches up posts to one page from six addresses, while
// by chance some visitors more are there. The page's requests are none of those visitors'.
func TestAFewThatAskForMuch(t *testing.T) {
	b := normalSite(t)
	hooks := seen{requests: 450, clients: 31, fresh: 4, missing: 1, unknown: 1, unfamiliar: 2, notFound: 1, pages: 420, paths: 45, entropy: 2.5, loading: 14, declared: .32, distinct: 22, work: 30}
	bots := hooks
	bots.clients, bots.declared = 60, .1
	for name, c := range map[string]struct {
		s      seen
		attack bool
	}{"six": {hooks, false}, "many": {bots, true}} {
		var state State
		r := c.s.reading()
		scores := Score(b, 2, &r)
		for second := range int64(60) {
			state.Step(second, &r, &scores)
		}
		if attack := state.Open && state.Kind.Attack(); attack != c.attack {
			t.Errorf("%s: %q (%+v)", name, state.Kind, Signals(&r, &scores))
		}
	}
}

// TestAReleaseEbbs: towards the end of a release a single scanner makes its few requests look
// as if machines went all over the site. That is no attack. What begins then is: browsers that
// are none, or more machines than the release has left behind, even if the height was above.
func TestAReleaseEbbs(t *testing.T) {
	b := normalSite(t)
	height := seen{requests: 350, clients: 300, fresh: 200, missing: 1, unknown: 1, unfamiliar: 260, notFound: 1, pages: 330, paths: 20, entropy: 1.2, declared: .95}
	tail := seen{requests: 105, clients: 62, fresh: 18, missing: 2, unknown: 2, unfamiliar: 40, notFound: 9, holes: 8, pages: 75, paths: 58, entropy: 5.3, loading: 9, declared: .78, distinct: 30}
	bots := seen{requests: 210, clients: 150, fresh: 140, missing: 1, unknown: 2, unfamiliar: 80, notFound: 2, pages: 190, paths: 190, entropy: 7.4, loading: 9, declared: .3}
	tools := seen{requests: 210, clients: 160, fresh: 140, missing: 1, unknown: 2, unfamiliar: 140, notFound: 2, pages: 190, paths: 190, entropy: 7.4, loading: 9, declared: .9, distinct: 150}
	// after plays the height, wait seconds of what it leaves behind, and then s for ten minutes.
	after := func(s seen, wait int64) (attack bool, took int64) {
		var state State
		step := func(second int64, s seen) {
			r := s.reading()
			scores := Score(b, 2, &r)
			state.Step(second, &r, &scores)
		}
		second := int64(0)
		for ; second < 60; second++ {
			step(second, height)
		}
		quiet := tail // without the scanner
		quiet.notFound, quiet.holes, quiet.paths, quiet.entropy, quiet.pages = 1, 0, 40, 4.5, 70
		for ; second < 60+wait; second++ {
			step(second, quiet)
		}
		if state.Kind != schemas.Release {
			t.Fatalf("the height is %q", state.Kind)
		}
		for from := second; second < from+600; second++ {
			now := s
			if s == tail && second%60 >= 30 {
				now = quiet // and now and then
			}
			if step(second, now); state.Kind.Attack() {
				return true, second - from
			}
		}
		return false, 0
	}
	if attack, took := after(tail, 120); attack {
		t.Errorf("a scanner in the tail is an attack after %d s", took)
	}
	for name, s := range map[string]seen{"bots": bots, "tools": tools} {
		if attack, took := after(s, 120); !attack || took > 10 {
			t.Errorf("%s: attack %v after %d s", name, attack, took)
		}
	}
	if attack, took := after(tools, 0); !attack || took > 180 {
		t.Errorf("tools just after the height, fewer than the release: attack %v after %d s", attack, took)
	}
}

// TestMachinesThatStay: machines that say so may ask for one page for a quarter of an hour.
// Where the site fails under them for longer, they are a flood; where it holds, and where they
// are gone by then, they are not.
func TestMachinesThatStay(t *testing.T) {
	b := normalSite(t)
	hold := seen{requests: 250, clients: 220, fresh: 200, missing: 1, unknown: 1, unfamiliar: 190, notFound: 1, pages: 230, paths: 20, entropy: 1.2, declared: .9}
	fail := hold
	fail.errors = 100
	for name, c := range map[string]struct {
		s      seen
		until  int64
		attack bool
	}{"it holds": {hold, 3600, false}, "it fails": {fail, 3600, true}, "they go": {fail, 800, false}} {
		var state State
		for second := range int64(3600) {
			s := c.s
			if second >= c.until {
				s = ordinary
			}
			r := s.reading()
			scores := Score(b, 2, &r)
			state.Step(second, &r, &scores)
			if state.Open && state.Kind.Attack() && second < machines-1 {
				t.Fatalf("%s: %q after %d s", name, state.Kind, second)
			}
		}
		if attack := state.Open && state.Kind.Attack(); attack != c.attack {
			t.Errorf("%s: %q", name, state.Kind)
		}
	}
}

// TestTheFirstLookSaysTheKind: what an attack is does not depend on how much of it the first
// look sees.
func TestTheFirstLookSaysTheKind(t *testing.T) {
	b := normalSite(t)
	for kind, all := range map[schemas.Kind]seen{
		schemas.Scrape: {requests: 400, clients: 350, fresh: 330, missing: 4, unknown: 8, unfamiliar: 330, notFound: 4, pages: 390, paths: 380, entropy: 8},
		schemas.Flood:  {requests: 400, clients: 350, fresh: 330, missing: 200, unknown: 230, unfamiliar: 330, notFound: 220, pages: 390, paths: 380, entropy: 8},
	} {
		for _, part := range []float64{.12, .2, .4, 1} {
			s := ordinary
			for to, v := range map[*float64]float64{&s.requests: all.requests, &s.clients: all.clients, &s.fresh: all.fresh, &s.missing: all.missing, &s.unknown: all.unknown, &s.unfamiliar: all.unfamiliar, &s.notFound: all.notFound, &s.pages: all.pages, &s.paths: all.paths} {
				*to += part * v
			}
			s.entropy, s.declared = 6, s.declared*ordinary.clients/s.clients
			r := s.reading()
			scores := Score(b, 2, &r)
			if got, attack := classify(&r, &scores, false, false); !attack || got != kind {
				t.Errorf("%.0f %% of it: %q, %v, want %q", 100*part, got, attack, kind)
			}
		}
	}
}
