package notify

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestTheStoryOfAnAttack: one message when it opens, with what weir has done by then;
// one when visitors are served again; one when it is over.
func TestTheStoryOfAnAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "team"))
		defer stop()
		s := teller{n: n}
		s.tell(opened("i1", "www.example.org", schemas.Flood, signals(112, 0, 0.62)), decided("i1-1", "i1", "www.example.org"), decided("i1-2", "i1", "www.example.org"))
		time.Sleep(4 * time.Second)
		if k := got["team"].kinds(); k != "" {
			t.Fatalf("told before what follows at once: %s", k)
		}
		time.Sleep(2 * time.Second)
		messages := got["team"].got()
		if len(messages) != 1 {
			t.Fatalf("%d messages", len(messages))
		}
		m := messages[0].flat()
		want := "38 % of visitors are being served; weir enforces 2 decisions; nothing to do in weir, it goes on looking for what stops the rest."
		if m.Headline != want || m.Severity != Critical || m.Call != Nothing || !m.First || m.Last {
			t.Errorf("%+v", m)
		}
		for _, part := range []string{"Flood on www.example.org since 2000-", "112 requests/s (normal 3.1) from 812 clients", "2 block; they touch at most 0.24 % of a site's visitors", "weir why i1", "weir top"} {
			if !strings.Contains(m.text(5000), part) {
				t.Errorf("no %q in\n%s", part, m.text(5000))
			}
		}
		for range 15 { // visitors are served again
			time.Sleep(10 * time.Second)
			n.Signals(rows("www.example.org", signals(131, 0.94, 0.01)))
		}
		time.Sleep(5 * time.Second)
		if k := got["team"].kinds(); k != "opened mitigated" {
			t.Fatalf("%s", k)
		}
		m = got["team"].got()[1].flat()
		if !strings.Contains(m.text(5000), "At its worst 131 requests/s") {
			t.Error("the worst moment came between events", m.text(5000))
		}
		if m.Headline != "99.0 % of visitors are being served; weir enforces 2 decisions and stops 94 % of the requests; nothing to do." || m.Severity != Info {
			t.Errorf("%s %s", m.Severity, m.Headline)
		}
		s.tell(closed("i1", "www.example.org", schemas.Flood))
		time.Sleep(10 * time.Second)
		messages = got["team"].got()
		m = messages[len(messages)-1].flat()
		if len(messages) != 3 || m.Kind != Closed || !m.Last || m.Headline != "Over: 100 % of visitors are being served; weir took 2 decisions; nothing to do." {
			t.Errorf("%d messages, %+v", len(messages), m)
		}
		if messages[0].Thread != m.Thread || plain(messages[0].Subject) != m.Subject {
			t.Errorf("not one thread: %q %q", messages[0].Thread, m.Thread)
		}
		time.Sleep(time.Hour)
		if k := got["team"].kinds(); k != "opened mitigated closed" {
			t.Errorf("%s", k)
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

// TestFiveSitesAreOneMessage: what is attacked together is told together, and what
// joins later is told in the same thread.
func TestFiveSitesAreOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "team"))
		defer stop()
		s := teller{n: n}
		for i := range 5 {
			site := fmt.Sprintf("s%d.example.org", i)
			s.tell(opened(fmt.Sprint("i", i), site, schemas.Flood, signals(100+float64(i), 0, 0.1*float64(i))))
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		messages := got["team"].got()
		if len(messages) != 1 || len(messages[0].Sites) != 5 || len(messages[0].Incidents) != 5 {
			t.Fatalf("%d messages: %+v", len(messages), messages)
		}
		if !strings.Contains(messages[0].text(5000), "Visitors served: s0.example.org 100 %, s1.example.org 90 %") {
			t.Error(messages[0].text(5000))
		}
		s.tell(opened("i9", "s9.example.org", schemas.Scrape, signals(50, 0, 0)))
		time.Sleep(3 * time.Minute)
		for i := range 5 {
			s.tell(closed(fmt.Sprint("i", i), fmt.Sprintf("s%d.example.org", i), schemas.Flood))
		}
		time.Sleep(5 * time.Minute)
		if k := got["team"].kinds(); k != "opened worsened" {
			t.Fatalf("%s: one is still open", k)
		}
		s.tell(closed("i9", "s9.example.org", schemas.Scrape))
		time.Sleep(time.Minute)
		if k := got["team"].kinds(); k != "opened worsened closed" {
			t.Errorf("%s", k)
		}
	})
}

