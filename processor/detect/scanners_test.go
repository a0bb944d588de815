package detect

import (
	"testing"

	"github.com/weir-project/weir/processor/baseline"
	"github.com/weir-project/weir/schemas"
)

// Several of the scanners that there always are, for a moment, are no scan.
func TestScannersThatMeet(t *testing.T) {
	b := youngSite(170, busy)
	met := seen{requests: 140, clients: 30, fresh: 6, missing: 7, unknown: 9, unfamiliar: 6, notFound: 74, holes: 48, pages: 92, paths: 110, entropy: 5.8, loading: 11, declared: .45, distinct: 60, work: 14}
	var state State
	for second := range int64(300) {
		now := busy
		if second%60 < 9 {
			now = met
		}
		r := now.reading()
		scores := Score(b, 2, &r)
		if state.Step(second, &r, &scores) != None {
			t.Fatalf("second %d: %s", second, state.Kind)
		}
	}
}

// A busy site is never without scanners, and every few hours six of them meet for some seconds: what a quiet
// week of fifty requests a second brought, eleven times. Four machines that try names by the thousand are
// noticed there all the same, and as many that are slower, but faster than those: that try ten a second together.
// On a site of fifteen a second eight of them met.
func TestScannersOfABusySite(t *testing.T) {
	usual := seen{requests: 374, clients: 108, fresh: 12.8, missing: 5, unknown: 6, unfamiliar: 11, notFound: 15, holes: 12, pages: 138, paths: 210, entropy: 6.6, loading: 34, declared: .55, distinct: 88, work: 9}
	wiki := seen{requests: 142, clients: 44, fresh: 6.7, missing: 1.2, unknown: 1.8, unfamiliar: 7, notFound: 3.4, holes: 2.4, pages: 54, paths: 89, entropy: 6.1, loading: 17, declared: .55, distinct: 38, work: 9}
	cases := map[string]struct {
		usual, now seen
		kind       schemas.Kind
	}{
		"four that are no slower than that": {
			usual, seen{requests: 470, clients: 110, fresh: 16, missing: 9, unknown: 10, unfamiliar: 14, notFound: 112, holes: 50, pages: 236, paths: 290, entropy: 7.1, loading: 34, declared: .55, distinct: 180, work: 16}, schemas.Scan,
		},
		"eight of those that a wiki always has": {
			wiki, seen{requests: 214, clients: 52, fresh: 9, missing: 8.5, unknown: 9, unfamiliar: 12, notFound: 69, holes: 55, pages: 127, paths: 131, entropy: 6.7, loading: 20, declared: .47, distinct: 74, work: 32}, "",
		},
		"six of those that it always has": {
			usual, seen{requests: 414, clients: 110, fresh: 17, missing: 12, unknown: 13, unfamiliar: 19, notFound: 88, holes: 71, pages: 212, paths: 244, entropy: 6.8, loading: 32, declared: .61, distinct: 120, work: 16}, "",
		},
		"four that do nothing else": {
			usual, seen{requests: 540, clients: 112, fresh: 17, missing: 9, unknown: 10, unfamiliar: 15, notFound: 181, holes: 60, pages: 305, paths: 350, entropy: 7.3, loading: 34, declared: .55, distinct: 240, work: 16}, schemas.Scan,
		},
	}
	for name, c := range cases {
		b := youngSite(2000, c.usual)
		var state State
		for second := range int64(60) {
			r := between(c.usual, c.now, min(1, float64(second)/10)).reading()
			scores := Score(b, 2, &r)
			if second%10 == 9 {
				state.Drift(second, &r, &scores)
			}
			state.Step(second, &r, &scores)
			if second == 29 && state.Kind != c.kind || state.Kind.Attack() && c.kind == "" {
				t.Fatalf("%s: second %d: %q, want %q (%+v)", name, second, state.Kind, c.kind, Signals(&r, &scores))
			}
		}
	}
}

// What five of them try is most of what a small site is asked for, costs the application much, and is pages that bring
// no assets, whoever asks for them; as many requests of clients that share the work are an attack.
func TestScannersThatMeetOnASmallSite(t *testing.T) {
	usual := seen{requests: 39.5, clients: 11, fresh: 1, pages: 12.8, paths: 30.6, entropy: 4.9, loading: 5, declared: .42, distinct: 11.2, direct: 10.7, work: 3.6}
	met := seen{requests: 90, clients: 22, fresh: 4, missing: 5, unknown: 5, unfamiliar: 4, notFound: 42, holes: 37, pages: 67, paths: 63, entropy: 5.7, loading: 4, declared: .545, distinct: 40, direct: 77, work: 19}
	shared := met
	shared.missing, shared.unknown, shared.unfamiliar = 16, 16, 14
	b, tail := youngSite(2000, usual), Tail{Steps: 8640}
	for name, c := range map[string]struct {
		now    seen
		attack bool
	}{"five scanners": {met, false}, "a botnet": {shared, true}} {
		var state State
		for range persist {
			r := c.now.reading()
			scores := Score(b, 2, &r)
			scores.Limits = LimitsOf(&tail, 1, 1)
			state.Step(1, &r, &scores)
		}
		if attack := state.Open && state.Kind.Attack(); attack != c.attack {
			t.Errorf("%s: %q", name, state.Kind)
		}
	}
}

