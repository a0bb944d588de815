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