// TestTwoHundredIncidentsInAMinute gives a person five messages at most, whether they
// are of one kind, of all, or each over at once.
func TestTwoHundredIncidentsInAMinute(t *testing.T) {
	kinds := []schemas.Kind{schemas.Flood, schemas.Breakage, schemas.Crowd, schemas.Scrape, schemas.Release}
	for name, one := range map[string]func(s *teller, i int){
		"one attack": func(s *teller, i int) {
			s.tell(opened(fmt.Sprint("i", i), fmt.Sprintf("s%d.example.org", i), schemas.Flood, signals(100, 0, 0.5)), decided(fmt.Sprint("d", i), fmt.Sprint("i", i), "x"))
		},
		"of all kinds": func(s *teller, i int) {
			s.tell(opened(fmt.Sprint("i", i), fmt.Sprintf("s%d.example.org", i), kinds[i%len(kinds)], signals(100, 0, 0.5)))
		},
		"each over before the next": func(s *teller, i int) {
			id, site := fmt.Sprint("i", i), fmt.Sprintf("s%d.example.org", i)
			s.tell(opened(id, site, kinds[i%len(kinds)], signals(100, 0, 0.5)), closed(id, site, kinds[i%len(kinds)]))
		},
		"flapping on one site": func(s *teller, i int) {
			id := fmt.Sprint("i", i)
			s.tell(opened(id, "www.example.org", schemas.Flood, signals(100, 0, 0.5)), closed(id, "www.example.org", schemas.Flood))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(t, "team")
				o.Gather = time.Millisecond // nothing is gathered: the hardest case
				n, got, stop := start(t, o)
				defer stop()
				s := teller{n: n}
				for i := range 200 {
					one(&s, i)
					time.Sleep(300 * time.Millisecond)
				}
				time.Sleep(9 * time.Minute) // with the minute: all of LimitSpan
				messages := got["team"].got()
				if len(messages) == 0 || len(messages) > 5 {
					t.Fatalf("%d messages", len(messages))
				}
				time.Sleep(time.Hour)
				last := got["team"].got()
				for at := range last { // never more than five in any ten minutes
					within := 0
					for _, other := range got["team"].at {
						if d := other.Sub(got["team"].at[at]); d >= 0 && d < LimitSpan {
							within++
						}
					}
					if within > 5 {
						t.Fatalf("%d messages within ten minutes", within)
					}
				}
				n.mu.Lock()
				defer n.mu.Unlock()
				if waiting := len(n.state.Queues["team"]); waiting != 0 {
					t.Errorf("%d messages still wait", waiting)
				}
				t.Logf("%d messages within ten minutes, %d in all: %s", len(messages), len(last), got["team"].kinds())
			})
		})
	}
}

// TestWhatIsCriticalHasRoom: chatter does not use up what a person may get.
func TestWhatIsCriticalHasRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "team"))
		defer stop()
		s := teller{n: n}
		for i := range 10 {
			id := fmt.Sprint("i", i)
			s.tell(opened(id, "a.example.org", schemas.Crowd, signals(100, 0, 0)), closed(id, "a.example.org", schemas.Crowd))
			time.Sleep(20 * time.Second)
		}
		s.tell(opened("i99", "b.example.org", schemas.Flood, signals(100, 0, 0.9)))
		time.Sleep(10 * time.Second)
		messages := got["team"].got()
		if len(messages) != 5 || messages[4].Severity != Critical {
			t.Fatalf("%d messages: %s", len(messages), got["team"].kinds())
		}
		time.Sleep(20 * time.Minute)
		if k := got["team"].kinds(); k != "closed closed closed closed opened digest" {
			t.Errorf("%s", k)
		}
	})
}

// TestQuietHours: what can wait comes in the morning, once; what cannot comes at once.
func TestQuietHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a bubble begins at midnight UTC
		o := options(t, "team", "awake", "alerts")
		o.Quiet = Quiet{From: 22 * 60, To: 7 * 60, Zone: time.UTC, Hold: Warning}
		awake := o.Channels["awake"]
		awake.Awake = true
		o.Channels["awake"] = awake
		n, got, stop := start(t, o)
		defer stop()
		got["alerts"].alert = true
		s := teller{n: n}
		s.tell(opened("i1", "a.example.org", schemas.Crowd, signals(100, 0, 0))) // info
		time.Sleep(time.Hour)
		s.tell(opened("i2", "b.example.org", schemas.Flood, signals(100, 0, 0.9))) // critical
		time.Sleep(time.Hour)
		s.tell(closed("i1", "a.example.org", schemas.Crowd), closed("i2", "b.example.org", schemas.Flood))
		time.Sleep(time.Hour)
		if k := got["team"].kinds(); k != "opened" || got["team"].got()[0].Severity != Critical {
			t.Errorf("at night: %s", k)
		}
		if k := got["alerts"].kinds(); k != "opened closed" {
			t.Errorf("an alert that woke somebody must end: %s", k)
		}
		if k := got["awake"].kinds(); k != "opened opened closed closed" {
			t.Errorf("the channel without quiet hours: %s", k)
		}
		time.Sleep(4*time.Hour + 30*time.Minute) // half past seven
		if k := got["team"].kinds(); k != "opened closed closed" {
			t.Errorf("in the morning: %s", k)
		}
		if m := got["team"].got()[1]; !m.First || !m.Last {
			t.Errorf("a thread that began and ended at night: %+v", m)
		}
	})
}

