package detect

import (
	"math/rand/v2"
	"testing"

	"github.com/weir-project/weir/processor/baseline"
	"github.com/weir-project/weir/schemas"
)

// youngSite has learned so many windows of a site with twelve requests a second, or as many of one
// for which machines are most.
func youngSite(windows int, usual seen) *baseline.Site {
	b, r := baseline.New(Scales()), rand.New(rand.NewPCG(2, 2))
	for range windows {
		s, by := usual, 0.6+0.8*r.Float64()
		for _, v := range []*float64{&s.requests, &s.clients, &s.fresh, &s.missing, &s.unknown, &s.unfamiliar, &s.notFound, &s.pages, &s.paths, &s.loading, &s.distinct, &s.work} {
			*v *= by
		}
		reading := s.reading()
		b.Learn(2, reading.Even[:])
	}
	return b
}

var (
	busy  = seen{requests: 120, clients: 32, fresh: 11, missing: 1, unknown: 7, unfamiliar: 4, notFound: 2, pages: 30, paths: 80, entropy: 5.8, loading: 16, declared: .45, distinct: 24, work: 11}
	tiny  = seen{requests: 6.5, clients: 2.6, fresh: .8, unknown: 1, unfamiliar: 1.1, pages: 2.4, paths: 5.6, entropy: 2.4, loading: .6, declared: .75, distinct: 2.4, work: .4}
	shop  = seen{requests: 46, clients: 9.6, fresh: 4, unknown: .6, unfamiliar: 2.5, pages: 11, paths: 34, entropy: 4.6, loading: 6.8, declared: .2, distinct: 8, work: 3}
	few   = seen{requests: 14, clients: 5, fresh: 2, unknown: .5, unfamiliar: 1.4, pages: 4.5, paths: 10, entropy: 3, loading: 3, declared: .1, distinct: 4, direct: 6.5, work: .4}
	tools = seen{requests: 22, clients: 9, fresh: .2, pages: 17, paths: 14, entropy: 3.5, loading: 1.6, declared: .78, distinct: 12, work: .1}
)

