package processor

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// met has a site's regulars ask for so many things a second, of which a share is served, and
// lets so many of all requests through.
func met(s *site, from, to int64, requests, served uint32, passed uint64) {
	for second := from; second < to; second++ {
		s.regulars.take(second, &regularCounts{Requests: requests, Served: served}, passed)
	}
}

// TestRegularsThatSufferLift: a decision after which the regulars get less is lifted; one
// after which the site has more to bear is not, nor is one where they got as little before.
func TestRegularsThatSufferLift(t *testing.T) {
	const taken = 1000
	for name, c := range map[string]struct {
		before, after [2]uint32 // requests and served, a second
		passed        [2]uint64
		lifted        bool
	}{
		"they lose":                          {[2]uint32{4, 3}, [2]uint32{4, 1}, [2]uint64{50, 20}, true},
		"the site drowned before":            {[2]uint32{4, 1}, [2]uint32{4, 1}, [2]uint64{50, 20}, false},
		"they gain":                          {[2]uint32{4, 1}, [2]uint32{4, 4}, [2]uint64{50, 20}, false},
		"the attack grows":                   {[2]uint32{4, 3}, [2]uint32{4, 1}, [2]uint64{50, 90}, false},
		"too few of them came":               {[2]uint32{0, 0}, [2]uint32{4, 1}, [2]uint64{50, 20}, false},
		"a quiet time before the incident":   {[2]uint32{0, 0}, [2]uint32{4, 1}, [2]uint64{5, 5}, false},
		"fewer come, as well served as ever": {[2]uint32{4, 3}, [2]uint32{2, 2}, [2]uint64{50, 20}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := make1(t, small)
			s := newSite(p.detector, "www.example.org", 0)
			s.incident = &incident{id: "i1", second: taken - 60}
			met(s, taken-300, taken-80, 9, 9, 5) // quiet, and all is served
			met(s, taken-60, taken+1, c.before[0], c.before[1], c.passed[0])
			met(s, taken+1, taken+90, c.after[0], c.after[1], c.passed[1])
			signature, err := schemas.ParseSignature(`user_agent="x"`)
			if err != nil {
				t.Fatal(err)
			}
			s.know.decisions = []*decision{
				{incident: "i1", since: taken, signature: signature, Decision: schemas.Decision{ID: "i1-1", Value: signature.String()}},
				{incident: "i0", since: taken, Decision: schemas.Decision{ID: "i0-1"}},
			}
			var removed []schemas.Event
			s.breaker(taken+90, func(e schemas.Event) { removed = append(removed, e) })
			if (len(removed) == 1) != c.lifted || len(removed) > 1 {
				t.Fatalf("%d decisions were lifted", len(removed))
			}
			if c.lifted && (removed[0].ID != "i1-1" || !strings.HasPrefix(removed[0].Reason, "lifted: of what the site's regulars asked for 75 % was served") || len(s.incident.refused) != 1) {
				t.Errorf("%+v, refused %v", removed[0].Decision, s.incident.refused)
			}
		})
	}
}

// TestCapsHold: neither renewal nor what is armed exceeds them.
func TestCapsHold(t *testing.T) {
	o := shortLived
	o.MaxDecisions = 1
	tr, _, _ := returning(1, 60*minute)
	tr.rows = slices.DeleteFunc(tr.rows, func(r schemas.Request) bool { return r.Time > start+26*minute && r.Time < start+80*minute })
	e, _ := run(t, make1(t, o), tr.batches(500))
	inForce, most := make(map[string]bool), 0
	for _, d := range e.log {
		switch d.Type {
		case schemas.DecisionAdded:
			inForce[d.ID] = true
		case schemas.DecisionRemoved:
			delete(inForce, d.ID)
		}
		most = max(most, len(inForce))
	}
	if most != 1 {
		t.Errorf("%d decisions were in force at once, 1 may be", most)
	}
	o = small
	o.TTL, o.Longest = 30e9, 90e9
	long := siege(1, 4)
	p, e := make1(t, o), newEdge()
	probe(t, p, e, long.batches(500))
	began := make(map[string]schemas.Event)
	renewed, said := 0, 0
	for _, d := range e.log {
		switch d.Type {
		case schemas.DecisionRemoved: // while the attack goes on
			if strings.Contains(d.Reason, "decisions.longest") && strings.Contains(d.Reason, "weir incidents confirm "+d.Incident) {
				said++
			}
		case schemas.DecisionAdded:
			began[d.ID] = d
		case schemas.DecisionRenewed:
			renewed++
			if life := d.Expires.Sub(began[d.ID].Time); life > o.Longest+o.TTL {
				t.Errorf("%s may last %s", d.ID, life)
			}
		}
	}
	if renewed == 0 || said == 0 {
		t.Errorf("%d renewed, of %d was said that they ended as they had lasted for so long", renewed, said)
	}
}

// TestCapsHoldOverARestart: in mid-attack what was decided is saved, and another takes over. What is in
// force never exceeds the cap, and the budget of blocks on clients is not had a second time.
func TestCapsHoldOverARestart(t *testing.T) {
	const most = 4
	o := shortLived
	o.MaxDecisions = most
	tr, first, _ := returning(1, 60*minute)
	batches, cut := tr.batches(100), 0
	for batches[cut].Time[0] < start+first+45_000 {
		cut++
	}
	p := make1(t, o)
	e, _ := run(t, p, batches[:cut])
	if len(e.held) == 0 {
		t.Fatal("nothing was decided before the restart")
	}
	s := p.detector.index[tr.site]
	s.alike = attribute.Alike{1: true, 2: false}
	s.know.scored.add(&decision{incident: s.incident.id, since: s.incident.second, Decision: schemas.Decision{ID: "i1-99", Action: schemas.Challenge, Scope: schemas.ScopeClient, Value: "198.51.100.7", Expires: time.UnixMilli(start).Add(time.Hour), Origin: schemas.OriginWeir}})
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	p = make1(t, o)
	if err := p.Load(&saved); err != nil {
		t.Fatal(err)
	}
	if got := p.detector.index[tr.site].alike; len(got) != 2 || !got[1] || got[2] {
		t.Errorf("whom decisions on clients touch is %v after a restart", got)
	}
	inForce := map[string]bool{}
	for id := range e.held {
		inForce[id] = true
	}
	for _, b := range batches[cut:] {
		p.Consume(b, e.judge, func(d schemas.Event) {
			e.take(d)
			if d.Decision == nil || d.ID == "" {
				return
			}
			if d.Type == schemas.DecisionRemoved {
				delete(inForce, d.ID)
			} else if inForce[d.ID] = true; len(inForce) > most {
				t.Fatalf("%d decisions are in force, at most %d may be", len(inForce), most)
			}
		})
	}
}
