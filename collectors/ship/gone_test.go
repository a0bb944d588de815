package ship

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// TestNumbersOfLinesThatAreGone ends a Ship at each step of a piece whose log is deleted
// before the next one runs: no number is used twice, and none is left out, for a reader would
// drop what comes under the one and wait for the other.
func TestNumbersOfLinesThatAreGone(t *testing.T) {
	for crash := 1; crash <= 19; crash += 3 {
		l := newLog(t)
		l.grow(60)
		var mu sync.Mutex
		of, next, got := map[string]bool{}, map[string]uint64{}, map[string]bool{}
		to := publishFunc(func(_ context.Context, subject, id string, data []byte) error {
			batch, err := schemas.DecodeBatch(data)
			if err != nil || id == "" {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if of[id] {
				return nil // the stream has it
			}
			of[id] = true
			if next[subject]++; batch.Number != next[subject] {
				t.Errorf("ended at step %d: %s: batch %d, want %d", crash, subject, batch.Number, next[subject])
			}
			var rows schemas.Rows
			var r schemas.Request
			for rows.Reset(batch); rows.Next(&r); {
				got[string(r.Path)] = true
			}
			return nil
		})
		journal := &FileJournal{Path: filepath.Join(t.TempDir(), "journal")}
		run(t, options(l), &crasher{crash: crash, after: crash%2 == 0, next: to, journal: journal, seen: map[string]bool{}})
		if err := os.Remove(l.path); err != nil {
			t.Fatal(err)
		}
		var fresh strings.Builder
		for n := range 30 {
			fresh.WriteString(line(1000 + n))
		}
		l.write(fresh.String())
		run(t, options(l), &crasher{rows: 30, next: to, journal: journal, seen: map[string]bool{}})
		for n := range 30 {
			if path := fmt.Sprint("/", 1000+n); !got[path] {
				t.Fatalf("ended at step %d: %s came under a number that the stream had", crash, path)
			}
		}
	}
}