// TestNoticedWithinHalfAMinute plays what an attack adds to a site that has been known for half an
// hour, from its first second on, and what looks like one.
func TestNoticedWithinHalfAMinute(t *testing.T) {
	cases := map[string]struct {
		usual, now seen
		kind       schemas.Kind // "" is none, and nothing that leads to a decision
		within     int64
	}{
		"a dear page, by browsers that load nothing": {
			busy, seen{requests: 134, clients: 56, fresh: 30, missing: 1, unknown: 7, unfamiliar: 5, notFound: 2, pages: 54, paths: 80, entropy: 5.6, loading: 16, declared: .26, distinct: 25, work: 24}, schemas.Flood, 30,
		},
		"the same where visitors are more than usual": {
			busy, seen{requests: 160, clients: 60, fresh: 32, missing: 1, unknown: 8, unfamiliar: 5, notFound: 2, pages: 60, paths: 96, entropy: 5.6, loading: 20, declared: .26, distinct: 31, work: 26}, schemas.Flood, 30,
		},
		"full browsers, all over the site": {
			busy, seen{requests: 460, clients: 64, fresh: 36, missing: 1, unknown: 9, unfamiliar: 6, notFound: 2, pages: 72, paths: 150, entropy: 5.9, loading: 46, declared: .24, distinct: 58, work: 24}, schemas.Flood, 30,
		},
		"a few of them, who stay for a while": {
			busy, seen{requests: 300, clients: 57, fresh: 22.5, missing: 1, unknown: 8, unfamiliar: 5, notFound: 2, pages: 48, paths: 110, entropy: 5.9, loading: 40, declared: .22, distinct: 41, work: 20}, schemas.Flood, 60,
		},
		"as many whom a link led to one page": {
			busy, seen{requests: 460, clients: 64, fresh: 36, missing: 1, unknown: 9, unfamiliar: 6, notFound: 2, pages: 72, paths: 96, entropy: 5.2, loading: 46, declared: .24, distinct: 36, work: 24}, "", 120,
		},
		"more of the usual visitors": {
			busy, seen{requests: 200, clients: 52, fresh: 18, missing: 2, unknown: 11, unfamiliar: 7, notFound: 3, pages: 50, paths: 120, entropy: 6.1, loading: 27, declared: .45, distinct: 38, work: 18}, "", 120,
		},
		"four scanners, while visitors are few": {
			busy, seen{requests: 140, clients: 30, fresh: 6, missing: 7, unknown: 9, unfamiliar: 6, notFound: 74, holes: 48, pages: 92, paths: 110, entropy: 5.8, loading: 11, declared: .45, distinct: 60, work: 14}, schemas.Scan, 30,
		},
		"machines, all over a site that hardly anybody visits": {
			tiny, seen{requests: 179, clients: 177, fresh: 174, unknown: 135, pages: 178, paths: 160, entropy: 7.3, loading: .6, declared: .99, distinct: 159, work: 50}, schemas.Scrape, 10,
		},
		"machines that a site for machines does not know, all over": {
			tools, seen{requests: 290, clients: 44, fresh: 19, pages: 290, paths: 160, entropy: 6.7, loading: 0, declared: .98, distinct: 160, work: .1}, "", 120,
		},
	}
	for name, c := range cases {
		b := youngSite(170, c.usual)
		var state State
		opened := int64(0)
		for second := int64(1); second <= 120 && opened == 0; second++ {
			now := between(c.usual, c.now, min(1, float64(second)/10))
			r := now.reading()
			scores := Score(b, 2, &r)
			if second%10 == 0 {
				state.Drift(second, &r, &scores)
			}
			if state.Step(second, &r, &scores) == Opened && state.Kind.Attack() {
				opened = second
			}
		}
		switch {
		case c.kind == "" && opened > 0:
			t.Errorf("%s: a %s after %d s", name, state.Kind, opened)
		case c.kind != "" && (opened == 0 || opened > c.within || state.Kind != c.kind):
			t.Errorf("%s: noticed after %d s as %q, want a %s within %d", name, opened, state.Kind, c.kind, c.within)
		}
	}
}

// TestChanceInOneStep plays a few bots that ask for one page and load nothing, while ordinary visitors happen to be
// many for ten seconds, or few; and what looks like such bots: a site whose assets are elsewhere from now on.
func TestChanceInOneStep(t *testing.T) {
	bots := seen{requests: 136, clients: 48, fresh: 26, missing: 1, unknown: 7, unfamiliar: 5, notFound: 2, pages: 46, paths: 80, entropy: 5.7, loading: 16, declared: .3, distinct: 24, work: 19}
	many, few := bots, bots
	many.requests, many.clients, many.loading, many.pages, many.declared, many.paths = 230, 65, 32, 54, .22, 110
	few.requests, few.clients, few.loading, few.pages, few.fresh, few.declared = 84, 42, 9, 38, 22, .33
	instead := seen{requests: 37, clients: 15.5, fresh: 12, unknown: 1, unfamiliar: 3, pages: 17, paths: 27, entropy: 4.2, loading: 2.2, declared: .13, distinct: 6, work: 5.5}
	away := instead
	away.clients, away.fresh, away.loading, away.requests, away.declared = 11, 3, 6.5, 30, .2
	elsewhere := busy
	elsewhere.requests, elsewhere.loading, elsewhere.paths = 30, 0, 24
	cases := map[string]struct {
		usual  seen
		steps  []seen // in turn
		within int64  // 0 is never
	}{
		"visitors are many in every other step": {busy, []seen{bots, many}, 30},
		"visitors are few":                      {busy, []seen{few}, 30},
		"the assets of pages are elsewhere":     {busy, []seen{elsewhere}, 0},
		"bots come in the place of visitors":    {shop, []seen{instead}, 30},
		"strangers instead, who load as many":   {shop, []seen{away}, 0},
	}
	for name, c := range cases {
		b := youngSite(2160, c.usual)
		var state State
		opened := int64(0)
		last := c.usual
		for second := int64(1); second <= 300 && opened == 0; second++ {
			part, to := (second-1)%10+1, c.steps[(second-1)/10%int64(len(c.steps))]
			now := between(last, to, float64(part)/10)
			r := now.reading()
			scores := Score(b, 2, &r)
			if part == 10 {
				last = to
				state.Drift(second, &r, &scores)
			}
			if state.Step(second, &r, &scores) == Opened && state.Kind.Attack() {
				opened = second
			}
		}
		if c.within == 0 && opened > 0 || c.within > 0 && (opened == 0 || opened > c.within) {
			t.Errorf("%s: noticed after %d s (0 is never), want within %d", name, opened, c.within)
		}
	}
}

