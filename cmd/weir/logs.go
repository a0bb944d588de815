package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// replayRows is how many rows a batch of past logs has. A replay that is repeated finds by it
// what is stored, also of an older weir: it stays as it is.
const replayRows = 4096

// readLogs reads past logs in order, with a progress bar where a person looks.
func readLogs(ctx context.Context, s screen, inputs []tail.Input, resolve func(*schemas.Request), quiet bool, each func(*tail.Chunk) error) (tail.Stats, error) {
	var progress tail.Progress
	stop := func() {}
	if !quiet && isTerminal(s.err) {
		stop = showProgress(s.err, &progress)
	}
	stats, err := tail.Read(ctx, inputs, tail.Options{Rows: replayRows, Progress: &progress, Stdin: s.in, Resolve: resolve}, each)
	stop()
	return stats, err
}

// sayClocks names the logs whose clocks were wrong, of several.
func sayClocks(s screen, stats tail.Stats) {
	if len(stats.Files) < 2 {
		return
	}
	remarks := clockRemarks(stats.Files, time.Now())
	for _, r := range remarks[:min(len(remarks), shownClocks)] {
		fmt.Fprintln(s.err, "weir:", r)
	}
	if n := len(remarks) - shownClocks; n > 0 {
		fmt.Fprintf(s.err, "weir: and the clocks of %d more\n", n)
	}
}

// shownClocks bounds the logs of which it is said.
const shownClocks = 20

// emptyLogs is the error that there was no line in any log; a log without lines beside
// others is a warning.
func emptyLogs(s screen, stats tail.Stats) error {
	if stats.Lines() == 0 && len(stats.Files) > 0 {
		return fmt.Errorf("log %s is empty: there is nothing to read; name the log that the server writes, or its rotated ones", printable(stats.Files[0].Path, 200))
	}
	for i := range stats.Files {
		if f := &stats.Files[i]; f.Empty() {
			fmt.Fprintf(s.err, "weir: log %s is empty; going on with the others\n", printable(f.Path, 200))
		}
	}
	return nil
}

// showProgress draws a bar of the bytes read until the returned function is
// called.
func showProgress(w io.Writer, p *tail.Progress) (stop func()) {
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription("reading"))
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				_ = bar.Finish() // only the screen is lost
				return
			case <-tick.C:
				if total := p.Total.Load(); total > 0 && bar.GetMax64() != total {
					bar.ChangeMax64(total)
				}
				_ = bar.Set64(p.Done.Load())
			}
		}
	}()
	return func() { close(done); <-ended }
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printRefused says why lines were refused, if any were, and which files held none.
func printRefused(w io.Writer, stats tail.Stats) {
	for reason, n := range stats.Refused() {
		if n > 0 {
			fmt.Fprintf(w, "          %s refused: %s\n", count(n), accesslog.Reason(reason))
		}
	}
}

// shownSites bounds a table of sites for a terminal.
const shownSites = 20

func printSites(w io.Writer, sites []processor.SiteStatus) {
	if len(sites) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%-32s %12s %14s\n", "site", "requests", "learned from")
	for _, site := range sites[:min(len(sites), shownSites)] {
		fmt.Fprintf(w, "%-32s %12s %14s\n", printable(site.Name, 32), count(site.Requests), short(site.Learned))
	}
	if n := len(sites) - shownSites; n > 0 {
		fmt.Fprintf(w, "and %d more\n", n)
	}
}
