package tail

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// TestShifts: among other logs, the lines of one whose clock is set back, to and fro, or that has
// odd times come where they belong: at most the seconds that it takes to see it late, and never early.
func TestShifts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	odd := func(far int) func(int) int {
		return func(at int) int {
			if random.IntN(10) == 0 {
				return at + random.IntN(2*far) - far
			}
			return at
		}
	}
	for name, c := range map[string]struct {
		clock   func(at int) int // seconds
		setBack int64            // s
		strays  bool
	}{
		"right":                   {func(at int) int { return at }, 0, false},
		"set back":                {func(at int) int { return at - at/1800*3600 }, 3600, true},
		"set back by ten minutes": {func(at int) int { return at - at/1800*600 }, 600, false},
		"set back and right":      {func(at int) int { return at - at/600%2*3600 }, 3 * 3600, true},
		"odd within an hour":      {odd(3600), 0, true},
		"odd within years":        {odd(1e8), 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			const length = 3600
			var right, wrong strings.Builder
			for at := range length {
				right.WriteString(line(at, "right"))
				for range 3 {
					wrong.WriteString(line(c.clock(at), "wrong"))
				}
			}
			inputs := []Input{{Path: write(t, "right", []byte(right.String())), Format: accesslog.Combined}, {Path: write(t, "wrong", []byte(wrong.String())), Format: accesslog.Combined}}
			n := [2]int{}
			var rows schemas.Rows
			var r schemas.Request
			latest := int64(0)
			stats, err := Read(context.Background(), inputs, Options{}, func(c *Chunk) error {
				rows.Reset(c.Batch)
				for row := 0; rows.Next(&r); row++ {
					file := c.Lines[row].File
					at := n[file]
					if n[file]++; file == 1 {
						at /= 3
					}
					truly := line0 + int64(at)*1000
					moment := r.Time + c.Shifts[row]
					if file == 0 && c.Shifts[row] != 0 {
						t.Fatalf("a line of the right log is moved by %d ms", c.Shifts[row])
					}
					if moment < truly-31_000 || moment > truly+31_000 {
						t.Fatalf("line %d of %s counts %d ms from when it was", n[file], inputs[file].Path, moment-truly)
					}
					if moment < latest-31_000 {
						t.Fatalf("line %d of %s comes %d ms late", n[file], inputs[file].Path, latest-moment)
					}
					latest = max(latest, moment)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			f := stats.Files[1]
			if off := f.SetBack/1000 - c.setBack; off < -60 || off > 60 || f.Strays > 8 != c.strays {
				t.Errorf("set back by %d s, %d strays", f.SetBack/1000, f.Strays)
			}
			if f := stats.Files[0]; f.SetBack != 0 || f.Strays != 0 {
				t.Errorf("of the right log %d s, %d strays", f.SetBack/1000, f.Strays)
			}
		})
	}
}
