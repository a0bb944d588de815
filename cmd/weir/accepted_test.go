package main

import (
	"testing"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// TestEdgesStopWhatWasAccepted: on a site that is not enforced edges stop something from when a person has accepted it until it ends; what
// weir decided by itself, a person by hand, or somebody on another site, says nothing of weir's own.
func TestEdgesStopWhatWasAccepted(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	own := schemas.Event{Type: schemas.DecisionAdded, Time: now, Sites: []string{"a.example"}, Incident: "i1", Decision: &schemas.Decision{
		ID: "i1-1", Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.1", Expires: now.Add(time.Hour), Origin: schemas.OriginWeir}}
	r := &processing{modes: newModes(config.Config{Mode: config.Propose, Sites: map[string]config.Site{"e.example": {Mode: config.Enforce}}}), desk: &desk{board: newBoard()}}
	r.desk.board.apply(own)
	byHand := own
	byHand.Incident, byHand.Decision = "", &schemas.Decision{ID: "m1", Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.2", Expires: now.Add(time.Hour), Origin: "anna"}
	r.desk.board.apply(byHand)
	if r.stops("a.example") || !r.stops("e.example") {
		t.Errorf("before anything is accepted: %t, and %t where decisions are enforced", r.stops("a.example"), r.stops("e.example"))
	}
	for _, e := range schemas.Accept([]schemas.Event{own}, []string{"i1"}, time.Hour, "anna", now) {
		r.desk.board.apply(e)
	}
	if !r.stops("a.example") || r.stops("b.example") {
		t.Errorf("what was accepted stops: %t, and on another site: %t", r.stops("a.example"), r.stops("b.example"))
	}
	if r.desk.board.accepted.on("a.example", now.Add(2*time.Hour)) {
		t.Error("it stops still once it has ended")
	}
}
