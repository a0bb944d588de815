package ship

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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
	if len(s.Intents) == 0 && s.Position.Offset == j.size {
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

// BenchmarkShip is the whole way from a file of combined lines to a JetStream in this
// process: read, parse, encode, compress, journal, publish. The long lines are as a
// site's log has them, of 266 bytes in the mean.
func BenchmarkShip(b *testing.B) {
	b.Run("short", func(b *testing.B) { benchmarkShip(b, line, newStream(b)) })
	b.Run("long", func(b *testing.B) { benchmarkShip(b, longLine, newStream(b)) })
	// The same without the stream: what is missing is what NATS takes.
	b.Run("nowhere", func(b *testing.B) {
		benchmarkShip(b, longLine, publishFunc(func(context.Context, string, string, []byte) error { return nil }))
	})
}

// BenchmarkPack is what is done to a line before it is journaled and published: parsed,
// divided among the partitions, encoded, compressed.
func BenchmarkPack(b *testing.B) {
	var content strings.Builder
	lines := 0
	for content.Len() < 2<<20 {
		content.WriteString(longLine(lines))
		lines++
	}
	o := &Options{Edge: "edge", Source: "web"}
	k := newPacker()
	data := []byte(content.String())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var state State
		intent := &Intent{Format: "combined", Rows: 4096, Clock: 1 << 42}
		for p := range state.Next {
			state.Next[p] = 1
		}
		k.clear()
		if err := k.pack(o, &state, intent, data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*lines), "ns/line")
}

// BenchmarkJournal is a state that would survive a loss of power: two for each piece.
func BenchmarkJournal(b *testing.B) {
	j := &FileJournal{Path: filepath.Join(b.TempDir(), "j")}
	for b.Loop() {
		if err := j.Save(State{Format: "combined"}); err != nil {
			b.Fatal(err)
		}
	}
}

func longLine(n int) string {
	return fmt.Sprintf("203.0.%d.%d - - [17/May/2025:10:%02d:%02d +0000] \"GET /blog/2025/hello-world-%05d?page=2 HTTP/1.1\" 200 %d "+
		"\"https://www.example.org/blog/2025/05/17/\" \"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.%d.0 Safari/537.36 Edg/124.0\"\n",
		n%200, n%250, n/10000%60, n/200%60, n*7%5000, 10000+n%9999, n%400)
}

func benchmarkShip(b *testing.B, line func(int) string, to Publisher) {
	const lines = 400_000
	l := newLog(b)
	var content strings.Builder
	content.Grow(lines * 300)
	for n := range lines {
		content.WriteString(line(n))
	}
	l.write(content.String())
	b.SetBytes(int64(content.Len()))
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ReportAllocs()
	for round := 0; b.Loop(); round++ {
		o := options(l)
		o.Rows, o.Edge, o.Logger = 0, fmt.Sprint("edge", round), slog.New(slog.NewTextHandler(io.Discard, nil))
		ctx, cancel := context.WithCancel(b.Context())
		journal := untilEnd{&FileJournal{Path: filepath.Join(b.TempDir(), "j")}, l.size(), cancel}
		s, err := New(o, journal, to)
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