// TestFailsAtOnce plays strangers under whom a small site fails before anything else can be seen of them, and who stay
// a little below what is an attack at once; and others under whom it fails alike.
func TestFailsAtOnce(t *testing.T) {
	bots := seen{requests: 96, clients: 60, fresh: 54, unknown: 2, unfamiliar: 55, errors: 88, pages: 94, paths: 9, entropy: 1, loading: 2, declared: .02, distinct: 6, direct: 70, work: .4}
	people, previews := bots, bots
	people.unfamiliar = 30
	previews.declared = .5
	for name, c := range map[string]struct {
		now    seen
		within int64 // 0 is never
	}{
		"programs that it does not know":            {bots, 30},
		"what visitors use":                         {people, 0},
		"a link's previews, whom people follow too": {previews, 0},
	} {
		b := youngSite(170, few)
		var state State
		opened := int64(0)
		r := c.now.reading()
		scores := Score(b, 2, &r)
		scores.Score[NoRefererShare], scores.Score[UnfamiliarShare] = 2.6, 3.7 // its visitors differ much
		for second := int64(1); second <= 120 && opened == 0; second++ {
			if second%10 == 0 {
				state.Drift(second, &r, &scores)
			}
			if state.Step(second, &r, &scores) == Opened && state.Kind.Attack() {
				opened = second
			}
		}
		if c.within == 0 && opened > 0 || c.within > 0 && (opened == 0 || opened > c.within) {
			t.Errorf("%s: noticed after %d s (0 is never), want within %d", name, opened, c.within)
		}
	}
}

// between is a window a share of whose seconds are of the second.
func between(a, b seen, share float64) seen {
	mix := func(x, y float64) float64 { return x + share*(y-x) }
	return seen{
		requests: mix(a.requests, b.requests), clients: mix(a.clients, b.clients), fresh: mix(a.fresh, b.fresh),
		missing: mix(a.missing, b.missing), unknown: mix(a.unknown, b.unknown), unfamiliar: mix(a.unfamiliar, b.unfamiliar),
		notFound: mix(a.notFound, b.notFound), holes: mix(a.holes, b.holes), errors: mix(a.errors, b.errors), pages: mix(a.pages, b.pages),
		paths: mix(a.paths, b.paths), entropy: mix(a.entropy, b.entropy), stopped: mix(a.stopped, b.stopped), declared: mix(a.declared, b.declared),
		loading: mix(a.loading, b.loading), distinct: mix(a.distinct, b.distinct), work: mix(a.work, b.work), direct: mix(a.direct, b.direct),
	}
}

// A crowd whose pages begin to come late, or not at all, brings fewer assets: there are many more assets than
// pages among the requests, so that few of those fail.
func TestACrowdThatWaits(t *testing.T) {
	b := youngSite(2000, seen{requests: 26, clients: 6, fresh: 1, pages: 6, paths: 23, entropy: 4.6, loading: 2.6, declared: .5, distinct: 6})
	waits := seen{requests: 1040, clients: 174, fresh: 65, pages: 170, paths: 150, entropy: 5.4, loading: 74, declared: .01, distinct: 54, errors: 96}
	var state State
	for second := range int64(60) {
		r := waits.reading()
		scores := Score(b, 2, &r)
		if second%10 == 0 {
			state.Drift(second, &r, &scores)
		}
		if state.Step(second, &r, &scores); state.Kind.Attack() {
			t.Fatalf("second %d: a %s", second, state.Kind)
		}
	}
}

