package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
)

// TestADetectorThatWasReplacedIsRefused lets a detector go on after another has taken its
// place, on a real bus: a reader takes what the two publish under their tokens but for what
// the first publishes too late.
func TestADetectorThatWasReplacedIsRefused(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	b, err := bus.Open(t.Context(), bus.Options{Dir: filepath.Join(t.TempDir(), "nats"), StartTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	first, second := newDesk(b, log), newDesk(b, log)
	decided := func(id string) []schemas.Event {
		now := time.Date(2026, 11, 28, 5, 8, 12, 0, time.UTC)
		return []schemas.Event{{
			Type: schemas.DecisionAdded, Time: now, Sites: []string{"www.example.org"}, Incident: "i261128-050812",
			Decision: &schemas.Decision{
				ID: id, Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.7", Expires: now.Add(time.Hour), Origin: "weir",
			},
		}}
	}
	for _, step := range []struct {
		by    *desk
		token uint64
		id    string
	}{{first, 5, "before"}, {second, 6, "of-the-second"}, {first, 5, "too-late"}} {
		if err := step.by.publishAs(t.Context(), step.token, decided(step.id)); err != nil {
			t.Fatal(err)
		}
	}
	reader := newDesk(b, log)
	if err := reader.restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range reader.board.inForce(time.Date(2026, 11, 28, 5, 9, 0, 0, time.UTC)) {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	if got := strings.Join(ids, " "); got != "before of-the-second" {
		t.Errorf("in force is %q, want what was decided before the first was replaced, and by the second", got)
	}
	if !strings.Contains(said.String(), schemas.ErrStale.Error()) {
		t.Errorf("nobody is told that a message was refused:\n%s", said.String())
	}
}
