package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/weir-project/weir/internal/simulate"
)

// spoilt means something to a shell, a page, a query, a template, a chat, a terminal, and to nginx.
const spoilt = "\"'><script>alert(1)</script>{{.}}' OR '1'='1 \\ -- $(id)`id`\x1b[31m\x07<!channel>@everyone\u202e|[x](https://evil.example) }; return 200;"

// TestHostileAttack: whatever an attacker puts into the fields of his requests, he is stopped as if he had not, and what
// people are shown of it is text.
func TestHostileAttack(t *testing.T) {
	t.Parallel()
	log := story(t, 201, "--hours", "1", "--tail", "1m", "--requests", "4000", "--addresses", "1500", "--duration", "4m", "--site", "www.example.org")
	spoil(t, log, func(q map[string]any) {
		q["user_agent"] = "Mozilla/5.0 " + spoilt
		q["accept_language"], q["accept_encoding"], q["referer"] = "en"+spoilt, spoilt, "javascript:"+spoilt
		q["uri"] = q["uri"].(string) + spoilt + "?" + spoilt + "=1"
	})
	dir := t.TempDir()
	report, f := filepath.Join(dir, "report.html"), replayFiles{filepath.Join(dir, "verdicts.tsv"), filepath.Join(dir, "events.ndjson")}
	out := weirRun(t, "replay", "--report", report, "--verdicts", f.verdicts, "--events", f.events, log)
	if card := score(t, log, f); card.Late.BlockShare() < .85 {
		t.Errorf("%.1f %% of the attack's requests after a minute are blocked\n%s", 100*card.Late.BlockShare(), out)
	}
	for _, r := range out {
		if !unicode.IsPrint(r) && r != '\n' {
			t.Errorf("the terminal gets %q", r)
			break
		}
	}
	page, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{"<script>alert", "<!channel>", "\x1b", "\u202e", "\x07"} {
		if strings.Contains(string(page), raw) {
			t.Errorf("the report has %q as it was sent", raw)
		}
	}
}

// spoil changes the attack's lines of a log.
func spoil(t *testing.T, log string, change func(map[string]any)) {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(log + ".truth.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	truth := simulate.NewTruthReader(f)
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		true1, err := truth.Next()
		if err != nil {
			t.Fatal(err)
		}
		if true1.Attack {
			q := map[string]any{}
			if err := json.Unmarshal([]byte(line), &q); err != nil {
				t.Fatal(err)
			}
			change(q)
			changed, err := json.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			line = string(changed) + "\n"
		}
		b.WriteString(line)
	}
	if err := os.WriteFile(log, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
