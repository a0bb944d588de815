package detect

import (
	"testing"

	"github.com/weir-project/weir/schemas"
)

// TestASmallSiteThatFails plays what is lost on a site of two requests a second: whoever finds it broken comes back once
// or twice, so that no ten seconds have much of it; and what is none of a site's breaking.
func TestASmallSiteThatFails(t *testing.T) {
	usual := seen{requests: 18, clients: 6, fresh: 1.5, unknown: .3, unfamiliar: 1, pages: 6, paths: 12, entropy: 3.2, loading: 3, declared: .2, distinct: 5, work: 2}
	down := seen{requests: 9, clients: 6, fresh: 1.5, unfamiliar: 1, errors: 8, pages: 8, paths: 5, entropy: 2, declared: .2, distinct: 4}
	some := usual
	some.errors = 7
	one := seen{requests: 14, clients: 2, errors: 14, pages: 14, paths: 1, declared: .5, distinct: 1}
	back := usual
	strangers := seen{requests: 60, clients: 50, fresh: 46, unfamiliar: 12, errors: 55, pages: 60, paths: 5, entropy: 2, distinct: 4}
	cases := map[string]struct {
		steps []seen // in turn
		open  bool
	}{
		"most of what is asked for":         {[]seen{down}, true},
		"a third":                           {[]seen{some}, true},
		"nothing for ten seconds in a half": {[]seen{down, back, back}, false},
		"what one client asks for":          {[]seen{one}, false},
		"what many strangers ask for":       {[]seen{strangers}, false},
	}
	for name, c := range cases {
		b := youngSite(360, usual)
		var state State
		opened := int64(0)
		for second := int64(1); second <= 240 && opened == 0; second++ {
			r := c.steps[(second-1)/10%int64(len(c.steps))].reading()
			scores := Score(b, 2, &r)
			if second%10 == 0 {
				state.Drift(second, &r, &scores)
			}
			if state.Step(second, &r, &scores) == Opened && state.Kind == schemas.Breakage {
				opened = second
			}
		}
		if c.open != (opened > 0) || c.open && opened > 60 {
			t.Errorf("%s: a breakage after %d s (0 is none), want one within a minute %v", name, opened, c.open)
		}
		if c.open && !state.Suspicious() {
			t.Errorf("%s: it is learned as normal", name)
		}
	}
}

// TestASiteOfWhichMuchFails: what fails at all times is not broken today.
func TestASiteOfWhichMuchFails(t *testing.T) {
	usual := seen{requests: 30, clients: 8, fresh: 2, unknown: .3, unfamiliar: 1, pages: 12, paths: 15, entropy: 3.4, loading: 3, declared: .2, distinct: 6, work: 2, errors: 9}
	b, r := youngSite(360, usual), usual
	r.errors = 14
	now := r.reading()
	scores := Score(b, 2, &now)
	var state State
	for second := range int64(240) {
		if second%10 == 0 {
			state.Drift(second, &now, &scores)
		}
		if state.Step(second, &now, &scores) != None {
			t.Fatalf("a %s after %d s", state.Kind, second)
		}
	}
}

// TestASiteThatNobodyAsksFor: what was lost before everybody went away is forgotten within some minutes, so that the site
// is at rest.
func TestASiteThatNobodyAsksFor(t *testing.T) {
	usual := seen{requests: 18, clients: 6, fresh: 1.5, pages: 6, paths: 12, entropy: 3.2, loading: 3, distinct: 5, work: 2}
	failed := seen{requests: 9, clients: 6, errors: 8, pages: 8, paths: 5, entropy: 2, distinct: 4}
	b := youngSite(360, usual)
	var state State
	for second := int64(10); second <= 600; second += 10 {
		now := seen{}
		if second <= 20 {
			now = failed
		}
		r := now.reading()
		scores := Score(b, 2, &r)
		state.Drift(second, &r, &scores)
		if second == 20 && state.Lost == 0 {
			t.Fatal("nothing was lost")
		}
	}
	if state.Suspicious() {
		t.Errorf("after ten minutes of silence: %+v", state)
	}
}
