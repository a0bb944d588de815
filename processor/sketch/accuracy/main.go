// Command accuracy measures the sketches against counting everything, and writes what it
// finds into docs/sketches.md and docs/sketches.svg:
//
//	WEIR_TESTDATA=... go run ./processor/sketch/accuracy -keep FILE docs
//
// It takes ten minutes and two gigabytes, most of it for counting everything. What was
// measured is kept in FILE, and not measured again: it can be interrupted, and goes on.
// Whoever changes a sketch begins with no such file. The streams are drawn anew each time:
// by which number is written with the table, and -draw repeats it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sizes are how many requests, and how many trials of each.
var sizes = []struct{ n, trials int }{{1000, 40}, {10_000, 40}, {100_000, 20}, {1_000_000, 5}, {10_000_000, 2}}

// parts is into how many a stream is cut, and merged again.
const parts = 64

func main() {
	draw := flag.Uint64("draw", 0, "the `number` that streams and secrets are drawn by; 0 is a new one, or that of the file of -keep")
	keep := flag.String("keep", "", "the `file` that holds what was measured, and takes what is; without it, nothing is kept")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: accuracy [-keep FILE] [-draw NUMBER] DIRECTORY, where sketches.md is")
		flag.PrintDefaults()
	}
	if flag.Parse(); flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *keep, *draw); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func run(dir, keep string, draw uint64) error {
	data := os.Getenv("WEIR_TESTDATA")
	if data == "" {
		return errors.New("WEIR_TESTDATA does not name the folder with the logs to measure on")
	}
	all, err := kinds(filepath.Join(data, "logs", "elastic_apache_2015.log.gz"))
	if err != nil {
		return err
	}
	known, err := openStore(keep)
	if err != nil {
		return err
	}
	draw, err = known.drawn(draw)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "drawn by", draw)
	var cells []cell
	for _, kind := range all {
		for _, size := range sizes {
			whole, merged, ok := known.find(kind.name, size.n, size.trials, parts)
			if !ok {
				whole, merged = measure(kind, size.n, size.trials, parts, draw)
				if err := known.add(&whole, &merged, draw); err != nil {
					return err
				}
			}
			cells = append(cells, whole, merged)
			fmt.Fprintln(os.Stderr, row(&whole))
			fmt.Fprintln(os.Stderr, row(&merged))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "sketches.svg"), []byte(plot(cells)), 0o644); err != nil {
		return err
	}
	return replace(filepath.Join(dir, "sketches.md"), table(cells)+fmt.Sprintf("\nDrawn by %d.\n", draw))
}

// The table stands between these in the document.
const (
	begin = "<!-- measured: begin -->"
	end   = "<!-- measured: end -->"
)

func replace(name, text string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		var missing *fs.PathError
		errors.As(err, &missing)
		return fmt.Errorf("%s: %w", name, missing.Err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s: the lines %s and %s are not there", name, begin, end)
	}
	return os.WriteFile(name, []byte(before+begin+"\n"+text+end+after), 0o644)
}

func table(cells []cell) string {
	var b strings.Builder
	b.WriteString("| traffic | requests | parts | trials | distinct, 95 % within (of) | entropy off by (allowed) | keys over 1 % found | their counts off by | p50, p95, p99 off by |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for i := range cells {
		b.WriteString(row(&cells[i]) + "\n")
	}
	return b.String()
}

func row(c *cell) string {
	found, counts := "none there", "–"
	if c.heavy > 0 {
		found, counts = fmt.Sprintf("%d of %d", c.heavy-c.missed, c.heavy), percent(c.counts)
	}
	return fmt.Sprintf("| %s | %s | %d | %d | %s (%d) | %.3f (%.2f) bit | %s | %s | %s |",
		c.kind, thousands(c.n), c.parts, c.trials, percent(c.p95), c.counted, c.entropy, c.allowed, found, counts, percent(c.quantile))
}

func percent(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) }

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
