package tail

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// write puts content into a new file and gives its path.
func write(t testing.TB, name string, content []byte) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

// line0 is the time of line 0, unix ms.
const line0 = 1747476000000

// line is a combined line at a second after 2025-05-17 10:00, with a path.
func line(second int, path string) string {
	at := time.Date(2025, 5, 17, 10, 0, second, 0, time.UTC)
	return fmt.Sprintf("192.0.2.7 - - [%s] \"GET /%s HTTP/1.1\" 200 12 \"-\" \"agent\"\n", at.Format("02/Jan/2006:15:04:05 -0700"), path)
}

// flat reads everything and writes it out: one word for each line.
func flat(t testing.TB, o Options, inputs ...Input) (string, Stats, error) {
	var out strings.Builder
	var rows schemas.Rows
	stats, err := Read(context.Background(), inputs, o, func(c *Chunk) error {
		rows.Reset(c.Batch)
		var r schemas.Request
		row := 0
		for _, l := range c.Lines {
			if l.Row < 0 {
				fmt.Fprintf(&out, "%d:%d=%s ", l.File, l.Number, l.Reason)
				continue
			}
			if l.Row != row || !rows.Next(&r) {
				t.Errorf("line %+v stands for row %d", l, row)
			}
			row++
			fmt.Fprintf(&out, "%d:%d=%s%s ", l.File, l.Number, r.Site, r.Path)
		}
		return nil
	})
	if stats.Lines() != stats.Parsed()+sum(stats.Refused()) {
		t.Errorf("%d lines, but %d parsed and %v refused", stats.Lines(), stats.Parsed(), stats.Refused())
	}
	return strings.TrimSpace(out.String()), stats, err
}

func sum(by [accesslog.NumReasons]uint64) (n uint64) {
	for _, count := range by {
		n += count
	}
	return n
}

