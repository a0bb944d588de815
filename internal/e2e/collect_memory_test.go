package e2e

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weir-project/weir/internal/bus"
)

// collectorMemory is what a collector may take, whatever it reads, beside the pages of the
// program's own file, in KiB.
const collectorMemory = 48 << 10

// TestCollectorMemoryIsBounded gives a collector all at once that is dear to hold: many
// logs, lines of 100 kB, bytes that are no lines, packed logs beside live ones, many
// connections and large bodies. Its greatest memory stays within a bound.
func TestCollectorMemoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	nats, metrics, pushed, syslog := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	b, err := bus.Open(t.Context(), bus.Options{Dir: filepath.Join(dir, "nats"), Listen: nats})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	logs := filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	lines := hostileLogs(t, logs)
	token := writeTo(t, filepath.Join(dir, "token"), "0123456789abcdef\n")
	config := writeTo(t, filepath.Join(dir, "weir.yml"), fmt.Sprintf(
		"data: %s\nnats: {url: %q}\nhttp: {listen: %q}\nvitals: {every: 0}\nsources:\n  - {file: %q}\n  - {http: %q, token_file: %s}\n  - {syslog: %q}\n",
		filepath.Join(dir, "edge"), "nats://"+nats, metrics, filepath.Join(logs, "*.log"), pushed, token, "tcp://"+syslog))
	c := startCommand(t, "--config", config, "collect")
	until(t, "the collector listens", func() bool {
		connection, err := net.Dial("tcp", syslog)
		if err == nil {
			connection.Close()
		}
		return err == nil
	})
	var pushing sync.WaitGroup
	for i := range 16 {
		pushing.Go(func() {
			var body bytes.Buffer
			for n := range 5000 {
				fmt.Fprintln(&body, numberedLine(i*5000+n))
			}
			post(t, pushed, fmt.Sprint("body", i), body.Bytes(), "")
		})
	}
	for range 100 {
		pushing.Go(func() { sendSyslog(t, syslog) })
	}
	pushing.Wait()
	until(t, "all of it was read", func() bool { return metricOf(t, metrics, "weir_collector_lines_total", "") >= float64(lines+16*5000) })
	kb := residentKB(c.Process.Pid)
	own := statusKB(c.Process.Pid, "RssFile")
	t.Logf("%d lines of logs, 80,000 in bodies, 100 connections: %.1f MiB at most, of which the program's file is %.1f", lines, float64(kb)/1024, float64(own)/1024)
	if own == 0 || kb-own > collectorMemory {
		t.Errorf("the collector took %d KiB at most beside its program's %d, want at most %d", kb-own, own, collectorMemory)
	}
	c.end(t)
}

// hostileLogs writes logs, and gives how many lines are in those that are not packed.
func hostileLogs(t *testing.T, dir string) (lines int) {
	random := rand.New(rand.NewPCG(1, 1))
	var failed []error
	write := func(name string, content []byte) {
		failed = append(failed, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	ordinary := func(n int) []byte {
		var out bytes.Buffer
		for range n {
			fmt.Fprintf(&out, "%s\n", strings.Replace(numberedLine(random.IntN(1<<20)), `"a"`, fmt.Sprintf(`"%0200x"`, random.Uint64()), 1))
		}
		return out.Bytes()
	}
	for i := range 80 {
		content := ordinary(20)
		switch i % 20 {
		case 1: // long lines
			for range 10 {
				content = append(content, strings.Replace(numberedLine(i), "/n/", "/"+strings.Repeat("long", 25_000), 1)+"\n"...)
			}
		case 2: // no lines
			noise := make([]byte, 1<<20)
			for at := range noise {
				noise[at] = byte(random.Uint32())
			}
			content = append(append(content, noise...), '\n')
		case 3: // a large one, of what does not compress
			content = ordinary(10_000)
		case 4:
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			_, err := w.Write(ordinary(2000))
			failed = append(failed, err, w.Close())
			write(fmt.Sprintf("site%d.log.2.gz", i), packed.Bytes())
		}
		lines += bytes.Count(content, []byte("\n"))
		write(fmt.Sprintf("site%d.log", i), content)
	}
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	return lines
}

// sendSyslog sends framed messages, the last of them long, over a connection of its own.
func sendSyslog(t *testing.T, address string) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer connection.Close()
	for i := range 50 {
		line := numberedLine(i)
		if i == 49 {
			line = strings.Replace(line, "/n/", "/"+strings.Repeat("x", 60_000), 1)
		}
		if _, err := fmt.Fprintf(connection, "<190>Nov 28 17:35:39 web nginx: %s\n", line); err != nil {
			return // too many connections: it may refuse some
		}
	}
}
