package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
