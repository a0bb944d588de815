package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestDrillsInAnAttack: in the middle of an attack a drill plays another on what the site was like before, and the attack's
// own signatures as --scenario armed; nothing of either is told to anybody. So it is with weir ended.
func TestDrillsInAnAttack(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	full, log, data := filepath.Join(dir, "full.json"), filepath.Join(dir, "log.json"), filepath.Join(dir, "data")
	begins := time.Now().Add(-70 * time.Minute).UTC().Truncate(time.Second)
	mustWeir(t, "simulate", "--seed", "4", "--hours", "1", "--tail", "0s", "--site", "www.example.org", "--start", begins.Format(time.RFC3339), full)
	text, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	var some bytes.Buffer
	for line := range bytes.Lines(text) {
		var at struct{ Time string }
		if err := json.Unmarshal(line, &at); err != nil {
			t.Fatal(err)
		}
		if at.Time < fmt.Sprint(begins.Add(65*time.Minute).Unix()) { // the attack goes on
			some.Write(line)
		}
	}
	if err := os.WriteFile(log, some.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	w := start(t, "--data", data, "--http", freeAddress(t), log)
	until(t, "an incident is open", func() bool {
		out, err := weir(t, "incidents", "--data", data)
		return err == nil && strings.Contains(out, "flood") && strings.Contains(out, " open ")
	})
	before := ""
	until(t, "what weir knows is written, and says that it is attacked", func() bool {
		if _, err := os.Stat(filepath.Join(data, "processor.state")); err != nil {
			return false
		}
		before, err = weir(t, "sql", "--data", data, "SELECT count(), countIf(kind = 'flood') FROM incidents")
		return err == nil && !strings.HasSuffix(before, "\t0")
	})
	drill := func(args ...string) {
		t.Helper()
		out := mustWeir(t, append([]string{"drill", "--data", data, "--for", "2m", "--output", "json"}, args...)...)
		var report struct {
			Base, State, Site string
			Noticed           *float64 `json:"noticed_seconds"`
			Decided           *float64 `json:"decided_seconds"`
			People, Touched   int
			Failures          []string
			Decisions         []schemas.Event
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatal(err)
		}
		t.Logf("drill %s: %s; noticed after %v, decided after %v, %d decisions, %d of %d others stopped, failures %q", args, report.Base, *report.Noticed, *report.Decided,
			len(report.Decisions), report.Touched, report.People, report.Failures)
		if report.Site != "www.example.org" || !strings.HasPrefix(report.Base, "its own of the 30m0s before it was attacked") || len(report.Failures) > 0 || *report.Noticed > 30 || len(report.Decisions) == 0 {
			t.Errorf("drill %s: %.2000s", args, out)
		}
	}
	drill()
	drill("--scenario", "armed")
	after := mustWeir(t, "sql", "--data", data, "SELECT count(), countIf(kind = 'flood') FROM incidents")
	if out := mustWeir(t, "incidents", "--data", data); strings.Contains(out, "drill") || strings.Count(out, "www.example.org") != 1 || after != before {
		t.Errorf("the drills are among the incidents:\n%s\n%s rows before, %s after", out, before, after)
	}
	w.end(t)
	drill("--scenario", "armed")
}