func TestReadPackings(t *testing.T) {
	plain := []byte(line(1, "a") + "garbage\n" + strings.TrimSuffix(line(2, "b"), "\n"))
	encoder, _ := zstd.NewWriter(nil)
	packed := map[string][]byte{
		"plain": plain, "log.gz": gzipped(plain), "named.wrongly": gzipped(plain),
		"members.gz": append(gzipped(plain[:50]), gzipped(plain[50:])...),
		"log.zst":    encoder.EncodeAll(plain, nil),
	}
	for name, content := range packed {
		progress := &Progress{}
		got, stats, err := flat(t, Options{Progress: progress}, Input{Path: write(t, name, content), Site: "x.org"})
		if want := "0:1=x.org/a 0:2=syntax 0:3=x.org/b"; err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
		if stats.Files[0].Format != accesslog.Combined || progress.Done.Load() != int64(len(content)) || progress.Total.Load() != int64(len(content)) {
			t.Errorf("%s: %+v, progress %d of %d", name, stats, progress.Done.Load(), progress.Total.Load())
		}
		got, _, err = flat(t, Options{Stdin: bytes.NewReader(content)}, Input{Path: "-"})
		if want := "0:1=/a 0:2=syntax 0:3=/b"; err != nil || got != want {
			t.Errorf("%s from stdin: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestReadMerges(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"by time, then by file": {
			[]string{line(1, "a") + line(3, "b") + line(3, "c"), line(0, "d") + line(3, "e") + line(4, "f")},
			"1:1=/d 0:1=/a 0:2=/b 0:3=/c 1:2=/e 1:3=/f",
		},
		"a file keeps its order": {
			[]string{line(5, "a") + line(1, "b") + line(6, "c"), line(4, "d") + line(5, "e")},
			"1:1=/d 0:1=/a 0:2=/b 1:2=/e 0:3=/c",
		},
		"a refused line stays with the line before": {
			[]string{"bad\n" + line(1, "a") + "bad\n" + line(9, "b"), line(1, "c") + line(2, "d")},
			"0:1=syntax 0:2=/a 0:3=syntax 1:1=/c 1:2=/d 0:4=/b",
		},
		"one time far ahead holds nothing up": {
			[]string{line(1, "a") + line(1e8, "b") + line(3, "c"), line(2, "d") + line(4, "e")},
			"0:1=/a 1:1=/d 0:2=/b 0:3=/c 1:2=/e",
		},
		"nor does one at the start": {
			[]string{line(1e8, "a") + line(3, "c"), line(2, "d") + line(4, "e")},
			"1:1=/d 0:1=/a 0:2=/c 1:2=/e",
		},
		"nor do some together": {
			[]string{line(1, "a") + line(1e8, "b") + line(2e8, "c") + line(3, "d") + line(5, "e") + line(7, "f"), line(2, "g") + line(4, "h") + line(6, "i")},
			"0:1=/a 1:1=/g 0:2=/b 0:3=/c 0:4=/d 1:2=/h 0:5=/e 1:3=/i 0:6=/f",
		},
		"nor does one a minute ahead": {
			[]string{line(1, "a") + line(61, "b") + line(3, "c"), line(2, "d") + line(4, "e")},
			"0:1=/a 1:1=/d 0:2=/b 0:3=/c 1:2=/e",
		},
		"a quiet night is no odd time": {
			[]string{line(1, "a") + line(30000, "b") + line(30001, "c"), line(2, "d") + line(29999, "e")},
			"0:1=/a 1:1=/d 1:2=/e 0:2=/b 0:3=/c",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var inputs []Input
			for _, content := range c.files {
				inputs = append(inputs, Input{Path: write(t, "log", []byte(content)), Format: accesslog.Combined})
			}
			if got, _, err := flat(t, Options{}, inputs...); got != c.want || err != nil {
				t.Errorf("%s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	good := line(1, "a") + line(2, "b")
	many := strings.Repeat(good, 20000)
	torn := gzipped([]byte(many))
	for name, c := range map[string]struct {
		input Input
		want  string // part of the error
		some  bool   // whether lines come before it
	}{
		"missing":   {Input{Path: filepath.Join(t.TempDir(), "none.log")}, "does not exist", false},
		"directory": {Input{Path: t.TempDir()}, "is a directory", false},
		"binary":    {Input{Path: write(t, "b", []byte("\x7fELF\x00\x01\x02\n\x00\x00\n"))}, "is a binary file", false},
		"no log":    {Input{Path: write(t, "n", []byte("To be, or not\nto be\n"))}, "say which with --format", false},
		"xz":        {Input{Path: write(t, "x", []byte("\xfd7zXZ\x00\x00"))}, "packed with xz", false},
		"torn gzip": {Input{Path: write(t, "t.gz", torn[:len(torn)-20])}, "gzip data is broken", true},
		"bad gzip":  {Input{Path: write(t, "h.gz", []byte("\x1f\x8b\xff\xff garbage"))}, "gzip data is broken", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := flat(t, Options{}, c.input)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || (got != "") != c.some {
				t.Errorf("%.100q, error %v; want one line with %q", got, err, c.want)
			}
		})
	}
	for _, content := range [][]byte{nil, gzipped(nil)} {
		if got, stats, err := flat(t, Options{}, Input{Path: write(t, "e", content)}); err != nil || got != "" || !stats.Files[0].Empty() {
			t.Errorf("empty file: %q, %+v, %v", got, stats, err)
		}
	}
}

func TestReadLongLine(t *testing.T) {
	long := strings.Repeat("x", accesslog.MaxLine+1)
	content := line(1, "a") + long + "\n" + line(2, "b") + long + long + "\n" + line(3, "c") + long + long
	got, _, err := flat(t, Options{}, Input{Path: write(t, "log", []byte(content))})
	if want := "0:1=/a 0:2=too_long 0:3=/b 0:4=too_long 0:5=/c 0:6=too_long"; got != want || err != nil {
		t.Errorf("%.200s, %v; want %s", got, err, want)
	}
}

func TestReadIsTheSameOnAnyNumberOfCores(t *testing.T) {
	var a, b bytes.Buffer
	for i := range 30000 {
		a.WriteString(line(i/3, fmt.Sprint("a", i)))
		if b.WriteString(line(i/5, fmt.Sprint("b", i))); i%1000 == 7 {
			b.WriteString("bad\n")
		}
	}
	inputs := []Input{{Path: write(t, "a.gz", gzipped(a.Bytes()))}, {Path: write(t, "b", b.Bytes())}}
	first, stats, err := flat(t, Options{}, inputs...)
	if err != nil || stats.Parsed() != 60000 || stats.Refused()[accesslog.Syntax] != 30 {
		t.Fatalf("%v, %+v", err, stats)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if again, _, err := flat(t, Options{}, inputs...); again != first || err != nil {
		t.Error("one core reads it otherwise")
	}
}

func TestReadStops(t *testing.T) {
	path := write(t, "log", []byte(strings.Repeat(line(1, "a"), 50000)))
	stop := errors.New("enough")
	chunks := 0
	stats, err := Read(context.Background(), []Input{{Path: path}}, Options{Rows: 100}, func(*Chunk) error {
		if chunks++; chunks == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || chunks != 3 || stats.Lines() > 1000 {
		t.Errorf("%d chunks, %d lines, %v", chunks, stats.Lines(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	never, writer := io.Pipe()
	defer writer.Close()
	go func() { io.WriteString(writer, strings.Repeat(line(1, "a"), 5000)); cancel() }()
	if _, err := Read(ctx, []Input{{Path: "-"}}, Options{Stdin: never, Rows: 100}, func(*Chunk) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a pipe that never ends: %v", err)
	}
}

func BenchmarkRead(b *testing.B) {
	var content bytes.Buffer
	const lines = 400_000
	for i := range lines {
		fmt.Fprintf(&content, `203.0.%d.%d - - [17/May/2025:10:%02d:%02d +0000] "GET /blog/2025/hello-world-%05d?page=2 HTTP/1.1" 200 %d "https://www.example.org/blog/2025/" "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 agent %05d"`+"\n",
			i%200, i%250, i/10000, i/200%60, i*7%5000, 10000+i%9999, i%400)
	}
	path := write(b, "log", content.Bytes())
	b.SetBytes(int64(content.Len()))
	b.ReportAllocs()
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		if _, err := Read(b.Context(), []Input{{Path: path}}, Options{}, func(*Chunk) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(lines*b.N)/b.Elapsed().Seconds(), "lines/s")
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	b.ReportMetric(float64(after.Utime.Nano()-before.Utime.Nano()+after.Stime.Nano()-before.Stime.Nano())/float64(lines*b.N), "cpu-ns/line")
}