// Scanners that any site has come in swarms: fourteen of them at once, of a browser's new version's long day, whose
// misses cost the application enough to count as volume, too. As many clients again that share the work are an attack.
func TestASwarmOfScanners(t *testing.T) {
	usual := seen{requests: 168, clients: 45, fresh: 5.3, missing: 2.6, unknown: 2.6, unfamiliar: 1.6, notFound: 8.3, holes: 6, pages: 55, paths: 101, entropy: 6.5, loading: 17, declared: .5, distinct: 39, work: 14}
	swarm := seen{requests: 276, clients: 56, fresh: 19, missing: 17, unknown: 17, unfamiliar: 11, notFound: 81, holes: 66, pages: 131, paths: 126, entropy: 6.45, loading: 14, declared: .55, distinct: 66, work: 40}
	shared := swarm
	shared.clients, shared.fresh, shared.missing, shared.unknown, shared.unfamiliar, shared.declared = 80, 43, 41, 41, 35, .35
	b, tail := youngSite(2000, usual), Tail{Steps: 8640}
	for name, c := range map[string]struct {
		now    seen
		attack bool
	}{"a swarm": {swarm, false}, "a botnet": {shared, true}} {
		var state State
		for second := range int64(60) {
			now := usual
			if second >= 20 && second < 45 {
				now = c.now
			}
			r := now.reading()
			scores := Score(b, 2, &r)
			scores.Limits = LimitsOf(&tail, 1, 1)
			if second%10 == 9 {
				state.Drift(second, &r, &scores)
			}
			state.Step(second, &r, &scores)
		}
		if attack := state.Open && state.Kind.Attack(); attack != c.attack {
			t.Errorf("%s: %q", name, state.Kind)
		}
	}
}

// TestAScanThatBringsASiteDown: a few clients ask for much that is not there, until the application answers hardly
// anything any more; what failed is not held to have been there.
func TestAScanThatBringsASiteDown(t *testing.T) {
	b := youngSite(170, shop)
	scan := seen{requests: 130, clients: 12, fresh: 6, missing: 4, unknown: 2, unfamiliar: 4, notFound: 90, holes: 60, pages: 105, paths: 105, entropy: 6.2, loading: 6, declared: .3, distinct: 90}
	down := seen{requests: 600, clients: 13, fresh: 5, missing: 4, unknown: 2, unfamiliar: 4, notFound: 90, holes: 60, errors: 460, pages: 570, paths: 420, entropy: 8, loading: 2, declared: .4, distinct: 400}
	for name, now := range map[string]seen{"still answers": scan, "hardly answers": down} {
		r := now.reading()
		scores := Score(b, 2, &r)
		scores.Score[NotFoundShare] = min(scores.Score[NotFoundShare], scanScore+5*r.Raw[NotFoundShare]-1) // what is missed there differs much
		if !scanning(&r, &scores) {
			t.Errorf("a site that %s: no scan; missed %.0f, score %.1f, of what was answered %.1f", name, missed(&r, &scores), scores.Score[NotFoundShare], missedScore(&r, &scores))
		}
	}
	broken := seen{requests: 600, clients: 13, fresh: 5, missing: 1, unknown: 1, unfamiliar: 3, notFound: 20, errors: 560, pages: 570, paths: 420, entropy: 8, loading: 2, declared: .4, distinct: 400}
	if r := broken.reading(); scannedAt(b, &r) {
		t.Error("a site that fails a few clients is taken for one that is scanned")
	}
}

// TestAnOutageBesideAScanner: what visitors of a busy site reload while much of it fails is answered in part, and hides a
// scanner as it would if none of it failed.
func TestAnOutageBesideAScanner(t *testing.T) {
	b := youngSite(2000, seen{requests: 374, clients: 108, fresh: 12.8, missing: 5, unknown: 6, unfamiliar: 11, notFound: 15, holes: 12, pages: 138, paths: 210, entropy: 6.6, loading: 34, declared: .55, distinct: 88, work: 9})
	for errors, scan := range map[float64]bool{280: false, 560: true} { // of the latter, hardly anything is answered that is there
		now := seen{requests: 700, clients: 120, fresh: 20, missing: 9, unknown: 10, unfamiliar: 14, notFound: 112, holes: 70, errors: errors, pages: 400, paths: 420, entropy: 7.1, loading: 40, declared: .5, distinct: 200, work: 30}
		if r := now.reading(); scannedAt(b, &r) != scan {
			t.Errorf("%.0f errors: a scan %v", errors, !scan)
		}
	}
}

func scannedAt(b *baseline.Site, r *Reading) bool {
	scores := Score(b, 2, r)
	return scanning(r, &scores)
}
