package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// TestPastLogsWithWrongClocks: of three logs that are read together one has a wrong clock. The
// windows of the others' sites hold what came in them, no incident is made of it, and it is said
// which log it is, where the logs tell.
func TestPastLogsWithWrongClocks(t *testing.T) {
	const length, begin, hour = 1200, 1_780_000_000, 3600
	random := rand.New(rand.NewPCG(5, 5))
	odd := func(far int64) func(int64) int64 {
		return func(at int64) int64 {
			if random.IntN(10) == 0 {
				return at + random.Int64N(2*far) - far
			}
			return at
		}
	}
	for name, c := range map[string]struct {
		clock func(at int64) int64 // seconds since the beginning
		said  string
	}{
		"right":             {func(at int64) int64 { return at }, ""},
		"25 s behind":       {func(at int64) int64 { return at - 25 }, ""},
		"drifts ahead":      {func(at int64) int64 { return at + 20 + at/240 }, ""},
		"of 1970":           {func(at int64) int64 { return at - begin }, "of 1970"},
		"of 2100":           {func(at int64) int64 { return at + 74*365*24*hour }, "of the future"},
		"stuck in 1970":     {func(int64) int64 { return -begin }, "stood still"},
		"stuck":             {func(int64) int64 { return length / 2 }, "stood still"},
		"odd times":         {odd(begin), "its clock jumps"},
		"odd in an hour":    {odd(hour), "its clock jumps"},
		"set back":          {func(at int64) int64 { return at - hour*(at*2/length) }, "set back, by 1h0m"},
		"set back for good": {func(at int64) int64 { return at - hour*(at*4/length) }, "set back, by 3h0m"},
		"to and fro":        {func(at int64) int64 { return at - hour*(at/100%2) }, "set back, by 6h0m"},
		"three hours off":   {func(at int64) int64 { return at - 3*hour }, "3h0m earlier"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var inputs []tail.Input
			for i, site := range []string{"first", "second", "third"} {
				var log strings.Builder
				for at := range int64(length) {
					ms := at
					if site == "third" {
						ms = c.clock(at)
					}
					for row := range 2 + i {
						fmt.Fprintf(&log, `{"time":"%d.%d00","host":"%s.example","client":"192.0.2.%d","method":"GET","uri":"/","status":200}`+"\n", begin+ms, row, site, row)
					}
				}
				path := filepath.Join(dir, site)
				if err := os.WriteFile(path, []byte(log.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				inputs = append(inputs, tail.Input{Path: path, Format: accesslog.Weir})
			}
			windows := 0
			p, err := newProcessor(config.Default(), secret{}, processor.Options{Signals: func(end time.Time, site string, signals []schemas.Signal) {
				want := map[string]float64{"first.example": 2, "second.example": 3}[site]
				if at := end.Unix() - begin; want == 0 || at < 10 || at > length {
					return
				}
				windows++
				for _, g := range signals {
					if g.Name == schemas.RequestRate && (g.Value < want-0.01 || g.Value > want+0.01) {
						t.Errorf("the window of %s to second %d has %g requests a second, want %g", site, end.Unix()-begin, g.Value, want)
					}
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			emit := func(e schemas.Event) { t.Errorf("%s %s of %v", e.Type, e.Kind, e.Sites) }
			stats, err := tail.Read(t.Context(), inputs, tail.Options{Rows: replayRows}, func(c *tail.Chunk) error {
				p.ConsumeShifted(c.Batch, c.Shifts, nil, emit)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if p.Finish(emit); windows < 2*(length/10-2) {
				t.Errorf("%d windows of the others", windows)
			}
			said := strings.Join(clockRemarks(stats.Files, time.Now()), "\n")
			if c.said == "" && said != "" || !strings.Contains(said, c.said) || strings.Contains(said, "first") || strings.Contains(said, "second") || strings.Contains(said, "\n") {
				t.Errorf("it is said: %s", said)
			}
		})
	}
}

// TestClocksOfOtherSpans: logs that were rotated, or are of other days or of one site that began
// later, have no wrong clock.
func TestClocksOfOtherSpans(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	span := func(from, to float64) tail.FileStats { // hours from now
		at := func(h float64) int64 { return now.Add(time.Duration(h * float64(time.Hour))).UnixMilli() }
		return tail.FileStats{Path: "log", Parsed: 1000, First: at(from), Last: at(to)}
	}
	for name, files := range map[string][]tail.FileStats{
		"rotated daily":     {span(-12, 0), span(-36, -12), span(-60, -36), span(-84, -60)},
		"two sites rotated": {span(-12, 0), span(-12, 0), span(-36, -12), span(-36, -12), span(-60, -36)},
		"rotated hourly":    {span(-1, 0), span(-2, -1), span(-3, -2), span(-4, -3)},
		"a newer site":      {span(-12, 0), span(-12, 0), span(-3, 0)},
		"a quiet site":      {span(-12, 0), span(-12, 0), {Path: "log", Parsed: 1, First: now.UnixMilli(), Last: now.UnixMilli()}},
		"another day":       {span(-12, 0), span(-12, 0), span(-12-24*30, -24*30)},
		"empty":             {span(-12, 0), span(-12, 0), {Path: "log"}},
	} {
		if remarks := clockRemarks(files, now); len(remarks) > 0 {
			t.Errorf("%s: %q", name, remarks)
		}
	}
}