// A site that fails under what a link's previews and the people after them have left behind answers late: those
// whom it has not answered yet are no attack, as long as they are no more than came.
func TestAReleaseThatDrowns(t *testing.T) {
	b := youngSite(2000, seen{requests: 18, clients: 6, fresh: 1, pages: 7, paths: 16, entropy: 4.1, loading: 1.8, declared: .55, distinct: 6, work: 2})
	waits := seen{requests: 92, clients: 46, fresh: 29, missing: 2, unknown: 2, unfamiliar: 21, pages: 64, paths: 41, entropy: 4.2, loading: 2, declared: .51, distinct: 24, errors: 60, work: 1500, direct: 52}
	for swell, want := range map[float64]schemas.Kind{180: schemas.Release, 5: schemas.Flood} {
		state := State{Open: true, Kind: schemas.Release, Swell: swell}
		for second := range int64(10) {
			r := waits.reading()
			scores := Score(b, 2, &r)
			state.Step(second, &r, &scores)
		}
		if state.Kind != want {
			t.Errorf("where %.0f clients are left of it: a %s, want a %s", swell, state.Kind, want)
		}
	}
}

// TestASiteThatMoved: what was never served before tells strangers from visitors only while visitors do not ask for it, too.
func TestASiteThatMoved(t *testing.T) {
	reading := func(clients, unknown float64) *Reading {
		r := &Reading{Requests: 5 * clients}
		r.Raw[UniqueClients], r.Raw[UnknownShare] = clients, unknown
		return r
	}
	sc := &Scores{}
	sc.Level[UniqueClients], sc.Level[UnknownShare] = 20, 0.05
	var moved, attacked State
	for range 6 {
		moved.Moved = moved.moves(reading(21, 0.7), sc)
		attacked.Moved = attacked.moves(reading(50, 0.6), sc)
	}
	if !moved.moved() || attacked.moved() {
		t.Errorf("visitors who ask for new pages: %.1f, bots besides them: %.1f", moved.Moved, attacked.Moved)
	}
	var instead State
	for range 3 { // for half a minute bots, who are many of what is asked for, in the place of visitors who stay away
		instead.Moved = instead.moves(reading(18, 0.9), sc)
	}
	if instead.moved() {
		t.Errorf("bots in the place of visitors: %.1f", instead.Moved)
	}
	for range 120 {
		moved.Moved = moved.moves(reading(20, 0.05), sc)
	}
	if moved.moved() {
		t.Error("it is never told from an attack again")
	}
}

// TestMoreVisitorsOfASiteThatMoved: the same visitors are an attack where only they ask for what was never served before, and
// none where all visitors have for a minute. So it is where each comes to a page of its own, by an old address and its new one.
func TestMoreVisitorsOfASiteThatMoved(t *testing.T) {
	one := seen{requests: 90, clients: 35, fresh: 12, unknown: 25, loading: 16, pages: 45, distinct: 28}
	own := seen{requests: 130, clients: 45, fresh: 27, unknown: 33, loading: 26, pages: 85, distinct: 70}
	for _, more := range []seen{one, own} {
		moreVisitors(t, more)
	}
}

func moreVisitors(t *testing.T, more seen) {
	b := normalSite(t)
	for _, moved := range []bool{false, true} {
		var state State
		opened := schemas.Kind("")
		for second := int64(1); second <= 180; second++ {
			s := ordinary
			if moved {
				s.unknown = 0.7 * s.clients
			}
			if second > 60 {
				s.requests, s.clients, s.fresh, s.unknown, s.loading, s.pages, s.distinct = more.requests, more.clients, more.fresh, more.unknown, more.loading, more.pages, more.distinct
			}
			r := s.reading()
			scores := Score(b, 2, &r)
			if second%10 == 0 {
				state.Drift(second, &r, &scores)
			}
			if state.Step(second, &r, &scores) == Opened {
				opened = state.Kind
			}
		}
		if opened.Attack() == moved {
			t.Errorf("the site moved %v, %+v: %q", moved, more, opened)
		}
	}
}

