package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestHeldNowhere: what no edge that could hold a decision holds is counted as in force by nobody; one edge is enough.
func TestHeldNowhere(t *testing.T) {
	now := time.Now()
	decided := func(id string, scope schemas.Scope, left time.Duration) schemas.Event {
		return schemas.Event{Type: schemas.DecisionAdded, Incident: "i1", Decision: &schemas.Decision{ID: id, Action: schemas.Block, Scope: scope, Expires: now.Add(left)}}
	}
	edge := func(name string, parts ...schemas.EdgePart) *edgeSeen {
		return &edgeSeen{EdgeReport: &schemas.EdgeReport{Edge: name, Parts: parts}, Received: now}
	}
	without := schemas.EdgePart{Name: partNginx, Intended: 3, Loaded: 2, Refused: 1, Without: []schemas.EdgeLack{{ID: "i1-2", Reason: "too long"}}}
	whole := schemas.EdgePart{Name: partNginx, Intended: 3, Loaded: 3}
	broken := schemas.EdgePart{Name: partNginx, Intended: 3, Error: "it is refused"}
	firewall := schemas.EdgePart{Name: partNftables, Intended: 1, Loaded: 1}
	off := edge("web1", broken)
	off.Off = true
	for _, c := range []struct {
		name    string
		edges   []*edgeSeen
		id      string
		scope   schemas.Scope
		lacks   int
		nowhere bool
	}{
		{"no edge is known", nil, "i1-2", schemas.ScopeSignature, 0, false},
		{"the only edge cannot carry it", []*edgeSeen{edge("web1", without)}, "i1-2", schemas.ScopeSignature, 1, true},
		{"it can carry the others", []*edgeSeen{edge("web1", without)}, "i1-1", schemas.ScopeSignature, 0, false},
		{"another edge can", []*edgeSeen{edge("web1", without), edge("web2", whole)}, "i1-2", schemas.ScopeSignature, 1, false},
		{"nginx takes nothing", []*edgeSeen{edge("web1", broken)}, "i1-1", schemas.ScopeSignature, 1, true},
		{"the firewall knows no signatures", []*edgeSeen{edge("web1", broken, firewall)}, "i1-1", schemas.ScopeSignature, 1, true},
		{"the firewall holds it", []*edgeSeen{edge("web1", broken, firewall)}, "i1-1", schemas.ScopeClient, 1, false},
		{"enforcement is off there", []*edgeSeen{off}, "i1-1", schemas.ScopeClient, 0, false},
	} {
		h := holding{c.edges, now}
		e := decided(c.id, c.scope, time.Hour)
		list, nowhere := h.lacks(&e)
		if len(list) != c.lacks || nowhere != c.nowhere {
			t.Errorf("%s: %+v, nowhere %v", c.name, list, nowhere)
		}
	}
	asks := decided("i1-1", schemas.ScopeClient, time.Hour)
	asks.Action = schemas.Challenge
	if _, nowhere := (&holding{[]*edgeSeen{edge("web1", broken, firewall)}, now}).lacks(&asks); !nowhere {
		t.Error("a firewall is taken to ask clients")
	}
	h := holding{[]*edgeSeen{edge("web1", without)}, now}
	incident := schemas.Event{Type: schemas.IncidentOpened, Incident: "i1"}
	decisions := []schemas.Event{decided("i1-1", schemas.ScopeSignature, time.Hour), decided("i1-2", schemas.ScopeSignature, time.Hour), decided("i1-2", schemas.ScopeSignature, -time.Hour)}
	list := withHeld([]schemas.Event{incident}, decisions, &h)
	if list[0].InForce != 2 || list[0].Nowhere != 1 || list[0].line() != "of its 2 decisions in force no edge holds 1, which stop nothing: weir decisions list says why." {
		t.Errorf("%+v %q", list[0], list[0].line())
	}
	own := decided("i1-3", schemas.ScopeSignature, time.Hour)
	own.Origin = schemas.OriginWeir
	accepted := schemas.Accept([]schemas.Event{own}, []string{"i1"}, time.Hour, "anna", now)
	if list = withHeld([]schemas.Event{incident}, append(accepted, own), &h); list[0].InForce != 1 {
		t.Errorf("what was accepted counts %d times", list[0].InForce)
	}
	text, err := json.Marshal(withEffects(decisions[1:2], nil, &h))
	if err != nil || !strings.Contains(string(text), `"not_held":[{"edge":"web1","part":"nginx","reason":"too long"}],"held_nowhere":true`) {
		t.Errorf("%s %v", text, err)
	}
}
