package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkReplay runs the whole of `weir replay` over two hours of an estate of five
// sites and the opening story: read, parse, merge, judge, process, decide, write
// verdicts. One operation is one replay; requests/s is what counts.
func BenchmarkReplay(b *testing.B) {
	log := filepath.Join(b.TempDir(), "access.log")
	quietly(b, "simulate", log, "--hours", "2", "--tail", "2m")
	lines := bytes.Count(read(b, log), []byte("\n"))
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"no output", nil},
		{"verdicts", []string{"--verdicts", "/dev/null", "--events", "/dev/null"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				quietly(b, append([]string{"replay", "-q", log}, c.flags...)...)
			}
			b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

func quietly(b *testing.B, args ...string) {
	b.Helper()
	var out, err bytes.Buffer
	if code := run(context.Background(), args, screen{strings.NewReader(""), &out, &err}); code != exitDone {
		b.Fatalf("weir %s: exit code %d: %s", strings.Join(args, " "), code, err.String())
	}
}

// TestBenchSpeeds runs each bench of one request's cost for a moment.
func TestBenchSpeeds(t *testing.T) {
	for _, what := range [][]string{{"parse"}, {"parse", "--format", "combined"}, {"encode"}, {"decode"}, {"process"}} {
		var out, err bytes.Buffer
		args := append(append([]string{"bench"}, what...), "--for", "10ms", "--output", "json")
		if code := run(t.Context(), args, screen{strings.NewReader(""), &out, &err}); code != exitDone {
			t.Fatalf("%v: %s", args, err.String())
		}
		var r benchResult
		if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Requests < 1 || r.Wall <= 0 || r.Machine == "" {
			t.Errorf("%v: %v: %s", args, err, out.String())
		}
	}
}
