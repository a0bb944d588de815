package processor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// borrowed is an attack by an ever new address with the programs of a few of the visitors, for so long.
func borrowed(from, to int64, requests int) *traffic {
	tr := newTraffic(91)
	tr.people(0, to+minute, 0.8)
	for range requests {
		tr.add(from+tr.r.Int64N(to-from), tr.client(), &browsers[2*tr.r.IntN(3)], fmt.Sprintf("/page%d", tr.r.IntN(9)), "", false, 200)
	}
	return tr
}

// part is an attack of which one half can be told apart from visitors.
func part() *traffic {
	tr := borrowed(41*minute, 44*minute, 6000)
	tr.botnet(41*minute, 44*minute, 6000, 2000)
	return tr
}

// undecidedEvents are the changes of what is said on why nothing is decided: the caps, "" for none.
func undecidedEvents(log []schemas.Event) (caps []string, told []schemas.Undecided) {
	last := ""
	for _, e := range log {
		if e.Decision != nil || e.Type == schemas.IncidentClosed {
			continue
		}
		is := ""
		for _, u := range e.Undecided {
			if is += u.Cap; u.Left > 0 {
				is = "more: " + is
			}
			told = append(told, u)
		}
		if is != last {
			caps, last = append(caps, is), is
		}
	}
	return caps, told
}

// TestSaysOnceWhyNothingIsDecided: what stops the attack might touch more visitors than may be, too little is known of the
// site, or the probation is over. A person is told why, once, and that something is decided.
func TestSaysOnceWhyNothingIsDecided(t *testing.T) {
	attack := func() *traffic { return borrowed(41*minute, 47*minute, 6000) }
	joined := borrowed(41*minute, 49*minute, 8000) // by bots that can be told apart
	joined.botnet(46*minute, 49*minute, 9000, 3000)
	for name, test := range map[string]struct {
		traffic *traffic
		options func(*Options)
		caps    string // in order, "" where something is decided
		setting string
		why     string
	}{
		"collateral": {attack(), func(o *Options) { o.Collateral = 0.00001 }, "collateral", "decisions.collateral", "0.001 % may be blocked and 0.003 % challenged"},
		"a part":     {part(), func(o *Options) { o.Collateral = 0.004 }, "more: collateral", "decisions.collateral", "0.4 % may be blocked"},
		"joined":     {joined, func(o *Options) { o.Collateral = 0.002 }, "collateral,", "decisions.collateral", "0.2 % may be blocked"},
		"baseline":   {attack(), func(o *Options) { o.MinBaseline = 2 * time.Hour }, "baseline", "processor.min_baseline", "decides from 2h on"},
		"clients":    {attack(), func(o *Options) { o.MinClients = 1_000_000 }, "clients", "", "of fewer than 1000000"},
	} {
		o := small
		test.options(&o)
		e, _ := run(t, make1(t, o), test.traffic.batches(500))
		for _, ev := range e.log {
			if err := ev.Validate(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		caps, told := undecidedEvents(e.log)
		if got := strings.Join(caps, ","); got != test.caps {
			t.Errorf("%s: told %q, want %q", name, got, test.caps)
			continue
		}
		t.Logf("%s: %s", name, told[0].String())
		if u := told[0]; u.Site != "www.example.org" || u.Setting != test.setting || !strings.Contains(u.Why, test.why) {
			t.Errorf("%s: %+v", name, u)
		}
	}
}

// TestWhyNothingIsDecidedOutlivesARestart: what was told is not told again by who goes on, and is in what that says next.
func TestWhyNothingIsDecidedOutlivesARestart(t *testing.T) {
	o := small
	o.MinClients = 1_000_000
	tr := borrowed(41*minute, 47*minute, 6000)
	p, e := make1(t, o), newEdge()
	batches := tr.batches(100)
	told := func() int { _, all := undecidedEvents(e.log); return len(all) }
	for len(batches) > 0 && told() == 0 {
		e.run(p, batches[:1])
		batches = batches[1:]
	}
	q := reloaded(t, p, o)
	e.run(q, batches)
	if n := told(); n != 1 {
		t.Errorf("told %d times", n)
	}
	if s := q.detector.index["www.example.org"]; s.incident == nil || len(s.event(schemas.IncidentUpdated, time.Now()).Undecided) != 1 {
		t.Error("who goes on does not know")
	}
}

// TestNothingIsSaidOfAnAttackThatIsOver: half a minute counts while the site is attacked, not while the incident waits to be closed.
func TestNothingIsSaidOfAnAttackThatIsOver(t *testing.T) {
	o := small
	o.MinClients = 1_000_000
	for name, test := range map[string]struct {
		lasts int64 // milliseconds
		want  string
	}{"short": {20_000, ""}, "long": {90_000, "clients"}} {
		tr := borrowed(41*minute, 41*minute+test.lasts, int(test.lasts/25))
		tr.people(42*minute, 47*minute, 0.8)
		e, _ := run(t, make1(t, o), tr.batches(500))
		caps, _ := undecidedEvents(e.log)
		if got := strings.Join(caps, ","); got != test.want || len(e.log) == 0 {
			t.Errorf("%s: told %q, want %q, in %d events", name, got, test.want, len(e.log))
		}
	}
}

// TestWhatIsToldAnew: a cap that stays is told again where its figures are others.
func TestWhatIsToldAnew(t *testing.T) {
	told := schemas.Undecided{Cap: "collateral", Stops: 0.9, Touches: 0.02, Clients: 40}
	for name, c := range map[string]struct {
		change func(u *schemas.Undecided)
		alike  bool
	}{
		"little":       {func(u *schemas.Undecided) { u.Stops, u.Touches, u.Clients = 0.75, 0.03, 170 }, true},
		"another cap":  {func(u *schemas.Undecided) { u.Cap = "hurt" }, false},
		"it stops":     {func(u *schemas.Undecided) { u.Stops = 0.6 }, false},
		"it touches":   {func(u *schemas.Undecided) { u.Touches = 0.2 }, false},
		"by addresses": {func(u *schemas.Undecided) { u.Clients = 2000 }, false},
		"a part":       {func(u *schemas.Undecided) { u.Left = 0.1 }, false},
	} {
		now := told
		if c.change(&now); alike(&told, &now) != c.alike || alike(&now, &told) != c.alike {
			t.Errorf("%s: alike is %v", name, !c.alike)
		}
	}
}

// TestACapThatStaysIsToldAnew: what is told while one cap stands is told again once its figures are others, and not while they are
// about the same; another cap, or what is left of what is decided, must stand for two looks.
func TestACapThatStaysIsToldAnew(t *testing.T) {
	p := make1(t, small)
	s := p.detector.site("www.example.org")
	s.incident = &incident{id: "i1", second: 100, all: &together{}}
	told := 0
	tell := func(why schemas.Undecided) int {
		before := told
		s.tellWhy(why, 200, func(schemas.Event) { told++ })
		return told - before
	}
	first := schemas.Undecided{Cap: "collateral", Stops: 0.9, Touches: 0.02}
	same, other, part := first, first, first
	same.Stops, other.Stops, part.Left = 0.8, 0.5, 0.4
	for i, c := range []struct {
		why  schemas.Undecided
		want int
	}{{first, 1}, {same, 0}, {other, 1}, {schemas.Undecided{Cap: "hurt"}, 0}, {schemas.Undecided{Cap: "hurt"}, 1}, {part, 0}, {part, 1}, {part, 0}} {
		if got := tell(c.why); got != c.want {
			t.Errorf("look %d, %+v: told %d times, want %d", i, c.why, got, c.want)
		}
	}
}
