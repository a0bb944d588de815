package processor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-project/weir/schemas"
)

// surges is ordinary minutes, then a botnet for two, and again every twenty.
func surges(ordinary int, requests ...int) *traffic {
	t := newTraffic(3)
	t.people(0, int64(ordinary+20*len(requests))*minute, 0.8)
	for i, n := range requests {
		from := int64(ordinary+20*i) * minute
		t.botnet(from, from+2*minute, n, n/3)
	}
	return t
}

// opened is the id of the n-th incident, and whether there is one.
func opened(log []schemas.Event, n int) (id string, ok bool) {
	for _, e := range log {
		if e.Type == schemas.IncidentOpened {
			if n--; n == 0 {
				return e.Incident, true
			}
		}
	}
	return "", false
}

// corrected runs a log, and gives a person's word as soon as when says so of what has come
// so far; it goes on with what restart makes of the processor.
func corrected(t *testing.T, tr *traffic, when func(log []schemas.Event, now time.Time) (Correction, bool), restart bool) []schemas.Event {
	t.Helper()
	p, e, given := make1(t, small), newEdge(), false
	for _, b := range tr.batches(200) {
		p.Consume(b, func(row int, r *schemas.Request) schemas.Action { return e.judge(row, r) }, e.take)
		if given {
			continue
		}
		c, ok := when(e.log, time.UnixMilli(p.counter.latest))
		if !ok {
			continue
		}
		given = true
		p.detector.Correct(c)
		p.detector.Correct(c) // a word may come twice
		if restart {
			var saved bytes.Buffer
			if err := p.Save(&saved); err != nil {
				t.Fatal(err)
			}
			p = make1(t, small)
			if err := p.Load(&saved); err != nil {
				t.Fatal(err)
			}
			p.detector.Correct(c)
		}
	}
	if !given {
		t.Fatalf("nothing was corrected: %v", kinds(e.log))
	}
	return e.log
}

// During an incident, and after a restart in the same second, it closes, its decisions
// end, and the same again opens nothing; more than that does.
func TestAPersonSaysThatItIsNormal(t *testing.T) {
	for name, restart := range map[string]bool{"at once": false, "over a restart": true} {
		t.Run(name, func(t *testing.T) {
			var said time.Time
			log := corrected(t, surges(450, 2000, 1800, 10000), func(log []schemas.Event, now time.Time) (Correction, bool) {
				id, ok := opened(log, 1)
				if !ok || now.Before(log[0].Time.Add(40*time.Second)) {
					return Correction{}, false
				}
				said = now
				return Correction{Incident: id, By: "anna", Time: now}, true
			}, restart)
			checkCorrected(t, log, said)
		})
	}
}

func checkCorrected(t *testing.T, log []schemas.Event, said time.Time) {
	t.Helper()
	inForce := make(map[string]bool)
	var incidents []schemas.Event
	for _, e := range log {
		switch {
		case e.Decision == nil:
			incidents = append(incidents, e)
		case e.Type == schemas.DecisionRemoved:
			delete(inForce, e.ID)
			if e.Incident == log[0].Incident && e.Reason != schemas.RemovedBy+"anna" {
				t.Errorf("%s was removed: %q", e.ID, e.Reason)
			}
		default:
			inForce[e.ID] = true
		}
		if e.Type == schemas.IncidentClosed && len(incidents) == 2 {
			if len(inForce) > 0 {
				t.Errorf("decisions outlive their incident: %v", inForce)
			}
			if late := e.Time.Sub(said); late < 0 || late > 3*time.Second {
				t.Errorf("it closed %s after a person said so", late)
			}
			if !strings.HasPrefix(e.Cause, schemas.ClosedAsNormal+"anna: ") || e.Kind != schemas.Flood {
				t.Errorf("closed as %s: %q", e.Kind, e.Cause)
			}
		}
	}
	if len(incidents) < 3 || incidents[1].Type != schemas.IncidentClosed || incidents[2].Type != schemas.IncidentOpened {
		t.Fatalf("incidents: %v", kinds(log))
	}
	if again := time.UnixMilli(start + 490*minute); incidents[2].Time.Before(again) {
		t.Errorf("the same again, no larger, opened an incident at %s; the larger one begins at %s", incidents[2].Time, again)
	}
}

// The morning after: of the incident that closed last, only that it was normal is learned.
func TestAPersonSaysItAfterwards(t *testing.T) {
	log := corrected(t, surges(50, 2000, 1800), func(log []schemas.Event, now time.Time) (Correction, bool) {
		last := log[max(0, len(log)-1):]
		if len(last) == 0 || !strings.Contains(strings.Join(kinds(log), "\n"), string(schemas.IncidentClosed)) {
			return Correction{}, false
		}
		return Correction{Incident: log[0].Incident, By: "anna", Time: now}, true
	}, true)
	if _, twice := opened(log, 2); twice {
		t.Errorf("what a person called normal opened an incident again: %v", kinds(log))
	}
}

