package processor

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// returning is ordinary minutes with an attack at 25 minutes, and the same again after a
// pause, among the visitors of that time.
func returning(seed uint64, pause int64) (tr *traffic, first, again int64) {
	first, again = 25*minute, 25*minute+pause
	tr = newTraffic(seed)
	tr.people(0, 42*minute, 0.8)
	tr.people(again-15*minute, again+2*minute, 0.8)
	tr.botnet(first, first+2*minute, 2000, 700)
	tr.botnet(again, again+2*minute, 2000, 700)
	return tr, first, again
}

// shortLived has decisions that soon end.
var shortLived = Options{MinBaseline: 10 * time.Minute, MinClients: 100, Collateral: 0.01, Probation: -1, TTL: 2 * time.Minute}

// firstDecision is how long after a moment the first decision from then on was taken.
func firstDecision(log []schemas.Event, at int64) time.Duration {
	for _, e := range log {
		if e.Type == schemas.DecisionAdded && !e.Time.Before(time.UnixMilli(start+at)) {
			return e.Time.Sub(time.UnixMilli(start + at))
		}
	}
	return time.Hour
}

// TestAnAttackThatReturnsIsStoppedAtOnce: what stopped it the first time is kept, also over
// a restart, and is decided within its first seconds.
func TestAnAttackThatReturnsIsStoppedAtOnce(t *testing.T) {
	for name, pause := range map[string]int64{"an hour later": 60 * minute, "a day later": 24 * 60 * minute} {
		t.Run(name, func(t *testing.T) {
			tr, first, again := returning(1, pause)
			batches, cut := tr.batches(200), 0
			for batches[cut].Time[0] < start+42*minute {
				cut++
			}
			p := make1(t, shortLived)
			e, verdicts := run(t, p, batches[:cut])
			if n := len(e.held); n > 0 {
				t.Fatalf("%d decisions are in force a quarter of an hour after the attack", n)
			}
			var saved bytes.Buffer
			if err := p.Save(&saved); err != nil {
				t.Fatal(err)
			}
			p = make1(t, shortLived)
			if err := p.Load(&saved); err != nil {
				t.Fatal(err)
			}
			for _, b := range batches[cut:] {
				p.Consume(b, func(row int, r *schemas.Request) schemas.Action {
					a := e.judge(row, r)
					verdicts = append(verdicts, a)
					return a
				}, e.take)
			}
			checkReturn(t, tr, e, verdicts, first, again)
		})
	}
}

func checkReturn(t *testing.T, tr *traffic, e *edge, verdicts []schemas.Action, first, again int64) {
	t.Helper()
	before, after := firstDecision(e.log, first), firstDecision(e.log, again)
	t.Logf("first decision after %s, and %s when it returned", before, after)
	if after > 6*time.Second || after >= before {
		t.Errorf("the first decision came after %s, and %s when the attack returned", before, after)
	}
	bots, stopped, touched := 0, 0, 0
	for i, a := range verdicts {
		r := &tr.rows[i]
		switch {
		case r.Time < start+again:
		case !isBot(r) && a != schemas.Allow:
			touched++
		case isBot(r) && r.Time > start+again+10_000:
			bots++
			if a != schemas.Allow {
				stopped++
			}
		}
	}
	if float64(stopped) < 0.9*float64(bots) || touched > 3 {
		t.Errorf("of the attack's return %d of %d requests were stopped after ten seconds, %d requests of visitors touched", stopped, bots, touched)
	}
	armed := false
	for _, d := range e.log {
		if d.Type == schemas.DecisionRemoved && !d.Armed.IsZero() {
			armed = true
			if left := d.Armed.Sub(d.Time); left < 20*24*time.Hour || left > 22*24*time.Hour || !strings.Contains(d.Reason, "armed until") {
				t.Errorf("%s is armed for %s: %q", d.ID, left, d.Reason)
			}
		}
	}
	second, ok := opened(e.log, 2)
	if !armed || !ok {
		t.Fatalf("no signature was armed, or the attack's return opened nothing: %v", kinds(e.log))
	}
	for _, d := range e.log {
		if d.Incident == second && d.Type == schemas.IncidentOpened && !strings.HasPrefix(d.Cause, "the attack of "+e.log[0].Incident+" is back: ") {
			t.Errorf("its cause: %q", d.Cause)
		}
	}
}

