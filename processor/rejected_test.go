package processor

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// TestAPersonsLiftingHolds: what a person has lifted is not renewed and not taken again in its incident, over a
// restart, too; when the attack is back it only asks, and says whose word that was.
func TestAPersonsLiftingHolds(t *testing.T) {
	o := shortLived
	tr, first, again := returning(1, 60*minute)
	batches := tr.batches(100)
	p, e := make1(t, o), newEdge()
	var word *Correction
	var value string
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	consume := func(until int64) {
		for len(batches) > 0 && batches[0].Time[0] < start+until {
			p.Consume(batches[0], e.judge, e.take)
			batches = batches[1:]
		}
	}
	consume(first + 40_000)
	for _, d := range e.log {
		if d.Type == schemas.DecisionAdded && d.Scope == schemas.ScopeSignature && word == nil {
			word, value = &Correction{Decisions: []string{d.ID}, By: "anna", Time: time.UnixMilli(start + first + 40_000)}, d.Value
		}
	}
	if word == nil {
		t.Fatal("nothing was decided: the test shows nothing")
	}
	p.detector.Correct(*word)
	p.detector.Correct(*word) // twice is once
	said := len(e.log)
	consume(first + 60_000)
	saved.Reset()
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	p = make1(t, o)
	if err := p.Load(&saved); err != nil {
		t.Fatal(err)
	}
	p.detector.Correct(*word) // the bus tells it anew
	consume(again - minute)
	for _, d := range e.log[said:] {
		if d.Decision != nil && (d.ID == word.Decisions[0] || d.Type == schemas.DecisionAdded && d.Value == value) {
			t.Errorf("%s %s at %s, after anna had lifted it", d.Type, d.Value, d.Time)
		}
	}
	if p.detector.sites[0].incident != nil {
		t.Fatal("the incident is open still: the test shows nothing")
	}
	back := len(e.log)
	consume(again + 2*minute)
	for _, d := range e.log[back:] {
		if d.Type == schemas.DecisionAdded && d.Value == value && d.Action != schemas.Challenge {
			t.Errorf("%s when the attack was back: %s", d.Action, d.Reason)
		}
	}
	signature, err := schemas.ParseSignature(value)
	if err != nil {
		t.Fatal(err)
	}
	m := attribute.Measure{Action: schemas.Block, Scope: schemas.ScopeSignature, Value: value, Signature: signature}
	if said := p.detector.sites[0].mind(&m); m.Action != schemas.Challenge || !strings.HasPrefix(said, "; anna lifted it on ") {
		t.Errorf("%s %q", m.Action, said)
	}
}

// TestAClientLetGoStaysFree: one that a person has let go is not taken again while the incident goes on; more are
// kept than may be in force on a site.
func TestAClientLetGoStaysFree(t *testing.T) {
	p := make1(t, small)
	s := newSite(p.detector, "www.example.org", 0)
	s.incident = &incident{id: "i1", second: 100}
	p.detector.Correct(Correction{Decisions: []string{"i1-1"}, By: "anna"})
	for n := range 2 * maxRejected {
		p.detector.Correct(Correction{Decisions: []string{"x" + string(rune('a'+n%26)) + strings.Repeat("y", n%97)}, By: "anna"})
	}
	if len(p.detector.rejected) > maxRejected || len(p.detector.rejected) != len(p.detector.rejections) {
		t.Errorf("%d and %d are kept", len(p.detector.rejected), len(p.detector.rejections))
	}
	s.know.scored.add(&decision{incident: "i1", Decision: schemas.Decision{ID: "i1-1", Scope: schemas.ScopeClient, Action: schemas.Block, Value: "198.51.100.7"}})
	s.letGo(150, func(e schemas.Event) { t.Errorf("the person has told of it already: %s", e.Type) })
	if s.know.inForce() != 0 || !s.rejects("198.51.100.7") || s.rejects("198.51.100.8") {
		t.Errorf("%d in force", s.know.inForce())
	}
	s.incident = &incident{id: "i2", second: 200}
	if s.rejects("198.51.100.7") {
		t.Error("it is refused in the next incident, too, where it may be asked")
	}
}
