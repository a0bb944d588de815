package notify

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestWhatIsForTheReader: each situation says which of three it is.
func TestWhatIsForTheReader(t *testing.T) {
	const site = "www.example.org"
	lift := func(id string) schemas.Event {
		e := decided(id, "i1", site)
		e.Type, e.Reason = schemas.DecisionRemoved, "lifted: it matched visitors that this site knows"
		return e
	}
	for name, c := range map[string]struct {
		mode     string
		events   func() []schemas.Event
		severity Severity
		call     Call
		headline string
	}{
		"enforced, served": {"enforce", func() []schemas.Event {
			return []schemas.Event{opened("i1", site, schemas.Flood, signals(112, 0.9, 0.005)), decided("d1", "i1", site)}
		}, Warning, Nothing, "99.5 % of visitors are being served; weir enforces 1 decision and stops 90 % of the requests; nothing to do."},
		"observed": {"observe", func() []schemas.Event {
			return []schemas.Event{opened("i1", site, schemas.Flood, signals(112, 0, 0.5)), decided("d1", "i1", site)}
		}, Critical, Accept, "50 % of visitors are being served; weir has taken 1 decision and enforces none (mode observe); look at the evidence and accept: weir decisions accept i1."},
		"proposed, served": {"propose", func() []schemas.Event {
			return []schemas.Event{opened("i1", site, schemas.Scrape, signals(112, 0, 0)), decided("d1", "i1", site)}
		}, Warning, Accept, "100 % of visitors are being served; weir has taken 1 decision and enforces none (mode propose); look at the evidence and accept: weir decisions accept i1."},
		"nothing found yet": {"enforce", func() []schemas.Event {
			return []schemas.Event{opened("i1", site, schemas.Flood, signals(112, 0, 0.5))}
		}, Critical, Nothing, "50 % of visitors are being served; weir has found nothing yet that stops the attack and spares visitors; nothing to do."},
		"not known": {"enforce", func() []schemas.Event {
			return []schemas.Event{opened("i1", site, schemas.Flood, nil)}
		}, Critical, Nothing, "It is not known what share of visitors is being served; weir has found nothing yet that stops the attack and spares visitors; nothing to do."},
		"it hurts": {"enforce", func() []schemas.Event {
			return []schemas.Event{opened("i1", site, schemas.Flood, signals(112, 0.5, 0.2)), decided("d1", "i1", site), decided("d2", "i1", site), lift("d2")}
		}, Critical, PanicOff, "80 % of visitors are being served; weir enforces 1 decision and stops 50 % of the requests; a decision was lifted because it matched known visitors. If visitors are refused: weir panic off."},
		"breakage": {"enforce", func() []schemas.Event {
			return []schemas.Event{opened("i1", site, schemas.Breakage, signals(3, 0, 0.7))}
		}, Critical, Nothing, "30 % of visitors are being served; weir does nothing: the application fails, with no more visitors than normal; nothing to do in weir: look at the application."},
		"crowd": {"enforce", func() []schemas.Event {
			return []schemas.Event{opened("i1", site, schemas.Crowd, signals(300, 0, 0.02))}
		}, Info, Nothing, "98 % of visitors are being served; weir does nothing: these are visitors; nothing to do."},
		"crowd, too many": {"enforce", func() []schemas.Event {
			return []schemas.Event{opened("i1", site, schemas.Crowd, signals(300, 0, 0.4))}
		}, Critical, Nothing, "60 % of visitors are being served; weir does nothing: these are visitors; nothing to do in weir: the application has too little capacity for them."},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(t, "team")
				o.Mode = func(string) string { return c.mode }
				n, got, stop := start(t, o)
				defer stop()
				(&teller{n: n}).tell(c.events()...)
				time.Sleep(10 * time.Second)
				messages := got["team"].got()
				if len(messages) != 1 {
					t.Fatalf("%d messages", len(messages))
				}
				m := messages[0].flat()
				if m.Severity != c.severity || m.Call != c.call || m.Headline != c.headline {
					t.Errorf("%s, %s\n%s\nwant\n%s", m.Severity, m.Call, m.Headline, c.headline)
				}
			})
		})
	}
}

