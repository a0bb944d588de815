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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/bus"
)

// What a collector may take, whatever it reads, in KiB: its greatest resident memory, the
// pages of the program's file among it.
const collectorMemory = 64 << 10

// TestCollectorMemoryIsBounded gives a collector all at once that is dear to hold: many
// logs (200; WEIR_LOGS=1000 says otherwise), lines of 100 kB, bytes that are no lines, packed logs beside live ones, many
// connections and large bodies. Its greatest memory stays within a bound.
func TestCollectorMemoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	nats, metrics, pushed, syslog := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	b, err := bus.Open(t.Context(), bus.Options{Dir: filepath.Join(dir, "nats"), Listen: nats})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	files := 200
	if given := os.Getenv("WEIR_LOGS"); given != "" {
		if files, err = strconv.Atoi(given); err != nil {
			t.Fatalf("WEIR_LOGS=%s: %v", given, err)
		}
	}
	logs := filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	lines := hostileLogs(t, logs, files)
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
	all := float64(lines + 16*5000)
	for deadline := time.Now().Add(time.Minute + time.Duration(files)*time.Second/2); metricOf(t, metrics, "weir_collector_lines_total", "") < all; {
		if pause(t.Context(), time.Second); time.Now().After(deadline) {
			t.Fatalf("%.0f of %.0f lines were read", metricOf(t, metrics, "weir_collector_lines_total", ""), all)
		}
	}
	kb := residentKB(c.Process.Pid)
	t.Logf("%d logs of %d lines, 80,000 in bodies, 100 connections: %.1f MiB at most; at the end %.1f of its own and %.1f of the program's file", files, lines,
		float64(kb)/1024, float64(statusKB(c.Process.Pid, "RssAnon"))/1024, float64(statusKB(c.Process.Pid, "RssFile"))/1024)
	if kb == 0 || kb > collectorMemory {
		t.Errorf("the collector took %d KiB at most, want at most %d", kb, collectorMemory)
	}
	c.end(t)
}

// hostileLogs writes logs, and gives how many lines are in those that are not packed.
func hostileLogs(t *testing.T, dir string, files int) (lines int) {
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
	for i := range files {
		content := ordinary(5)
		switch i % 50 {
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