// TestInForceIsArmedForADrill: right after an attack its signatures are in force and not armed yet; who
// plays its return, from what was saved, finds them all the same, and they are decided at once.
func TestInForceIsArmedForADrill(t *testing.T) {
	tr, first, again := returning(1, 60*minute)
	batches, cut, back := tr.batches(200), 0, 0
	for batches[cut].Time[0] < start+first+2*minute {
		cut++
	}
	for batches[back].Time[0] < start+again-15*minute {
		back++
	}
	long := shortLived
	long.TTL = 0 // ten minutes: nothing has ended
	p := make1(t, long)
	e, _ := run(t, p, batches[:cut])
	if len(e.held) == 0 || len(p.Armed(tr.site)) != 0 {
		t.Fatalf("%d decisions are in force, %d armed", len(e.held), len(p.Armed(tr.site)))
	}
	var saved bytes.Buffer
	if err := p.detector.Save(&saved); err != nil {
		t.Fatal(err)
	}
	p = make1(t, long)
	if err := p.LoadDetector(&saved); err != nil {
		t.Fatal(err)
	}
	if len(p.Armed(tr.site)) == 0 {
		t.Fatal("no signature is armed")
	}
	e, _ = run(t, p, batches[back:])
	if after := firstDecision(e.log, again); after > 6*time.Second {
		t.Errorf("the first decision came %s after the attack returned", after)
	}
}

// TestNormalIsDisarmed: what a person called normal is not kept armed.
func TestNormalIsDisarmed(t *testing.T) {
	p, e := make1(t, shortLived), newEdge()
	for _, b := range surges(20, 3000).batches(200) {
		p.Consume(b, func(row int, r *schemas.Request) schemas.Action { return e.judge(row, r) }, e.take)
	}
	s := p.detector.sites[0]
	if len(s.armed) == 0 || s.past == nil {
		t.Fatal("nothing is armed: the test shows nothing")
	}
	p.detector.Correct(Correction{Incident: s.past.ID, By: "anna", Time: time.UnixMilli(p.counter.latest - 10_000)})
	p.Advance(p.counter.latest+5000, e.take)
	if len(s.armed) > 0 {
		t.Errorf("%d signatures are armed still", len(s.armed))
	}
	if last := e.log[len(e.log)-1]; last.Type != schemas.DecisionRemoved || !last.Armed.IsZero() || last.Reason != schemas.RemovedBy+"anna" {
		t.Errorf("%s %+v", last.Type, last.Decision)
	}
}

// TestArmedAreBounded: the ones that matched longest ago make room, and never means never.
func TestArmedAreBounded(t *testing.T) {
	p := make1(t, small)
	s := newSite(p.detector, "www.example.org", 0)
	for i := range 3 * maxArmed {
		text := fmt.Sprintf("user_agent=%q", fmt.Sprint("bot ", i))
		signature, err := schemas.ParseSignature(text)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s.arm(&decision{matched: int64(i), signature: signature, Decision: schemas.Decision{Value: text}}, int64(i))
		}
	}
	if len(s.armed) != maxArmed || s.armedNow()[0].String() != fmt.Sprintf("user_agent=%q", fmt.Sprint("bot ", 3*maxArmed-1)) {
		t.Errorf("%d are armed, first %s", len(s.armed), s.armedNow()[0])
	}
	o := shortLived
	o.ArmedFor = -1
	tr, _, _ := returning(1, 60*minute)
	never := make1(t, o)
	run(t, never, tr.batches(500))
	if n := len(never.detector.sites[0].armed); n > 0 {
		t.Errorf("%d are armed", n)
	}
}

// TestWhatStraysIsNotArmed: a signature whose probes behave like people is not decided again before anything is known of what comes, neither
// where it was not renewed for it nor in an attack by browsers, whose probes all do.
func TestWhatStraysIsNotArmed(t *testing.T) {
	for name, c := range map[string]struct {
		live schemas.Live
		want bool
	}{
		"no probe was seen":             {schemas.Live{}, true},
		"its probes are bots":           {schemas.Live{Probes: 9}, true},
		"one of many may be by luck":    {schemas.Live{Probes: 40, People: 1}, true},
		"its probes behave like people": {schemas.Live{Probes: 4, People: 3}, false},
	} {
		p, s, score := withScore(t)
		second := p.detector.closed
		d := &decision{signature: schemas.Signature{{Trait: schemas.TraitMethod, Value: "PUT"}}, incident: s.incident.id, since: second - 100, matched: second - 10, live: c.live, Decision: schemas.Decision{
			ID: "i1-98", Action: schemas.Challenge, Scope: schemas.ScopeSignature, Value: `method="PUT"`, Expires: p.detector.knownAt(second), Origin: schemas.OriginWeir}}
		s.incident.conduct = ofBrowsers
		s.know.decisions, s.armed = []*decision{score, d}, nil
		removed := false
		s.expire(second, func(e schemas.Event) {
			removed = true
			if e.Armed.IsZero() == c.want {
				t.Errorf("%s: it is told to be armed until %s", name, e.Armed)
			}
		})
		if !removed || (len(s.armed) > 0) != c.want {
			t.Errorf("%s: removed %t, %d armed", name, removed, len(s.armed))
		}
	}
}
