package report

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const hostile = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'\u202e\x00\x1b[2J</svg></title>{{.}}"

// example is an incident whose every text a stranger chose.
func example() Report {
	opened := time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC)
	r := Report{Incident: "i261121-050808", Kind: "flood", Cause: "10 times the usual requests of 200 times the usual clients", Sites: []string{"www.example.org", hostile},
		Opened: opened, Closed: opened.Add(14 * time.Minute), Written: opened.Add(time.Hour), Weir: "1", Attackers: 3554,
		Facts:  []Fact{{"10,035", "requests"}, {"8,120", "of them stopped"}, {"3,630", "clients"}, {"3,554", "attackers"}, {"21", "requests a second, in the busiest minute"}, {"14m", "long"}},
		Shares: []Share{{hostile, 0, 43}, {"Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0", 61, 20}, {"", 3, 2}},
		Traits: []Trait{{"accept_language", "", 3.2}, {"user_agent", hostile, 11.4}, {"protocol", "HTTP/2.0", -2.5}},
	}
	for i := range 34 {
		m := Minute{Time: opened.Add(time.Duration(i-10) * time.Minute), Served: 280 + 20*math.Sin(float64(i))}
		if i >= 10 && i < 24 {
			m.Failed, m.Stopped = max(0, 700-100*float64(i-10)), min(900, 100*float64(i-10))
		}
		r.Minutes = append(r.Minutes, m)
	}
	for i := range 200 {
		r.Networks[i+10] = (i * i * 7) % 60
	}
	r.Hours = []Hour{{opened.Truncate(time.Hour), 8120}, {opened.Truncate(time.Hour).Add(time.Hour), 40}}
	r.Tables = []Table{
		{Title: "What were the attackers' first requests?", Query: "first-requests", Columns: []string{"time", "client", "path", "user_agent"}, More: true,
			Rows: [][]string{{"2026-11-21 05:08:00.112", "203.0.113.7", "/x7f3a", hostile}, {"2026-11-21 05:08:00.140", "203.0.113.9", strings.Repeat("/long", 200), "a"}}},
		{Title: "Whom may we have wronged?", Query: "wronged", Columns: []string{"client", "stopped"}},
	}
	return r
}

func written(t *testing.T, r Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatStrangersSentIsText(t *testing.T) {
	text := written(t, example())
	for _, never := range []string{"<script", "<img", "\u202e", "\x00", "\x1b", "src=", "href=", "url(", "@import", "<link", "<iframe"} {
		if strings.Contains(strings.ReplaceAll(text, "img src=x", ""), never) {
			t.Errorf("the page holds %q", never)
		}
	}
	for _, want := range []string{"default-src &#39;none&#39;", "default-src 'none'"} {
		if strings.Contains(text, want) {
			return
		}
	}
	t.Error("the page has no policy")
}

func TestAnEmptyReportIsWritten(t *testing.T) {
	if text := written(t, Report{Incident: "i", Opened: time.Unix(0, 0)}); !strings.Contains(text, "still open") || strings.Contains(text, "NaN") {
		t.Errorf("%s", text)
	}
}

func FuzzWrite(f *testing.F) {
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, s string) {
		r := Report{Incident: s, Kind: s, Cause: s, Sites: []string{s}, Shares: []Share{{s, 1, 2}}, Traits: []Trait{{s, s, 1}}, Tables: []Table{{Title: "t", Columns: []string{s}, Rows: [][]string{{s}}}}}
		text := written(t, r)
		plain := written(t, Report{Incident: "a", Kind: "a", Cause: "a", Sites: []string{"a"}, Shares: []Share{{"a", 1, 2}}, Traits: []Trait{{"a", "a", 1}}, Tables: []Table{{Title: "t", Columns: []string{"a"}, Rows: [][]string{{"a"}}}}})
		if strings.Count(text, "<") != strings.Count(plain, "<") {
			t.Errorf("%q brings elements of its own", s)
		}
	})
}

// TestBrowser opens the page in a real browser, on paper, a phone and a desktop: nothing
// runs, nothing is asked of anybody, nothing is wider than the screen, and axe-core finds
// nothing. WEIR_SCREENSHOTS names a folder that gets a picture.
func TestBrowser(t *testing.T) {
	chromium, node, modules := browser(t)
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "report.html"), []byte(written(t, example())), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(server.Close)
	type look struct {
		URL    string `json:"url"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
		Scheme string `json:"scheme"`
		Check  bool   `json:"check"`
		Shot   string `json:"shot"`
		Tall   int    `json:"tall"`
		Print  bool   `json:"print"`
	}
	url := server.URL + "/report.html"
	looks := []look{{URL: url, Width: 1100, Height: 900, Scheme: "light", Check: true, Tall: 1150}, {URL: url, Width: 390, Height: 844, Scheme: "dark", Check: true},
		{URL: url, Width: 794, Height: 1123, Scheme: "light", Print: true}}
	if shots := os.Getenv("WEIR_SCREENSHOTS"); shots != "" {
		looks[0].Shot = filepath.Join(shots, "incident.png")
	}
	jobs, err := json.Marshal(looks)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, node, "../statuspage/testdata/browser.mjs", modules, chromium, t.TempDir(), string(jobs))
	var errs bytes.Buffer
	command.Stderr = &errs
	out, err := command.Output()
	if err != nil {
		t.Fatalf("browser.mjs: %v: %s", err, errs.String())
	}
	var seen []struct {
		Violations, Errors []string
		Title              string
		Width, Ran         int
	}
	if err := json.Unmarshal(out, &seen); err != nil || len(seen) != len(looks) {
		t.Fatalf("browser.mjs printed %q: %v", out, err)
	}
	for i, s := range seen {
		if len(s.Violations) > 0 || len(s.Errors) > 0 || s.Width > looks[i].Width || s.Title != "Incident i261121-050808" || looks[i].Check && s.Ran == 0 {
			t.Errorf("at %d: %+v", looks[i].Width, s)
		}
	}
}

func browser(t *testing.T) (chromium, node, modules string) {
	t.Helper()
	missing := func(what string) {
		if os.Getenv("CI") == "true" {
			t.Fatal("no " + what)
		}
		t.Skip("no " + what)
	}
	var err error
	if chromium, err = exec.LookPath("chromium"); err != nil {
		missing("chromium")
	}
	if node, err = exec.LookPath("node"); err != nil {
		missing("node")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "weir", "browser-axe*", "node_modules"))
	if err != nil || len(found) == 0 {
		missing("axe-core and playwright-core: deploy/setup/browser.sh fetches them")
	}
	return chromium, node, found[len(found)-1]
}

// TestWhyNothingIsDecidedIsOnThePage: it stands behind what was seen, and is the part that somebody reads the page for.
func TestWhyNothingIsDecidedIsOnThePage(t *testing.T) {
	seen := "112 requests/s " + strings.Repeat("of what comes ", 20)
	text := written(t, Report{Incident: "a", Kind: "flood", Cause: seen + "; nothing is decided on a: " + strings.Repeat("why ", 100) + hostile + " (decisions.collateral)" + strings.Repeat("x", 5000)})
	if !strings.Contains(text, "(decisions.collateral)") || strings.Contains(text, "<script>alert") || len(text) > len(written(t, Report{}))+4000 {
		t.Error("why nothing is decided is not there, not text, or without a bound")
	}
}