func TestQuietUntil(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	at := func(text string) time.Time {
		x, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, c := range []struct {
		from, to  int
		now, ends string
	}{
		{22 * 60, 7 * 60, "2026-11-21T22:30:00+01:00", "2026-11-22T07:00:00+01:00"},
		{22 * 60, 7 * 60, "2026-11-22T06:59:59+01:00", "2026-11-22T07:00:00+01:00"},
		{22 * 60, 7 * 60, "2026-11-22T07:00:00+01:00", ""},
		{22 * 60, 7 * 60, "2026-11-21T21:59:00+01:00", ""},
		{9 * 60, 17 * 60, "2026-11-21T12:00:00+01:00", "2026-11-21T17:00:00+01:00"},
		{22 * 60, 7 * 60, "2026-10-24T23:00:00+02:00", "2026-10-25T07:00:00+01:00"}, // the clock goes back
		{0, 0, "2026-11-21T12:00:00+01:00", ""},
	} {
		end, ok := Quiet{From: c.from, To: c.to, Zone: berlin}.until(at(c.now))
		if ok != (c.ends != "") || ok && !end.Equal(at(c.ends)) {
			t.Errorf("at %s: until %v %v, want %q", c.now, end, ok, c.ends)
		}
	}
}

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

// TestDecisionsBeforeTheirIncident: the two streams are read side by side.
func TestDecisionsBeforeTheirIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "team"))
		defer stop()
		s := teller{n: n}
		s.tell(decided("d1", "i1", "www.example.org"))
		time.Sleep(time.Second)
		s.tell(opened("i1", "www.example.org", schemas.Flood, signals(112, 0, 0.1)))
		time.Sleep(10 * time.Second)
		if m := got["team"].got(); len(m) != 1 || !strings.Contains(m[0].Headline, "enforces 1 decision") {
			t.Errorf("%+v", m)
		}
	})
}

// TestWorse: fewer visitors served than was told, for half a minute, is told; and so is
// a crowd that turns into an attack.
func TestWorse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "team"))
		defer stop()
		s := teller{n: n}
		s.tell(opened("i1", "www.example.org", schemas.Crowd, signals(112, 0, 0.01)))
		for range 20 {
			time.Sleep(10 * time.Second)
			n.Signals(rows("www.example.org", signals(112, 0, 0.05)))
		}
		if k := got["team"].kinds(); k != "opened" {
			t.Fatalf("%s", k)
		}
		for i := range 4 {
			time.Sleep(10 * time.Second)
			n.Signals(rows("www.example.org", signals(112, 0, 0.4)))
			if k := got["team"].kinds(); i < 2 && k != "opened" {
				t.Fatalf("after %d readings: %s", i+1, k)
			}
		}
		time.Sleep(10 * time.Second)
		if k := got["team"].kinds(); k != "opened worsened" {
			t.Fatalf("%s", k)
		}
		turned := opened("i1", "www.example.org", schemas.Flood, signals(112, 0, 0.4))
		turned.Type = schemas.IncidentUpdated
		s.tell(turned)
		time.Sleep(3 * time.Minute)
		if m := got["team"].got(); len(m) != 3 || !strings.Contains(plain(m[2].Lines[0]), "Flood on www.example.org") {
			t.Errorf("%+v", m)
		}
	})
}

