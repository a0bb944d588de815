package e2e

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStatusPage follows a log, sees on the page that visitors are served, publishes,
// kills weir, and finds post and figures again.
func TestStatusPage(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data, folder := filepath.Join(dir, "access.log"), filepath.Join(dir, "data"), filepath.Join(dir, "www")
	written := numberedLines(t, log, 60_000, 20*time.Millisecond) // 24 s of it
	config := filepath.Join(dir, "weir.yml")
	text := fmt.Sprintf(`data: %s
sources:
  - {file: %s, site: numbered.example.org}
http: {listen: %q}
statuspage:
  folder: %s
  components:
    - {site: numbered.example.org, name: Numbers}
    - {site: other.example.org, name: Others}
`, data, log, freeAddress(t), folder)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		body, _ := os.ReadFile(filepath.Join(folder, name)) // it is not there at first
		return string(body)
	}
	w := startWith(t, config)
	until(t, "the page is there", func() bool { return read("index.html") != "" })
	if page := read("index.html"); !strings.Contains(page, "No data") || strings.Contains(page, "Working") {
		t.Error("a page of which nothing is known says that something works")
	}
	until(t, "weir answers", func() bool {
		_, err := weir(t, "status", "--data", data)
		return err == nil
	})
	if out, err := weir(t, "status", "publish", "--data", data, "--component", "Numbers", "--text", "It comes from 198.51.100.7."); err == nil || !strings.Contains(err.Error(), "198.51.100.7") {
		t.Errorf("an address was published: %s %v", out, err)
	}
	out := mustWeir(t, "status", "publish", "--data", data, "--component", "Numbers", "--title", "Counting <b>slowly", "--next", "20m")
	id, _, _ := strings.Cut(out, " ")
	until(t, "the post is public", func() bool {
		return strings.Contains(read("index.html"), "Counting &lt;b&gt;slowly") && strings.Contains(read("feed.atom"), "Counting &lt;b&gt;slowly") &&
			strings.Contains(read("api/v2/summary.json"), id)
	})
	written()
	until(t, "what was measured is on the page", func() bool {
		return strings.Contains(read("index.html"), "100\u00a0% of visitors served")
	})
	w.kill()

	w = startWith(t, config)
	until(t, "weir answers again", func() bool {
		out, err := weir(t, "status", "--data", data)
		return err == nil && strings.Contains(out, id)
	})
	mustWeir(t, "status", "update", "--data", data, id, "--stage", "identified", "--text", "A finger was missing.")
	mustWeir(t, "status", "resolve", "--data", data, id)
	until(t, "it is over on the page", func() bool {
		page := read("index.html")
		return strings.Contains(page, "A finger was missing.") && strings.Contains(page, "<strong>Over</strong>")
	})
	if page := read("index.html"); !strings.Contains(page, "of visitors served, ") {
		t.Error("what was measured before the kill is gone")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	audit := mustWeir(t, "status", "show", "--data", data, id)
	for i, did := range []string{"publish", "update", "resolve"} {
		if want := fmt.Sprintf("version %-3d %-8s %s", i+1, did, me.Username); !strings.Contains(audit, want) {
			t.Errorf("no %q in:\n%s", want, audit)
		}
	}
	w.end(t)
}
