package ship

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/spool"
)

// What is pushed arrives once, whatever step of the ship's the process dies at; and
// what has arrived is on the disk no more.
func TestPushedExactlyOnce(t *testing.T) {
	js := newStream(t)
	for _, after := range []bool{false, true} {
		for crash := 2; crash < 20; crash += 4 {
			if err := js.stream.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			journal := &FileJournal{Path: filepath.Join(t.TempDir(), "journal")}
			seen := map[string]bool{}
			n := 0
			var s *spool.Spool
			push := func(lines int) {
				var err error
				if s, err = spool.Open(spool.Options{Dir: dir, Segment: 1000}); err != nil {
					t.Fatal(err)
				}
				for range lines {
					if err := s.Append([]byte(line(n))); err != nil {
						t.Fatal(err)
					}
					n++
				}
			}
			o := Options{
				First: 1, Open: func() Input { return s }, Source: "syslog", Rows: 8, Linger: time.Millisecond,
				Edge: fmt.Sprint("edge", crash, after),
			}
			push(60)
			run(t, o, &crasher{crash: crash, after: after, next: js, journal: journal, seen: seen})
			push(30)
			run(t, o, &crasher{rows: n, next: js, journal: journal, seen: seen})
			push(1)
			run(t, o, &crasher{rows: n, next: js, journal: journal, seen: seen})
			js.exactly(t, n)
			push(0)
			state, err := journal.Load()
			if err != nil {
				t.Fatal(err)
			}
			s.Resume(state.Position, nil)
			if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) > 4 {
				t.Errorf("%d segments are left", len(files))
			}
		}
	}
}
