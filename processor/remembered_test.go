package processor

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
)

// TestWhatHurtDoesNotBlockNextTime: decisions were lifted for people in an incident that has closed. When the
// attack is back, over a restart too, what was lifted and what stops those people only asks, and says why; the
// attack is stopped all the same.
func TestWhatHurtDoesNotBlockNextTime(t *testing.T) {
	const again = 95 * minute
	tr := newTraffic(1)
	tr.people(0, 35*minute, 0.8)
	tr.people(again-15*minute, again+5*minute, 0.8)
	tr.newcomers(31 * minute)
	for _, from := range []int64{30 * minute, again} { // pages that there are: only how they speak tells them
		for range 4000 {
			at, client, p := from+tr.r.Int64N(4*minute), tr.client(), library
			p.agent = browsers[tr.r.IntN(len(browsers))].agent
			for range 3 {
				tr.add(at, client, &p, fmt.Sprintf("/page%d", int(tr.r.ExpFloat64()*8)), "", false, 200)
				at += 1500
			}
		}
	}
	o := doubted
	o.Probation, o.TTL = -1, 2*time.Minute // as trusted, so that nothing is gentle for another reason
	batches, cut := tr.batches(200), 0
	for batches[cut].Time[0] < start+again-2*minute {
		cut++
	}
	p, e := make1(t, o), newEdge()
	checkNoParts(t, tr, e, probe(t, p, e, batches[:cut]))
	lifted := make(map[string]bool)
	for _, d := range e.log {
		if d.Type == schemas.DecisionRemoved && strings.HasPrefix(d.Reason, "lifted: ") && d.Scope == schemas.ScopeSignature {
			lifted[d.Value] = true
		}
	}
	if len(lifted) == 0 || len(e.held) > 0 || p.detector.sites[0].incident != nil {
		t.Fatalf("%d lifted, %d in force: the test shows nothing", len(lifted), len(e.held))
	}
	var saved bytes.Buffer
	if err := p.Save(&saved); err != nil {
		t.Fatal(err)
	}
	p = make1(t, o)
	if err := p.Load(&saved); err != nil {
		t.Fatal(err)
	}
	before := len(e.log)
	verdicts := probe(t, p, e, batches[cut:])
	asked := 0
	for _, d := range e.log[before:] {
		if d.Type != schemas.DecisionAdded || d.Scope != schemas.ScopeSignature {
			continue
		}
		known := strings.Contains(d.Reason, "because it hurt people (i") || strings.Contains(d.Reason, "; it matches people for whom others were lifted on ")
		if lifted[d.Value] && !known {
			t.Errorf("%s was lifted in the incident before, and does not say so: %s", d.Value, d.Reason)
		}
		if known {
			asked++
			if d.Action != schemas.Challenge || !strings.Contains(d.Reason, "so that it only asks") {
				t.Errorf("%s: %s", d.Action, d.Reason)
			}
		}
	}
	if asked == 0 {
		t.Error("nothing that hurt was taken again: the test shows nothing")
	}
	bots, stopped := 0, 0
	for i, a := range verdicts {
		r := &tr.rows[len(tr.rows)-len(verdicts)+i]
		if isBot(r) && r.Time > start+again+minute {
			if bots++; a != schemas.Allow {
				stopped++
			}
		}
	}
	if float64(stopped) < 0.9*float64(bots) || bots == 0 {
		t.Errorf("%d of %d of the attack's requests were stopped when it was back", stopped, bots)
	}
}

// checkNoParts fails where what was lifted for people came back in parts: six who are known do not show of one
// agent in twenty that none of them has it.
func checkNoParts(t *testing.T, tr *traffic, e *edge, verdicts []schemas.Action) {
	t.Helper()
	from := int64(0)
	for _, d := range e.log {
		if from == 0 && d.Type == schemas.DecisionRemoved && strings.HasPrefix(d.Reason, "lifted: ") {
			from = d.Time.UnixMilli() + 2000
		}
	}
	there, touched := 0, 0
	for i, a := range verdicts {
		if r := &tr.rows[i]; isVisitor(r.Client) && r.Time > from && from > 0 {
			if there++; a != schemas.Allow {
				touched++
			}
		}
	}
	if there < 100 || touched > 5 {
		t.Errorf("%d of %d requests of visitors are stopped after the first was lifted for them", touched, there)
	}
}

// TestRememberedIsBounded: addresses make room for what hurt more, what is old goes, and so does what has proved
// right since.
func TestRememberedIsBounded(t *testing.T) {
	s := newSite(make1(t, small).detector, "www.example.org", 0)
	signature := func(n int) *decision {
		text := fmt.Sprintf("user_agent=%q", fmt.Sprint("bot ", n))
		parsed, err := schemas.ParseSignature(text)
		if err != nil {
			t.Fatal(err)
		}
		return &decision{signature: parsed, Decision: schemas.Decision{ID: fmt.Sprint("i1-", n), Scope: schemas.ScopeSignature, Value: text}}
	}
	for n := range maxRemembered {
		s.remember(signature(n), int64(n), "")
		s.remember(signature(n), int64(n), "") // once
		s.remember(&decision{Decision: schemas.Decision{Scope: schemas.ScopeClient, Value: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}).String()}}, int64(n), "")
	}
	for _, h := range s.remembered.harms {
		if h.Scope == schemas.ScopeClient {
			t.Fatalf("%s is remembered, and not a signature", h.Value)
		}
	}
	if len(s.remembered.harms) != maxRemembered {
		t.Errorf("%d are remembered", len(s.remembered.harms))
	}
	m := attribute.Measure{Action: schemas.Block, Scope: schemas.ScopeSignature, Value: signature(7).Value, Signature: signature(7).signature}
	if said := s.mind(&m); m.Action != schemas.Challenge || !strings.HasPrefix(said, "; it was lifted on 1970-01-01 because it hurt people (i1-7)") {
		t.Errorf("%s %q", m.Action, said)
	}
	s.pardon(8, signature(7).Value)
	m.Action = schemas.Block
	if said := s.mind(&m); m.Action != schemas.Block || said != "" {
		t.Errorf("%s %q after it has proved right", m.Action, said)
	}
	s.pardon(rememberFor+100, "")
	if n := len(s.remembered.harms); n != maxRemembered-101 {
		t.Errorf("%d are remembered after three weeks and 100 s", n)
	}
	erased := netip.MustParseAddr("192.0.2.7")
	s.remembered.harms = nil
	s.remember(&decision{Decision: schemas.Decision{Scope: schemas.ScopeClient, Value: erased.String()}}, 1, "anna")
	s.forget(erased, func(schemas.Event) {})
	if len(s.remembered.harms) > 0 {
		t.Error("an address that is to be forgotten is remembered")
	}
}