// TestNothingIsEnforced: after weir panic off the first line says so, and does not ask
// for it again; where no nginx is weir's, it does not say that one is held.
func TestNothingIsEnforced(t *testing.T) {
	for name, c := range map[string]struct {
		mode, idle, want string
		kind             schemas.Kind
		call             Call
	}{
		"panic off":                {"enforce", "", "38 % of visitors are being served; weir has taken 1 decision and enforces nothing (panic off); to enforce again: weir panic on.", schemas.Flood, Nothing},
		"panic off, and proposed":  {"propose", "", "38 % of visitors are being served; weir has taken 1 decision and enforces nothing (panic off); to enforce again: weir panic on.", schemas.Flood, Nothing},
		"panic off, and no attack": {"enforce", "", "38 % of visitors are being served; weir has taken 1 decision and enforces nothing (panic off); nothing to do in weir: the application has too little capacity for them.", schemas.Crowd, Nothing},
		"no nginx":                 {"enforce", "no nginx", "38 % of visitors are being served; weir has taken 1 decision and enforces nothing (no nginx); nothing to do.", schemas.Flood, Nothing},
		"no nginx, and proposed":   {"propose", "no nginx", "38 % of visitors are being served; weir has taken 1 decision and enforces none (mode propose); look at the evidence and accept: weir decisions accept i1.", schemas.Flood, Accept},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(t, "team")
				o.Mode, o.Enforcing, o.Idle = func(string) string { return c.mode }, func() bool { return false }, c.idle
				n, got, stop := start(t, o)
				defer stop()
				s := teller{n: n}
				s.tell(opened("i1", "www.example.org", c.kind, signals(112, 0, 0.62)), decided("i1-1", "i1", "www.example.org"))
				time.Sleep(6 * time.Second)
				messages := got["team"].got()
				if len(messages) != 1 {
					t.Fatalf("%d messages", len(messages))
				}
				m := messages[0].flat()
				if m.Headline != c.want || m.Call != c.call || strings.Contains(m.text(5000), "In force") {
					t.Errorf("%s: %s", m.Call, m.text(5000))
				}
			})
		})
	}
}

// TestSaysWhyNothingIsDecided: once, in the thread of the attack, and with hostile text as text.
func TestSaysWhyNothingIsDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "team"))
		defer stop()
		s := teller{n: n}
		s.tell(opened("i1", "www.example.org", schemas.Flood, signals(112, 0, 0.7)))
		time.Sleep(30 * time.Second)
		told := opened("i1", "www.example.org", schemas.Flood, signals(112, 0, 0.7))
		told.Type = schemas.IncidentUpdated
		told.Undecided = []schemas.Undecided{{Site: "www.example.org", Cap: "collateral", Why: "it might touch 45 % of the people: user_agent=\"\x1b[2J https://evil.example\""}}
		s.tell(told, told, told)
		time.Sleep(5 * time.Minute)
		messages := got["team"].got()
		if k := got["team"].kinds(); k != "opened worsened" {
			t.Fatalf("%s", k)
		}
		const want = "It is not known what share of visitors is being served; weir decides nothing that stops the attack on www.example.org: it might touch 45 % of the people: user_agent=\"\\x1b[2J https[:]//evil.example\"; weir goes on looking; see for yourself: weir why i1."
		if m := messages[1].flat(); m.Headline != want || m.Severity != Critical {
			t.Errorf("%s %s", m.Severity, m.Headline)
		}
	})
}

// TestCalledNormal: an end by a person's word says whose it was, and is not good news while
// visitors are not served.
func TestCalledNormal(t *testing.T) {
	for served, want := range map[float64]struct {
		severity Severity
		headline string
	}{
		0.03: {Warning, "Over: 3 % of visitors are being served; anna called it normal traffic, so that weir's 1 decision ended; look whether the site is well: weir does nothing more."},
		1:    {Info, "Over: 100 % of visitors are being served; anna called it normal traffic, so that weir's 1 decision ended; nothing to do."},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, got, stop := start(t, options(t, "team"))
			defer stop()
			s := teller{n: n}
			s.tell(opened("i1", "www.example.org", schemas.Flood, signals(112, 0, 1-served)), decided("i1-1", "i1", "www.example.org"))
			time.Sleep(10 * time.Second)
			end := closed("i1", "www.example.org", schemas.Flood)
			end.Cause, end.Signals = schemas.ClosedAsNormal+"anna: 112 requests/s", signals(112, 0, 1-served)
			s.tell(end)
			time.Sleep(10 * time.Second)
			messages := got["team"].got()
			if m := messages[len(messages)-1].flat(); m.Headline != want.headline || m.Severity != want.severity || !m.Last {
				t.Errorf("%s: %s", m.Severity, m.Headline)
			}
		})
	}
}

