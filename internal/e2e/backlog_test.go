package e2e

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"
)

// TestBacklogIsSeenAsReplaySeesIt starts weir run on a log that was there before it: an
// hour and the opening story, in eight partitions. It finds the flood that replay
// finds, at the same time.
func TestBacklogIsSeenAsReplaySeesIt(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	mustWeir(t, "simulate", log, "--hours", "1", "--tail", "4m", "--seed", "8")
	type incident struct {
		Incident, Kind string
		Opened         time.Time
	}
	opened := func(args ...string) (found []incident) {
		out := mustWeir(t, args...)
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return found
	}
	replayed := filepath.Join(dir, "replayed")
	mustWeir(t, "replay", "-q", "--data", replayed, log)
	want := opened("incidents", "--output", "json", "--data", replayed)
	if len(want) != 1 || want[0].Kind != "flood" {
		t.Fatalf("replay finds %+v, want one flood", want)
	}
	w := start(t, "--data", data, "--http", freeAddress(t), log)
	var got []incident
	until(t, "weir run finds the flood in the backlog", func() bool {
		if out, err := weir(t, "incidents", "--output", "json", "--data", data); err == nil && json.Unmarshal([]byte(out), &got) == nil {
			return len(got) > 0
		}
		return false
	})
	if late := got[0].Opened.Sub(want[0].Opened).Abs(); got[0].Kind != "flood" || late > 3*time.Second {
		t.Errorf("weir run found %+v, replay %+v", got, want)
	}
	w.end(t)
}
