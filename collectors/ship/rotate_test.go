package ship

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// arrivals tells how many rows have been published.
type arrivals struct {
	next Publisher
	rows chan int
}

// Publish implements Publisher.
func (a *arrivals) Publish(ctx context.Context, subject, id string, data []byte) error {
	err := a.next.Publish(ctx, subject, id, data)
	if batch, bad := schemas.DecodeBatch(data); err == nil && bad == nil {
		a.rows <- len(batch.Time)
	}
	return err
}

// rotate shifts .1 to .2 and so on, and moves the log to .1.
func (l *log) rotate() {
	for n := 20; n > 0; n-- {
		from := fmt.Sprint(l.path, ".", n)
		if _, err := os.Stat(from); err != nil {
			continue
		}
		if err := os.Rename(from, fmt.Sprint(l.path, ".", n+1)); err != nil {
			l.t.Fatal(err)
		}
	}
	l.rename(".1")
}

// TestRotatedAgainAndAgain rotates the log while a file that was rotated before is
// still being read: a new file comes and goes before its turn.
func TestRotatedAgainAndAgain(t *testing.T) {
	js, l := newStream(t), newLog(t)
	registry := prometheus.NewRegistry()
	o := options(l)
	o.Rows, o.Follow.Grace, o.Registerer = 0, 300*time.Millisecond, registry
	a := &arrivals{next: js, rows: make(chan int)}
	s, err := New(o, &FileJournal{Path: filepath.Join(t.TempDir(), "journal")}, a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	arrived := 0
	wait := func(rows int) {
		t.Helper()
		for late := time.After(20 * time.Second); arrived < rows; {
			select {
			case n := <-a.rows:
				arrived += n
			case <-late:
				t.Errorf("%d of %d rows arrived", arrived, rows)
				return
			}
		}
	}
	for range 3 {
		l.grow(100)
		wait(l.n)
		l.rotate()
		l.grow(1000)
		l.rotate()
		wait(l.n) // the one rotated last is being read, and will be left after the grace
		for range 2 {
			l.grow(10)
			l.rotate()
		}
		l.grow(10)
	}
	wait(l.n)
	cancel()
	for running := true; running; {
		select {
		case <-a.rows:
		case err := <-ended:
			running = false
			if err != nil {
				t.Error(err)
			}
		}
	}
	js.exactly(t, l.n)
	if got := gathered(t, registry)["weir_collector_files_skipped_total"]; got != 0 {
		t.Errorf("%v files are said to be lost", got)
	}
}

// TestPackedWhileStopped rotates and packs the log, read to its end or not, while
// nothing follows it: all of it is shipped.
func TestPackedWhileStopped(t *testing.T) {
	for _, unread := range []int{0, 7} {
		js, l := newStream(t), newLog(t)
		journal := &FileJournal{Path: filepath.Join(t.TempDir(), "journal")}
		l.grow(50)
		seen := map[string]bool{}
		run(t, options(l), &crasher{rows: 50, next: js, journal: journal, seen: seen})
		l.grow(unread)
		l.rotate()
		content, err := os.ReadFile(l.path + ".1")
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		w.Write(content)
		w.Close()
		if err := os.WriteFile(l.path+".1.gz", packed.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Remove(l.path + ".1")
		l.grow(20)
		l.rename("-20251122") // plain still, and after it
		l.grow(30)
		var logged bytes.Buffer
		registry := prometheus.NewRegistry()
		o := options(l)
		o.Registerer, o.Logger = registry, slog.New(slog.NewTextHandler(&logged, nil))
		run(t, o, &crasher{rows: l.n, next: js, journal: journal, seen: seen})
		if got := gathered(t, registry)["weir_collector_files_skipped_total"]; got != 0 {
			t.Errorf("%d lines unread: %v files skipped: %s", unread, got, &logged)
		}
		js.exactly(t, l.n)
	}
}