// TestRestartRepeatsAndLosesNothing stops between the event and the message, and again
// between messages.
func TestRestartRepeatsAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t, "team")
		n, got, stop := start(t, o)
		open := opened("i1", "www.example.org", schemas.Flood, signals(112, 0, 0.5))
		n.Apply(schemas.StreamIncidents, 7, []schemas.Event{open})
		time.Sleep(time.Second)
		stop()
		if len(got["team"].got()) != 0 {
			t.Fatal("told already")
		}
		n, got, stop = start(t, o)
		if p := n.Position(schemas.StreamIncidents); p != 7 {
			t.Fatalf("position %d", p)
		}
		n.Apply(schemas.StreamIncidents, 7, []schemas.Event{open}) // delivered again
		time.Sleep(time.Minute)
		stop()
		if k := got["team"].kinds(); k != "opened" {
			t.Fatalf("%s", k)
		}
		n, got, stop = start(t, o)
		n.Apply(schemas.StreamIncidents, 8, []schemas.Event{closed("i1", "www.example.org", schemas.Flood)})
		time.Sleep(time.Minute)
		stop()
		if k := got["team"].kinds(); k != "closed" {
			t.Fatalf("%s", k)
		}
		o.Stream = "another bus" // counts from 1 again
		n, _, stop = start(t, o)
		if p := n.Position(schemas.StreamIncidents); p != 0 {
			t.Errorf("position %d on another bus", p)
		}
		stop()
	})
}

// TestThePastIsNotTold: a first start on an old stream, and a replay of old logs, wake
// nobody.
func TestThePastIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "team"))
		defer stop()
		s := teller{n: n}
		old := opened("i1", "www.example.org", schemas.Flood, signals(112, 0, 0.5))
		old.Time = old.Time.Add(-time.Hour)
		over := closed("i1", "www.example.org", schemas.Flood)
		over.Time = old.Time.Add(time.Minute)
		s.tell(old, over)
		time.Sleep(time.Hour)
		if k := got["team"].kinds(); k != "" {
			t.Errorf("%s", k)
		}
	})
}

// TestRoutes: by severity, site and kind; and whoever had the alarm has its end.
func TestRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t, "oncall", "shop", "all", "nobody")
		o.Routes = []Route{
			{Channels: []string{"oncall"}, Severity: Critical, Kinds: []Kind{Opened, Closed}},
			{Channels: []string{"shop"}, Sites: []string{"*.shop.example.org"}},
			{Channels: []string{"all"}},
		}
		n, got, stop := start(t, o)
		defer stop()
		s := teller{n: n}
		s.tell(opened("i1", "www.example.org", schemas.Flood, signals(112, 0, 0.5)), opened("i2", "a.shop.example.org", schemas.Crowd, signals(100, 0, 0)))
		time.Sleep(time.Minute)
		s.tell(closed("i1", "www.example.org", schemas.Flood), closed("i2", "a.shop.example.org", schemas.Crowd))
		time.Sleep(time.Minute)
		for name, want := range map[string]string{"oncall": "opened closed", "shop": "opened closed", "all": "opened opened closed closed", "nobody": ""} {
			if k := got[name].kinds(); k != want {
				t.Errorf("%s: %q, want %q", name, k, want)
			}
		}
		if m := got["oncall"].got(); len(m) == 2 && (m[0].Thread != m[1].Thread || m[1].Severity != Info) {
			t.Errorf("%+v", m)
		}
	})
}

// TestTroubleOfWeirItself is told when it lasts, and when it has ended.
func TestTroubleOfWeirItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t, "team")
		var ill atomic.Bool
		blink := 0
		o.Ailing = func() []Ailment {
			blink++
			var found []Ailment
			if ill.Load() {
				found = append(found, Ailment{Key: "edge nginx", Edge: true, Severity: Critical, What: "nginx refuses \x1b[31m<!channel>", Mend: "nginx -t"})
			}
			if blink == 3 {
				found = append(found, Ailment{Key: "disk", Severity: Warning, What: "for a moment"})
			}
			return found
		}
		_, got, stop := start(t, o)
		defer stop()
		time.Sleep(time.Minute)
		ill.Store(true)
		time.Sleep(15 * time.Second)
		if k := got["team"].kinds(); k != "" {
			t.Fatalf("after 15 s: %s", k)
		}
		time.Sleep(time.Minute)
		ill.Store(false)
		time.Sleep(5 * time.Minute)
		messages := got["team"].got()
		if k := got["team"].kinds(); k != "edge over" || messages[0].Thread != messages[1].Thread || !messages[1].Last {
			t.Fatalf("%s %+v", k, messages)
		}
		if text := messages[0].text(2000); strings.ContainsRune(text, 0x1b) || !strings.Contains(text, "not in force at an edge") {
			t.Error(text)
		}
	})
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
		const want = "It is not known what share of visitors is being served; weir decides nothing that stops the attack: it might touch 45 % of the people: user_agent=\"\\x1b[2J https[:]//evil.example\"; weir goes on looking; see for yourself: weir why i1."
		if m := messages[1].flat(); m.Headline != want || m.Severity != Critical {
			t.Errorf("%s %s", m.Severity, m.Headline)
		}
	})
}