// TestTogetherIsNotAddedUp: each decision says what all that were in force with it touch together;
// that is told once, not for each of them.
func TestTogetherIsNotAddedUp(t *testing.T) {
	at := time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC)
	s := &story{o: &Options{}, state: newState(at), readings: map[string]reading{}, mode: func(string) string { return "enforce" }}
	open := schemas.Event{Type: schemas.IncidentOpened, Time: at, Sites: []string{"www.example.org"}, Incident: "i1", Kind: schemas.Flood, Opened: at}
	s.apply(&open, at)
	for n := range 144 {
		e := decided(fmt.Sprintf("i1-%d", n), "i1", "www.example.org")
		e.Expires = at.Add(time.Minute)
		e.Evidence = &schemas.Evidence{Together: 0.002 + float64(n)*1e-5}
		s.apply(&e, at)
		e.Type, e.Evidence = schemas.DecisionRenewed, nil // of a snapshot
		s.apply(&e, at)
	}
	if got := s.count(s.state.Groups[0], at).collateral; got < 0.0034 || got > 0.0035 {
		t.Errorf("144 decisions touch %.4f of the visitors together, want 0.0034", got)
	}
	hand := decided("i1-old", "i1", "www.example.org")
	hand.Expires = at.Add(time.Minute)
	s.apply(&hand, at)
	if got := s.count(s.state.Groups[0], at).collateral; got < 0.0046 || got > 0.0047 {
		t.Errorf("with one more that does not say so, %.4f, want 0.0046", got)
	}
}

// TestSaysWhyNoMoreIsDecided: what is left of an attack of which a part is stopped, where visitors are not served, and once
// whatever becomes of its figures.
func TestSaysWhyNoMoreIsDecided(t *testing.T) {
	for served, want := range map[float64]struct{ kinds, headline string }{
		0.3: {"opened worsened", "30 % of visitors are being served; weir enforces 1 decision and stops 40 % of the requests, and leaves 55 % of the attack's on www.example.org and 1 more: it might touch 4 % of the people; weir goes on looking; see for yourself: weir why i1."},
		1:   {"opened", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, got, stop := start(t, options(t, "team"))
			defer stop()
			s := teller{n: n}
			event := func(left float64) schemas.Event {
				e := opened("i1", "www.example.org", schemas.Flood, signals(112, 0.4, 1-served))
				if left > 0 {
					e.Type = schemas.IncidentUpdated
					e.Undecided = []schemas.Undecided{
						{Site: "www.example.org", Cap: "collateral", Why: "it might touch 4 % of the people", Left: left}, {Site: "shop.example.org", Cap: "alike", Why: "x", Left: 0.3},
					}
				}
				return e
			}
			s.tell(event(0), decided("i1-1", "i1", "www.example.org"))
			time.Sleep(30 * time.Second)
			s.tell(event(0.55))
			for i := range 30 {
				time.Sleep(10 * time.Second)
				if n.Signals(rows("www.example.org", signals(112, 0.4, 1-served))); i == 20 {
					s.tell(event(0.8))
				}
			}
			messages := got["team"].got()
			if k := got["team"].kinds(); k != want.kinds {
				t.Fatalf("%.0f %% are served: %s", 100*served, k)
			}
			if m := messages[len(messages)-1].flat(); want.headline != "" && m.Headline != want.headline {
				t.Errorf("%s", m.Headline)
			}
		})
	}
}

// TestSaysWhereNothingIsDecided: of an attack that is stopped at one site, that nothing stops it at another is said even where visitors
// are served, and not taken for a part that is left.
func TestSaysWhereNothingIsDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "team"))
		defer stop()
		s := teller{n: n}
		e := opened("i1", "www.example.org", schemas.Flood, signals(112, 0.4, 0))
		s.tell(e, decided("i1-1", "i1", "www.example.org"))
		time.Sleep(30 * time.Second)
		e.Type = schemas.IncidentUpdated
		e.Undecided = []schemas.Undecided{{Site: "shop.example.org", Cap: "alike", Why: "nothing was found"}, {Site: "www.example.org", Cap: "collateral", Why: "x", Left: 0.3}}
		s.tell(e)
		for range 30 {
			time.Sleep(10 * time.Second)
			n.Signals(rows("www.example.org", signals(112, 0.4, 0)))
		}
		messages := got["team"].got()
		if len(messages) < 2 {
			t.Fatalf("%s", got["team"].kinds())
		}
		const want = "and stops 40 % of the requests, and decides nothing that stops the attack on shop.example.org: nothing was found; "
		if m := messages[1].flat(); m.Kind != Worsened || !strings.Contains(m.Headline, want) {
			t.Errorf("%s %s", m.Kind, m.Headline)
		}
	})
}
