package ship

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// untilEnd is a journal that ends its Ship when all is published.
type untilEnd struct {
	Journal
	size   int64
	cancel context.CancelFunc
}

func (j untilEnd) Save(s State) error {
	if s.Intent == nil && s.Position.Offset == j.size {
		j.cancel()
	}
	return j.Journal.Save(s)
}

func (l *log) size() int64 {
	info, err := os.Stat(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	return info.Size()
}

// BenchmarkShip is the whole way from a file of short combined lines to a JetStream in
// this process: read, parse, encode, journal, publish.
func BenchmarkShip(b *testing.B) {
	const lines = 200_000
	js, l := newStream(b), newLog(b)
	l.grow(lines)
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ReportAllocs()
	for round := 0; b.Loop(); round++ {
		o := options(l)
		o.Rows, o.Edge, o.Logger = 0, fmt.Sprint("edge", round), slog.New(slog.NewTextHandler(io.Discard, nil))
		ctx, cancel := context.WithCancel(b.Context())
		journal := untilEnd{FileJournal{filepath.Join(b.TempDir(), "j")}, l.size(), cancel}
		s, err := New(o, journal, js)
		if err == nil {
			err = s.Run(ctx)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	b.ReportMetric(float64(lines*b.N)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(after.Utime.Nano()-before.Utime.Nano()+after.Stime.Nano()-before.Stime.Nano())/float64(lines*b.N), "cpu-ns/line")
}
