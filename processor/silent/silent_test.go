package silent

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

var start = time.Date(2026, time.November, 29, 20, 0, 0, 0, time.UTC)

// edge makes an edge's vitals, a second each.
type edge struct {
	at time.Time
	r  *rand.Rand
	w  *Watch
}

// learned is an edge that has had a quarter of an hour of ordinary traffic.
func learned(t *testing.T) *edge {
	t.Helper()
	e := &edge{at: start, r: rand.New(rand.NewPCG(1, 1)), w: New("Web1.example.org")}
	if log := e.play(15*time.Minute, nil); len(log) > 0 {
		t.Fatalf("ordinary traffic: %+v", log)
	}
	return e
}

// play goes on for a while with what change makes of ordinary vitals.
func (e *edge) play(span time.Duration, change func(v *schemas.Vitals)) (log []schemas.Event) {
	for end := e.at.Add(span); e.at.Before(end); {
		e.at = e.at.Add(time.Second)
		v := &schemas.Vitals{
			Time: e.at, Edge: "Web1.example.org", Interval: 1,
			Nginx: &schemas.NginxVitals{
				Answered: true, Active: 30, Reading: int64(e.r.IntN(3)), Writing: 2, Waiting: 27,
				Accepted: uint64(3 + e.r.IntN(5)), Requests: uint64(10 + e.r.IntN(20)),
			},
			Conntrack: int64(100 + e.r.IntN(40)), Interfaces: []schemas.InterfaceVitals{{Name: "lo", ReceivedPackets: uint64(e.r.IntN(100000))}, {Name: "eth0", ReceivedPackets: uint64(200 + e.r.IntN(300))}},
		}
		v.Nginx.Handled = v.Nginx.Accepted
		if change != nil {
			change(v)
		}
		if event, changed := e.w.Take(v); changed {
			log = append(log, event)
		}
	}
	return log
}

func (e *edge) names(log []schemas.Event) string {
	var all []string
	for _, event := range log {
		all = append(all, string(event.Type))
	}
	return strings.Join(all, " ")
}

func TestWhatTheLogDoesNotShow(t *testing.T) {
	cases := map[string]struct {
		change func(v *schemas.Vitals)
		cause  string // "" is no incident
	}{
		"connections that send nothing whole": {func(v *schemas.Vitals) { v.Nginx.Reading += 400 }, "connections send no whole request"},
		"connections that send nothing":       {func(v *schemas.Vitals) { v.Nginx.Accepted += 200; v.Nginx.Handled += 200 }, "connections a second are opened"},
		"no place left":                       {func(v *schemas.Vitals) { v.Nginx.Accepted += 60 }, "connections a second are"},
		"half-open connections":               {func(v *schemas.Vitals) { v.Syncookies, v.ListenDrops = 3000, 200 }, "SYN cookies"},
		"the firewall's table":                {func(v *schemas.Vitals) { v.Conntrack = 200000 }, "tracked by the firewall"},
		"a full line":                         {func(v *schemas.Vitals) { v.Interfaces[1].ReceivedPackets = 90000; v.Nginx.Requests = 1 }, "packets a second"},
		"a full line, and nginx does not say": {func(v *schemas.Vitals) {
			v.Interfaces[1].ReceivedPackets = 90000
			v.Nginx = &schemas.NginxVitals{}
		}, "nginx does not say"},
		"a backup": {func(v *schemas.Vitals) { v.Interfaces[1].ReceivedPackets = 90000 }, ""},
		"a crowd": {func(v *schemas.Vitals) {
			v.Nginx.Accepted += 200
			v.Nginx.Handled += 200
			v.Nginx.Requests *= 15
			v.Syncookies = 50
		}, ""},
		"new visitors": {func(v *schemas.Vitals) { v.Nginx.Accepted += 40; v.Nginx.Handled += 40; v.Nginx.Requests += 35 }, ""},
		"servers that fetch a link, while visitors are few": {func(v *schemas.Vitals) {
			v.Nginx.Accepted += 50
			v.Nginx.Handled += 50
			v.Nginx.Requests = v.Nginx.Requests/3 + 40
		}, ""},
		"a slow answer": {func(v *schemas.Vitals) { v.Nginx.Writing, v.Nginx.Active = 500, 530 }, ""},
		"a night":       {func(v *schemas.Vitals) { v.Nginx.Accepted, v.Nginx.Handled, v.Nginx.Requests = 0, 0, 0 }, ""},
		"no status":     {func(v *schemas.Vitals) { v.Nginx, v.Syncookies = nil, 3000 }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := learned(t)
			began := e.at
			log := e.play(time.Minute, c.change)
			if c.cause == "" {
				if len(log) > 0 {
					t.Errorf("%s: %s", e.names(log), log[0].Cause)
				}
				return
			}
			if len(log) != 1 || log[0].Type != schemas.IncidentOpened || log[0].Kind != schemas.Silent || !strings.Contains(log[0].Cause, c.cause) {
				t.Fatalf("events %+v, want one opened by %q", log, c.cause)
			}
			if after := log[0].Time.Sub(began); after > 20*time.Second || after < lasts {
				t.Errorf("noticed after %s", after)
			}
			if err := log[0].Validate(); err != nil {
				t.Error(err)
			}
			if n := e.w.base.Windows(); e.play(10*time.Minute, c.change) != nil || e.w.base.Windows() != n {
				t.Error("it was told twice, or learned")
			}
			if log = e.play(5*time.Minute, nil); len(log) != 1 || log[0].Type != schemas.IncidentClosed || log[0].Closed.IsZero() || e.w.Open() != "" {
				t.Errorf("after it: %+v", log)
			}
		})
	}
}

