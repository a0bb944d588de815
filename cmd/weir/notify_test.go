package main

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nginx"
)

func added(id, incident, origin string, sites ...string) schemas.Event {
	return schemas.Event{Type: schemas.DecisionAdded, Time: time.Now(), Incident: incident, Sites: sites, Decision: &schemas.Decision{
		ID: id, Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.7", Expires: time.Now().Add(time.Minute), Origin: origin,
		Evidence: &schemas.Evidence{SQL: "SELECT 1"}}}
}

// TestAccept: what a person accepts is theirs, enforced in any mode, and names what it was.
func TestAccept(t *testing.T) {
	inForce := []schemas.Event{added("i1-1", "i1", "weir", "a"), added("i1-2", "i1", "weir", "a"), added("i2-1", "i2", "weir", "b"), added("m1", "i1", "somebody", "a")}
	inForce[1].Value, inForce[3].Value = "192.0.2.8", "192.0.2.9"
	now := time.Now()
	got := accept(inForce, []string{"i1", "i2-1"}, time.Hour, now)
	if len(got) != 3 {
		t.Fatalf("%d accepted", len(got))
	}
	ids := map[string]bool{}
	r := &enforcing{config: config.Config{Mode: config.Observe}, allowing: newAllowing(slog.New(slog.DiscardHandler))}
	for i, e := range got {
		ids[e.ID] = true
		if e.Origin == "weir" || e.Reason != "accepted: "+inForce[i].ID || e.Expires.Sub(now) < 59*time.Minute || e.Validate() != nil || len(r.enforced([]schemas.Event{e})) != 1 {
			t.Errorf("%+v", e.Decision)
		}
	}
	if len(ids) != 3 || inForce[0].ID != "i1-1" || inForce[0].Evidence == nil {
		t.Errorf("%v, or what was accepted has changed", ids)
	}
	if lift := toLift(got); !slices.Equal(lift, []string{"i1", "i2"}) {
		t.Errorf("%v is named as what lifts it", lift)
	}
	if lift := toLift(got[:1]); !slices.Equal(lift, []string{got[0].ID}) {
		t.Errorf("of one %v is named", lift)
	}
	again := append(inForce, got...)
	if got := accept(again, []string{"i1", "i2-1"}, 30*time.Minute, now); len(got) != 0 {
		t.Errorf("accepted a second time: %v", got)
	}
	if longer := accept(again, []string{"i1-1"}, 2*time.Hour, now); len(longer) != 1 || longer[0].ID != got[0].ID || longer[0].Type != schemas.DecisionRenewed || longer[0].Expires.Sub(now) < 119*time.Minute {
		t.Errorf("for longer: %v", longer)
	}
	if got := accept(inForce, []string{"i9"}, time.Hour, now); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// TestPanicOff lifts everything, keeps it lifted over a restart, and gives it back.
func TestPanicOff(t *testing.T) {
	dir := t.TempDir()
	c := config.Config{Mode: config.Enforce, Data: dir}
	e, err := nginx.New(nginx.Options{Dir: filepath.Join(dir, "nginx")})
	if err != nil {
		t.Fatal(err)
	}
	r := &enforcing{config: c, modes: newModes(c), enforcer: e, log: slog.New(slog.DiscardHandler), allowing: newAllowing(slog.New(slog.DiscardHandler))}
	inForce := func(time.Time) []schemas.Event { return []schemas.Event{added("i1-1", "i1", "weir", "a")} }
	e.Replace(inForce(time.Now())...)
	want := func(n int) {
		t.Helper()
		if got := e.Status().Intended; got != n {
			t.Errorf("%d decisions intended, want %d", got, n)
		}
		if r.on() != (n > 0) {
			t.Errorf("people are told that weir enforces: %t", r.on())
		}
	}
	want(1)
	if err := r.panic(true, inForce); err != nil {
		t.Fatal(err)
	}
	want(0)
	if !panicked(dir).Off {
		t.Error("a restart would enforce again")
	}
	if err := r.panic(false, inForce); err != nil {
		t.Fatal(err)
	}
	want(1)
	if panicked(dir).Off {
		t.Error("a restart would enforce nothing")
	}
	if err := (*enforcing)(nil).panic(true, inForce); err == nil {
		t.Error("lifted where there is nothing")
	}
	if (*enforcing)(nil).on() {
		t.Error("people are told that weir enforces, without an nginx")
	}
}
