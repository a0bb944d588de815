package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestErasingSaysWhatItCannotReach: without a weir run, all but ClickHouse stays as it is, and
// that is said; where there is nothing but ClickHouse, nothing is.
func TestErasingSaysWhatItCannotReach(t *testing.T) {
	data := t.TempDir()
	if left := leftUntouched(data, ""); left != "" {
		t.Errorf("of a directory that holds nothing: %q", left)
	}
	if left := leftUntouched(data, "nats://user:secret@b:4222"); !strings.Contains(left, "nats.url") || strings.Contains(left, "secret") || !strings.Contains(left, "erase again") {
		t.Errorf("of a NATS elsewhere: %q", left)
	}
	for _, name := range []string{"nats", "spool", "processor.state"} {
		path := filepath.Join(data, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if left := leftUntouched(data, ""); !strings.Contains(left, data) {
			t.Errorf("of a directory with %s: %q", name, left)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldDraftsNameNetworks: the addresses in drafts whose time has come become their networks,
// once; what is no address, and younger drafts, stay.
func TestOldDraftsNameNetworks(t *testing.T) {
	folder := t.TempDir()
	const text = "Block of a client: `198.51.100.77`. It was 198.51.100.77. Of `198.51.100.64/26`, 198.51.0.0/16, `2001:db8:77:1::`, 2001:db8:77:1::9/64.\n" +
		"client = '192.0.2.1' (::ffff:192.0.2.9), at 05:08:12 UTC, Chrome/152.0.0.1 rv:109.0, 2026-11-21 05:08:08, 300.1.2.3, `cookie::none`\n"
	const want = "Block of a client: `198.51.100.0/24`. It was 198.51.100.0/24. Of `198.51.100.0/24`, 198.51.0.0/16, `2001:db8:77::/48`, 2001:db8:77::/48.\n" +
		"client = '192.0.2.0/24' (192.0.2.0/24), at 05:08:12 UTC, Chrome/152.0.0.1 rv:109.0, 2026-11-21 05:08:08, 300.1.2.3, `cookie::none`\n"
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, name := range []string{"old.md", "young.md", "note.txt"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(folder, "old.md"), old, old); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := truncateDrafts(folder, old.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"old.md": want, "young.md": text, "note.txt": text} {
			if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(got) != want {
				t.Errorf("%s: %s (%v)", name, got, err)
			}
		}
		if info, err := os.Stat(filepath.Join(folder, "old.md")); err != nil || !info.ModTime().Equal(old) {
			t.Errorf("its time is %v (%v)", info.ModTime(), err)
		}
	}
	if err := truncateDrafts(filepath.Join(folder, "none"), old); err != nil {
		t.Error(err)
	}
}
