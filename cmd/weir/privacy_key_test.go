package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weir-project/weir/internal/config"
)

// Two that begin at once have the same key, and one that does not hold together is refused in every mode.
func TestPrivacyKeyIsOneAndWhole(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	data := t.TempDir()
	keys := make([][]byte, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			if p, err := writersPrivacy(config.Privacy{Addresses: "full"}, data, log); err != nil {
				t.Error(err)
			} else {
				keys[i] = p.Key
			}
		})
	}
	all.Wait()
	for _, key := range keys {
		if len(key) != 32 || !bytes.Equal(key, keys[0]) {
			t.Errorf("keys differ: %x and %x", key, keys[0])
		}
	}
	if left, _ := filepath.Glob(filepath.Join(data, "*")); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
	for _, mode := range []string{"full", "truncated", "hashed"} {
		if err := os.WriteFile(filepath.Join(data, "privacy.key"), make([]byte, 31), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := writersPrivacy(config.Privacy{Addresses: mode}, data, log); err == nil || !strings.Contains(err.Error(), "want 32 bytes") {
			t.Errorf("%s with a short key: %v", mode, err)
		}
	}
	// What stores elsewhere does without where there is no data directory.
	if p, err := writersPrivacy(config.Privacy{Addresses: "full"}, filepath.Join(data, "none"), log); err != nil || p.Key != nil {
		t.Errorf("without a data directory: %x, %v", p.Key, err)
	}
}
