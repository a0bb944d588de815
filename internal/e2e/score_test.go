package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// hosted is an attack of ten minutes from rented machines, with an hour before it. Whether a score is chosen to stop a part of
// it depends on the seed.
func hosted(t *testing.T, seed string) (log string, begins time.Time) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "access.log")
	out := mustWeir(t, "simulate", log, "--scenario", "hosted", "--estate", "tuning", "--seed", seed, "--hours", "1")
	_, attack, _ := strings.Cut(out, "\nThe attack: ")
	_, at, _ := strings.Cut(attack, ", ")
	begins, err := time.Parse(time.DateTime, at[:min(len(at), len(time.DateTime))])
	if err != nil {
		t.Fatalf("when the attack begins is not in %s", out)
	}
	return log, begins
}

// asOfNow is a log whose last line is of this moment.
func asOfNow(t *testing.T, log string) []byte {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	at := func(line []byte) float64 {
		var row struct {
			Time float64 `json:"time,string"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		return row.Time
	}
	last := bytes.TrimSpace(text)
	shift := float64(time.Now().UnixMilli())/1000 - at(last[bytes.LastIndexByte(last, '\n')+1:])
	time := regexp.MustCompile(`"time":"[0-9.]+"`)
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		out.Write(time.ReplaceAll(line, fmt.Appendf(nil, `"time":"%.3f"`, at(line)+shift)))
	}
	return out.Bytes()
}

// TestAScoreIsAccepted: in mode propose a score waits for a person; accepted it is in nginx, as the person's.
func TestAScoreIsAccepted(t *testing.T) {
	needClickHouse(t)
	e := startEdge(t)
	log, begins := hosted(t, "2") // its score does not depend on the moment at which all begins
	log, _ = cutAt(t, log, begins.Add(150*time.Second))
	writeTo(t, e.log, string(asOfNow(t, log))) // from its first line: nginx has logged that it answers, and time must not begin there
	data := filepath.Join(t.TempDir(), "data")
	config := e.config(t, data, "")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	writeTo(t, config, strings.Replace(string(text), "mode: enforce", "mode: propose", 1))
	w := startWith(t, config)
	id := ""
	until(t, "a score is proposed", func() bool {
		out, err := weir(t, "decisions", "list", "--data", data, "--output", "json")
		var list []schemas.Event
		if err != nil || json.Unmarshal([]byte(out), &list) != nil {
			return false
		}
		for _, d := range list {
			if d.Scope == schemas.ScopeScore {
				id = d.ID
			}
		}
		return id != ""
	})
	why := mustWeir(t, "why", "--data", data, id)
	for _, want := range []string{"weir decisions accept " + id, "No one trait decides", "Requests that it matches:", "The nearest normal requests:", "transform(toString("} {
		if !strings.Contains(why, want) {
			t.Errorf("weir why does not say %q:\n%.3000s", want, why)
		}
	}
	loaded := func(id string) bool {
		files, err := filepath.Glob(filepath.Join(e.weirDir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), id) {
				return true
			}
		}
		return false
	}
	if loaded(id) {
		t.Error("nginx has what nobody has accepted")
	}
	accepted, _, _ := strings.Cut(mustWeir(t, "decisions", "accept", "--data", data, "--for", "10m", id), ":")
	until(t, "nginx has it", func() bool { return loaded(accepted) })
	until(t, "the edge says that it holds all of it", func() bool {
		answer, err := control(data).Get("http://weir/api/edges")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		var seen []schemas.EdgeReport
		return json.NewDecoder(answer.Body).Decode(&seen) == nil && len(seen) == 1 && len(seen[0].Parts) == 1 && seen[0].Parts[0].Loaded == 1 && seen[0].Parts[0].Refused == 0
	})
	if !e.answers("192.0.2.9", http.StatusOK) { // a request that shows next to nothing of it
		t.Error("a visitor is stopped")
	}
	w.end(t)
}

// TestAScoreOutlivesItsDetector kills the detector that decided on a score in the midst of the attack: the next one keeps it in
// force as what it was, renews it while the attack goes on, and lets it end after.
func TestAScoreOutlivesItsDetector(t *testing.T) {
	log, begins := hosted(t, "2")
	cut, end := begins.Add(2*time.Minute), begins.Add(10*time.Minute)
	log, rest := cutAt(t, log, cut)
	f := startFleet(t, 2)
	f.ship(log)
	var score *schemas.Event
	told := func(id string) (of []schemas.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range f.events {
			if e.Decision != nil && e.Scope == schemas.ScopeScore && (id == "" || e.ID == id) {
				of = append(of, e)
			}
		}
		return of
	}
	until(t, "a score is decided on", func() bool {
		if of := told(""); len(of) > 0 {
			score = &of[0]
		}
		return score != nil
	})
	until(t, "the detector has saved it", func() bool { return f.saved("detector") >= cut.Unix()-15 })
	f.of("detector").kill()
	appendTo(t, log, rest)
	until(t, "all of the log is shipped", func() bool { return f.shipped() >= end.Add(9*time.Minute).UnixMilli() })
	f.close(log, end.Add(time.Hour))
	until(t, "the incident closes", func() bool { return f.seen(schemas.IncidentClosed) })
	until(t, "the score ends", func() bool {
		return slices.ContainsFunc(told(score.ID), func(e schemas.Event) bool { return e.Type == schemas.DecisionRemoved })
	})
	renewed := time.Time{}
	for i, e := range told(score.ID) {
		t.Logf("%s %s until %s: %s", e.Time.Format(time.TimeOnly), e.Type, e.Expires.Format(time.TimeOnly), e.Reason)
		switch {
		case e.Value != score.Value || (e.Type == schemas.DecisionAdded) != (i == 0):
			t.Errorf("it is no longer what it was: %s %s", e.Type, e.Value)
		case e.Type == schemas.DecisionRenewed:
			renewed = e.Time
		case e.Type == schemas.DecisionRemoved && e.Time.Before(end):
			t.Errorf("it ended at %s, and the attack goes on until %s", e.Time, end)
		}
	}
	if !renewed.After(cut) {
		t.Errorf("nobody renewed it after the detector was killed")
	}
}
