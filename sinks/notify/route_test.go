package notify

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-project/weir/schemas"
)

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