// What is known, and an incident that is open, outlive the process.
func TestSavedAndResumed(t *testing.T) {
	e := learned(t)
	slow := func(v *schemas.Vitals) { v.Nginx.Reading += 400 }
	log := e.play(time.Minute, slow)
	if len(log) != 1 {
		t.Fatalf("%+v", log)
	}
	w := &state.Writer{}
	e.w.Write(w)
	in := state.NewReader(w.Bytes)
	e.w = Read(in)
	if in.End(); in.Err() != nil || e.w.Open() != log[0].Incident || e.w.Edge() != "Web1.example.org" {
		t.Fatalf("%v, open %q", in.Err(), e.w.Open())
	}
	if again := e.play(time.Minute, slow); len(again) > 0 {
		t.Errorf("told again: %+v", again)
	}
	e.w = New("Web1.example.org") // the snapshot is lost
	e.w.Resume(log[0].Incident, log[0].Opened)
	if ID("Web1.example.org", log[0].Opened) != log[0].Incident {
		t.Errorf("%s is not found by its edge", log[0].Incident)
	}
	if end := e.play(10*time.Minute, nil); len(end) != 1 || end[0].Incident != log[0].Incident || end[0].Type != schemas.IncidentClosed {
		t.Errorf("afterwards: %+v", end)
	}
	for n := range len(w.Bytes) {
		if cut := state.NewReader(w.Bytes[:n]); Read(cut) != nil && cut.Err() == nil {
			t.Fatalf("%d of %d bytes are taken for whole", n, len(w.Bytes))
		}
	}
}

// Vitals that come again, from the past, after a pause or in the first minutes open nothing.
func TestVitalsOutOfOrder(t *testing.T) {
	slow := func(v *schemas.Vitals) { v.Nginx.Reading += 400 }
	young := &edge{at: start, r: rand.New(rand.NewPCG(2, 2)), w: New("young")}
	if log := young.play(2*time.Minute, slow); len(log) > 0 {
		t.Errorf("of an edge that is not known: %+v", log)
	}
	e := learned(t)
	now := e.at
	e.at = now.Add(-time.Hour)
	if log := e.play(time.Minute, slow); len(log) > 0 {
		t.Errorf("from the past: %+v", log)
	}
	e.at = now.Add(time.Hour)
	if log := e.play(time.Second*4, slow); len(log) > 0 {
		t.Errorf("at once after a pause: %+v", log)
	}
}

func BenchmarkTake(b *testing.B) {
	w, at := New("web1"), start
	b.ReportAllocs()
	for range b.N {
		at = at.Add(time.Second)
		w.Take(&schemas.Vitals{Time: at, Interval: 1, Nginx: &schemas.NginxVitals{Answered: true, Reading: 1, Accepted: 4, Handled: 4, Requests: 20}})
	}
}
