package nginx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Whom nothing is in force about any more is named in no file, once nginx has surely read
// the new ones; who is named in what is in force stays.
func TestListsOfBeforeLeave(t *testing.T) {
	bubble(t, Options{}, func(e *Enforcer, reloads func() int) {
		names := func(m Measure) bool {
			all, err := filepath.Glob(filepath.Join(e.options.Dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range all {
				if text, _ := os.ReadFile(name); strings.Contains(string(text), m.Value) {
					return true
				}
			}
			return false
		}
		gone, stays := blocked(1), blocked(2)
		e.Apply(added(gone), added(stays))
		time.Sleep(5 * time.Second)
		e.Apply(event(schemas.DecisionRemoved, gone))
		time.Sleep(5 * time.Second)
		if !names(gone) {
			t.Error("what nginx may still be reading is removed")
		}
		time.Sleep(tidyAfter)
		if names(gone) || !names(stays) {
			t.Errorf("in a file: who is let go %v, who is not %v", names(gone), names(stays))
		}
		e.Apply(event(schemas.DecisionRemoved, stays))
		time.Sleep(tidyAfter + 5*time.Second)
		if names(stays) {
			t.Error("the last one is still in a file")
		}
		if n := reloads(); n != 3 {
			t.Errorf("%d reloads, want 3", n)
		}
	})
}