// TestOthersJoinACrowd: a link's readers, with assets, then a site that fails under them; who comes then, all over the
// site and with programs that it does not know, is not taken for them.
func TestOthersJoinACrowd(t *testing.T) {
	b := youngSite(170, shop)
	link := seen{requests: 400, clients: 90, fresh: 70, unknown: 3, unfamiliar: 20, pages: 100, paths: 60, entropy: 4.6, loading: 75, declared: .05, distinct: 20}
	fails := seen{requests: 200, clients: 100, fresh: 60, unknown: 3, unfamiliar: 22, errors: 180, pages: 180, paths: 40, entropy: 3.6, loading: 4, declared: .05, distinct: 20}
	joined := seen{requests: 350, clients: 240, fresh: 190, unknown: 120, unfamiliar: 140, errors: 340, pages: 340, paths: 190, entropy: 6.2, loading: 4, declared: .03, distinct: 170}
	for name, c := range map[string]struct {
		now    seen
		attack bool
	}{"more of the readers": {scaled(fails, 2), false}, "a flood": {joined, true}} {
		var state State
		for second := int64(1); second <= 90; second++ {
			now := link
			if second > 60 {
				now = between(fails, c.now, min(1, float64(second-60)/10))
			} else if second > 30 {
				now = fails
			}
			r := now.reading()
			scores := Score(b, 2, &r)
			if second%10 == 0 {
				state.Drift(second, &r, &scores)
			}
			if state.Step(second, &r, &scores); second <= 60 && state.Open && state.Kind.Attack() {
				t.Fatalf("%s: the crowd is a %s", name, state.Kind)
			}
		}
		if attack := state.Open && state.Kind.Attack(); attack != c.attack {
			t.Errorf("%s: %q", name, state.Kind)
		}
	}
}

// scaled is a window with so many times the clients and requests, for the same pages.
func scaled(s seen, by float64) seen {
	for _, v := range []*float64{&s.requests, &s.clients, &s.fresh, &s.missing, &s.unknown, &s.unfamiliar, &s.errors, &s.pages, &s.loading} {
		*v *= by
	}
	return s
}

// TestFactsOfAStepAddUp: browsers that load nothing count beside machines that say so where all of them go all over the site, where
// few have come, and together with what they miss.
func TestFactsOfAStepAddUp(t *testing.T) {
	b := youngSite(170, busy)
	for name, s := range map[string]seen{
		"they miss some": {requests: 165, clients: 47, fresh: 25, missing: 5.4, unknown: 7, unfamiliar: 4, notFound: 6, pages: 75, paths: 120, entropy: 6, loading: 20, declared: .35, distinct: 50, work: 15},
		"among machines": {requests: 230, clients: 82, fresh: 61, missing: 2, unknown: 7, unfamiliar: 4, notFound: 3, pages: 135, paths: 190, entropy: 6.5, loading: 14, declared: .615, distinct: 90, work: 15},
		"few":            {requests: 150, clients: 41, fresh: 19, missing: 1, unknown: 7, unfamiliar: 4, notFound: 3, pages: 60, paths: 100, entropy: 6, loading: 6, declared: .3, distinct: 50, work: 13},
	} {
		r := s.reading()
		sc := Score(b, 2, &r)
		missing, idle := max(0, markScore(MissingShare, &r, &sc)), idleAbove(&r, &sc)
		most := min(slowVolume(&sc)+min(max(missing, idle), slowMark), 2*slowMost) - slowStep
		got := (&State{}).marked(&r, &sc)
		if got < most || got <= 0 || missing > 0 && got < most+0.2 {
			t.Errorf("%s: a step adds %.2f; missing %.2f, idle %.2f, volume %.2f", name, got, missing, idle, slowVolume(&sc))
		}
	}
}
