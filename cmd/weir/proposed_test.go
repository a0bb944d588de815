package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// TestNotEnforcedIsSaid: what is in force in name only, because of its site's mode, is told as such with the one
// command that enforces it; what was accepted, what a person decided and what is enforced anyway is not.
func TestNotEnforcedIsSaid(t *testing.T) {
	now := time.Now()
	modes := modesOf(config.Config{Mode: config.Observe, Sites: map[string]config.Site{"p": {Mode: config.Propose}, "e": {Mode: config.Enforce}}})
	events := []schemas.Event{
		added("i1-1", "i1", "weir", "p"), added("i1-2", "i1", "weir", "p"), added("i2-1", "i2", "weir", "e"), added("i3-1", "i3", "weir", "o"),
		added("i4-1", "i4", "weir", "o", "e"), added("m1", "", "anna", "p"), {Type: schemas.IncidentOpened, Incident: "i1"},
	}
	events[1].Value = "192.0.2.8"
	over := added("i1-3", "i1", "weir", "p")
	over.Type = schemas.DecisionRemoved
	events = append(events, over)
	all := unenforcedOf(each(events), modes, now)
	if all.proposed != 2 || all.observed != 1 || len(all.incidents) != 1 {
		t.Errorf("%+v", all)
	}
	text := strings.Join(all.lines(), "\n")
	for _, part := range []string{"mode propose waits for a person: 2 decisions. To enforce: weir decisions accept i1. To reject: weir decisions rm i1", "mode observe only tells: 1 decision"} {
		if !strings.Contains(text, part) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
	accepted := append(events, schemas.Accept(events, []string{"i1"}, time.Hour, "anna", now)...)
	if left := unenforcedOf(each(accepted), modes, now); left.proposed != 0 || left.observed != 1 {
		t.Errorf("after all was accepted: %+v", left)
	}
	t.Setenv("COLUMNS", "80")
	var out bytes.Buffer
	s := newSheet(&out)
	s.modes, s.events = modes, events
	s.explain(events[0], nil, nil)
	if said := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(said, "Not enforced, as mode propose waits for a person: 1 decision. To enforce: weir decisions accept i1-1.") {
		t.Errorf("of one decision:\n%s", out.String())
	}
	out.Reset()
	s.explain(events[2], nil, nil)
	if strings.Contains(out.String(), "Not enforced") {
		t.Errorf("of one that is enforced:\n%s", out.String())
	}
	if (modeTable)(nil).of("x") != "" || unenforcedOf(each(events), nil, now).observed != 0 {
		t.Error("where nobody knows the modes, nothing is to be said")
	}
}