// Nobody's word about another incident, or of the future, changes anything.
func TestCorrectionsOfNothing(t *testing.T) {
	tr := surges(50, 2000)
	plain, _ := run(t, make1(t, small), tr.batches(200))
	p := make1(t, small)
	p.detector.Correct(Correction{Incident: "i000101-000000", By: "anna"})
	p.detector.Correct(Correction{Incident: plain.log[0].Incident, By: "anna", Time: time.UnixMilli(start + 1000*minute)})
	for range 3 * maxCorrections {
		p.detector.Correct(Correction{Incident: "i" + strings.Repeat("9", len(p.detector.corrections)), By: "anna"})
	}
	if n := len(p.detector.corrections); n > maxCorrections {
		t.Errorf("%d corrections are kept", n)
	}
	other, _ := run(t, p, tr.batches(200))
	if a, b := lines(t, plain.log), lines(t, other.log); strings.Join(a, "") != strings.Join(b, "") {
		t.Errorf("without:\n%s\nwith:\n%s", strings.Join(a, ""), strings.Join(b, ""))
	}
}

// What a person called normal is learned, and on a site that is known for half an hour it is much of what is
// known: twenty times as much is noticed all the same, within half a minute.
func TestAYoungSiteIsNotMadeBlind(t *testing.T) {
	for _, pause := range []int64{60, 150, 300} {
		tr := newTraffic(3)
		tr.people(0, 50*minute, 0.8)
		from := int64(33 * minute)
		tr.botnet(from, from+3*minute, 2400, 900)
		tr.botnet(from+3*minute, from+3*minute+30_000, 400, 150)
		again := from + 3*minute + pause*1000
		tr.botnet(again, again+30_000, 8000, 3000)
		log := corrected(t, tr, func(log []schemas.Event, now time.Time) (Correction, bool) {
			id, ok := opened(log, 1)
			return Correction{Incident: id, By: "anna", Time: now}, ok && now.After(time.UnixMilli(start+from+3*minute))
		}, false)
		noticed := time.UnixMilli(start + again)
		if !slices.ContainsFunc(log, func(e schemas.Event) bool {
			late := e.Time.Sub(noticed)
			return e.Type == schemas.IncidentOpened && e.Kind.Attack() && late > 0 && late <= 30*time.Second
		}) {
			t.Errorf("after %d s, at %s: %v", pause, noticed.UTC().Format(time.TimeOnly), kinds(log))
		}
	}
}

// A word counts from the same second on whoever hears it in time: where a detector died that heard it when the
// moment that it was said in was long judged, the next one hears it before it judges that moment again.
func TestAWordCountsFromItsSecond(t *testing.T) {
	var word Correction
	late := corrected(t, surges(450, 2000, 1800), func(log []schemas.Event, now time.Time) (Correction, bool) {
		id, ok := opened(log, 1)
		if !ok || now.Before(log[0].Time.Add(40*time.Second)) {
			return Correction{}, false
		}
		word = Correction{Incident: id, By: "anna", Time: log[0].Time, From: now.Unix()}
		return word, true
	}, false)
	early := corrected(t, surges(450, 2000, 1800), func([]schemas.Event, time.Time) (Correction, bool) { return word, true }, false)
	told := func(log []schemas.Event) (out []string) {
		for _, e := range log {
			id := e.Incident
			if e.Decision != nil {
				id = e.ID
			}
			out = append(out, fmt.Sprintf("%s %s %s", e.Time.Format(time.TimeOnly), e.Type, id))
		}
		return out
	}
	if diff := cmp.Diff(told(late), told(early)); diff != "" {
		t.Errorf("heard late (-) and in time (+):\n%s", diff)
	}
}

// Of the incident that closed last a person's word that it was an attack ends the site's probation: what lapsed was right,
// and the next attack's decisions do not lapse again. A word about another does not.
func TestAPersonConfirmsAfterwards(t *testing.T) {
	tr, _ := story(2)
	p := make1(t, small)
	run(t, p, tr.batches(100))
	s, none := p.detector.sites[0], func(e schemas.Event) { t.Errorf("%+v", e) }
	if s.incident == nil {
		t.Fatal("no incident")
	}
	s.past, s.incident, s.trusted = &past{ID: s.incident.id}, nil, false
	for _, c := range []struct {
		id   string
		want bool
	}{{"i000101-000000", false}, {s.past.ID, true}} {
		p.detector.Correct(Correction{Incident: c.id, Attack: true, By: "anna"})
		if s.correct(p.detector.closed, none); s.trusted != c.want {
			t.Errorf("%s is confirmed: trusted %v", c.id, s.trusted)
		}
	}
}
