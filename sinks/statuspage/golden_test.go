package statuspage

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGolden compares the whole page with what is kept in testdata; WEIR_UPDATE=1 writes
// it anew.
func TestGolden(t *testing.T) {
	files, err := golden(t, Options{}).Files(moment)
	if err != nil {
		t.Fatal(err)
	}
	if last := files[len(files)-1].Name; last != "index.html" {
		t.Errorf("%s is written last, want index.html", last)
	}
	for _, f := range files {
		path := filepath.Join("testdata/golden", f.Name)
		if os.Getenv("WEIR_UPDATE") != "" {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f.Body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, f.Body) {
			t.Errorf("%s is another (WEIR_UPDATE=1 writes it anew):\n%s", f.Name, cmp.Diff(string(want), string(f.Body)))
		}
	}
}

// The page is made of the ledger and the journal alone: opened again, it is the same.
func TestTheSameAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := golden(t, Options{Dir: dir})
	want, err := first.Files(moment)
	if err != nil {
		t.Fatal(err)
	}
	first.dirty = true
	if err := first.saveNow(); err != nil {
		t.Fatal(err)
	}
	second := newPage(t, Options{Dir: dir, Title: "Example status", URL: "https://status.example.net/", Measured: true})
	got, err := second.Files(moment)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Names of the common form, as monitors that read it expect them.
func TestSummaryForm(t *testing.T) {
	files, err := golden(t, Options{}).Files(moment)
	if err != nil {
		t.Fatal(err)
	}
	var summary map[string]any
	for _, f := range files {
		if f.Name == "api/v2/summary.json" {
			if err := json.Unmarshal(f.Body, &summary); err != nil {
				t.Fatal(err)
			}
		}
	}
	need := func(what string, object any, keys ...string) {
		t.Helper()
		m, ok := object.(map[string]any)
		if !ok {
			t.Fatalf("%s is no object", what)
		}
		for _, key := range keys {
			if _, ok := m[key]; !ok {
				t.Errorf("%s has no %s", what, key)
			}
		}
	}
	first := func(key string) any {
		list, ok := summary[key].([]any)
		if !ok || len(list) == 0 {
			t.Fatalf("%s is no list, or empty", key)
		}
		return list[0]
	}
	need("summary", summary, "page", "components", "incidents", "scheduled_maintenances", "status")
	need("page", summary["page"], "id", "name", "url", "time_zone", "updated_at")
	need("status", summary["status"], "indicator", "description")
	need("component", first("components"), "id", "name", "status", "position", "description", "group_id", "group", "page_id", "updated_at")
	need("incident", first("incidents"), "id", "name", "status", "impact", "created_at", "updated_at", "resolved_at", "started_at", "incident_updates", "components", "shortlink")
	need("maintenance", first("scheduled_maintenances"), "scheduled_for", "scheduled_until")
	need("update", first("incidents").(map[string]any)["incident_updates"].([]any)[0], "id", "status", "body", "incident_id", "created_at", "display_at")
	if got := summary["status"].(map[string]any)["indicator"]; got != "major" {
		t.Errorf("the indicator is %v, want major", got)
	}
}

// Who wrote, which incident of weir's it was about, and drafts are nobody's business.
func TestNothingInternalIsPublic(t *testing.T) {
	p := golden(t, Options{})
	if _, err := p.journal.add(Entry{Time: moment, By: "weir", Do: doDraft, Post: "p261128-054000", Title: Words{"": "A draft nobody has seen"},
		Text: Words{"": "nobody"}, Components: []string{"git.example.org"}}); err != nil {
		t.Fatal(err)
	}
	files, err := p.Files(moment)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for _, secret := range []string{"anna", "ben\"", ">ben<", "i261128-050812", "p261128-054000", "nobody has seen"} {
			if strings.Contains(string(f.Body), secret) {
				t.Errorf("%s holds %q", f.Name, secret)
			}
		}
	}
}
