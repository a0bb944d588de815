package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas/clickhouse"
)

// holder is a weir sql that has the store of a data directory open for as long as its
// standard input is.
type holder struct {
	*exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	done chan struct{}
}

func hold(t *testing.T, data string) *holder {
	t.Helper()
	h := &holder{Cmd: exec.Command(program, "sql", "--data", data), done: make(chan struct{})}
	in, err := h.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.in, h.out, h.Stderr = in, bufio.NewReader(out), os.Stderr
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Process.Kill(); h.in.Close(); h.Wait() })
	if got := h.ask(t, "SELECT 7"); got != "7" {
		t.Fatalf("who holds the store says %q", got)
	}
	return h
}

// ask returns the first line of an answer.
func (h *holder) ask(t *testing.T, query string) string {
	t.Helper()
	if _, err := fmt.Fprintln(h.in, query+";"); err != nil {
		t.Fatal(err)
	}
	line, err := h.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// feeding is a weir replay that reads a log from its standard input.
type feeding struct {
	*exec.Cmd
	in   io.WriteCloser
	says bytes.Buffer
	sent int
}

func feed(t *testing.T, data, site string) *feeding {
	t.Helper()
	f := &feeding{Cmd: exec.Command(program, "replay", "-q", "--data", data, site+"=-")}
	in, err := f.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.in, f.Stdout, f.Stderr = in, &f.says, &f.says
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Process.Kill(); f.in.Close(); f.Wait() })
	return f
}

func (f *feeding) lines(t *testing.T, n int) {
	t.Helper()
	var text bytes.Buffer
	for range n {
		fmt.Fprintf(&text, "198.51.%d.%d - - [30/Nov/2026:00:%02d:%02d +0000] \"GET /n/%d HTTP/1.1\" 200 10 \"-\" \"numbered\"\n",
			f.sent/250%250, f.sent%250, f.sent/6000, f.sent/100%60, f.sent)
		f.sent++
	}
	if _, err := f.in.Write(text.Bytes()); err != nil {
		t.Fatal(err)
	}
}

// ends sends the log's end and waits for the replay's.
func (f *feeding) ends(t *testing.T) {
	t.Helper()
	f.in.Close()
	ended := make(chan error, 1)
	go func() { ended <- f.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the replay: %v: %s", err, f.says.String())
		}
	case <-time.After(2 * time.Minute):
		t.Fatalf("the replay did not end: %s", f.says.String())
	}
}

// TestTheStoresOwnerEnds has replays store through another process's ClickHouse, which ends
// meanwhile: one of them opens the store, the others go on by it, and each row is there once.
func TestTheStoresOwnerEnds(t *testing.T) {
	needClickHouse(t)
	steps, err := clickhouse.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(*testing.T, *holder, string){
		// Its tables are being made.
		"while it migrates": func(_ *testing.T, h *holder, _ string) { _ = h.Process.Kill(); h.Wait() },
		"in order":          func(_ *testing.T, h *holder, _ string) { h.in.Close(); h.Wait() },
		"killed":            func(_ *testing.T, h *holder, _ string) { _ = h.Process.Kill(); h.Wait() },
		// Its child lives, so nobody may open the store beside it.
		"stopped for a while": func(t *testing.T, h *holder, data string) {
			_ = h.Process.Signal(syscall.SIGSTOP)
			if out, err := weir(t, "sql", "--data", data, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "is stopped: have it go on (kill -CONT") {
				t.Errorf("with its owner stopped the store says %s, error %v", out, err)
			}
			_ = h.Process.Signal(syscall.SIGCONT)
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if err := os.MkdirAll(filepath.Join(data, "clickhouse"), 0o700); err != nil {
				t.Fatal(err)
			}
			h := hold(t, data)
			replays := []*feeding{feed(t, data, "a.example.org"), feed(t, data, "b.example.org")}
			for _, f := range replays {
				f.lines(t, 3000)
			}
			until(t, "a table is there", func() bool { return h.ask(t, "SELECT count() FROM system.tables WHERE name = 'requests'") == "1" })
			if name != "while it migrates" {
				until(t, "the tables are there", func() bool { return h.ask(t, "SELECT max(version) FROM schema_migrations") == fmt.Sprint(len(steps)) })
			}
			end(t, h, data)
			for _, f := range replays {
				f.lines(t, 3000)
			}
			var all sync.WaitGroup
			for _, f := range replays {
				all.Go(func() { f.ends(t) })
			}
			all.Wait()
			if got := mustWeir(t, "sql", "--data", data, "SELECT site, count(), uniqExact(path) FROM requests GROUP BY site ORDER BY site"); got !=
				"a.example.org\t6000\t6000\nb.example.org\t6000\t6000" {
				t.Errorf("stored: %s", got)
			}
		})
	}
}

// TestReplaysThatStartAtOnce has three replays begin on a directory without a store: one
// opens it, the others store by it, also when it ends before them.
func TestReplaysThatStartAtOnce(t *testing.T) {
	needClickHouse(t)
	data := filepath.Join(t.TempDir(), "data")
	var replays []*feeding
	for i := range 3 {
		replays = append(replays, feed(t, data, fmt.Sprintf("s%d.example.org", i)))
	}
	for _, f := range replays {
		f.lines(t, 2000)
	}
	for i, f := range replays { // one after the other
		f.lines(t, 1000*i)
		f.ends(t)
	}
	if got := mustWeir(t, "sql", "--data", data, "SELECT site, count(), uniqExact(path) FROM requests GROUP BY site ORDER BY site"); got !=
		"s0.example.org\t2000\t2000\ns1.example.org\t3000\t3000\ns2.example.org\t4000\t4000" {
		t.Errorf("stored: %s", got)
	}
}
