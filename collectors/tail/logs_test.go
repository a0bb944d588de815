package tail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogs(t *testing.T) {
	for name, c := range map[string]struct {
		files, pattern string
		logs, doubtful string
	}{
		"one that is not there":       {"", "access.log", "access.log", ""},
		"nothing":                     {"", "*.log", "", ""},
		"several":                     {"b.log a.log c.txt", "*.log", "a.log b.log", ""},
		"rotated ones":                {"a.log a.log.1 a.log.2.gz a.log-20261122 a.log-20261121.zst b.log.old", "a.log*", "a.log", ""},
		"packed ones":                 {"a.log.gz", "*", "", ""},
		"being made anew":             {"a.log.1 a.log.2.gz", "a.log*", "", "a.log.1"},
		"numbers in the middle":       {"site-1.log site-2.log", "site-*.log", "site-1.log site-2.log", ""},
		"numbers at the end":          {"site-1 site-2", "site-*", "site-1 site-2", ""},
		"numbers at the end of any":   {"site-1 site-2", "*", "", "site-1 site-2"},
		"a link and what it leads to": {"day-2026-11-28.log day-2026-11-27.log now.log>day-2026-11-28.log other.log", "*.log", "now.log other.log", ""},
		"a directory":                 {"d/x.log", "*", "", ""},
		"directories":                 {"d/x.log e/x.log e/x.log.1", "*/x.log*", "d/x.log e/x.log", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range strings.Fields(c.files) {
				link, target, linked := strings.Cut(file, ">")
				path := filepath.Join(dir, link)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				err := error(nil)
				if linked {
					err = os.Symlink(target, path)
				} else {
					err = os.WriteFile(path, []byte(file), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			logs, doubts, err := Logs(filepath.Join(dir, c.pattern))
			if err != nil {
				t.Fatal(err)
			}
			var doubtful []string
			for _, d := range doubts {
				doubtful = append(doubtful, d.Path)
			}
			short := func(paths []string) string {
				return strings.ReplaceAll(strings.Join(paths, " "), dir+"/", "")
			}
			if short(logs) != c.logs || short(doubtful) != c.doubtful {
				t.Errorf("logs %q, doubtful %q; want %q, %q", short(logs), short(doubtful), c.logs, c.doubtful)
			}
		})
	}
	if _, _, err := Logs("[a*"); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a malformed pattern: %v", err)
	}
}
