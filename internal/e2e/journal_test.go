package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// journalled has systemd-journal-remote write numbered lines of nginx.service into a
// journal.
func journalled(t *testing.T, path string, first, n int) {
	t.Helper()
	var out bytes.Buffer
	for i := first; i < first+n; i++ {
		at := time.Now().UnixMicro()
		fmt.Fprintf(&out, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_SYSTEMD_UNIT=nginx.service\nMESSAGE=%s\n\n", at, at, numberedLine(i))
		fmt.Fprintf(&out, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_SYSTEMD_UNIT=cron.service\nMESSAGE=something else\n\n", at, at)
	}
	command := exec.Command(findProgram(t, "systemd-journal-remote", "/lib/systemd/systemd-journal-remote"), "--output="+path, "-")
	command.Stdin = &out
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("systemd-journal-remote: %v: %s", err, text)
	}
}

// TestJournalAndPipe takes a journal that systemd writes, over a kill, and a named pipe,
// over a restart of its writer: every line is in ClickHouse once.
func TestJournalAndPipe(t *testing.T) {
	findProgram(t, "systemd", "journalctl")
	findProgram(t, "systemd-journal-remote", "/lib/systemd/systemd-journal-remote")
	needClickHouse(t)
	dir := t.TempDir()
	journal, pipe, data := filepath.Join(dir, "journal"), filepath.Join(dir, "access.pipe"), filepath.Join(dir, "data")
	if err := os.Mkdir(journal, 0o755); err != nil {
		t.Fatal(err)
	}
	config := writeTo(t, filepath.Join(dir, "weir.yml"), fmt.Sprintf(
		"data: %s\nhttp: {listen: %q}\nsources:\n  - {journal: nginx.service, directory: %s, site: journal.example.org}\n  - {pipe: %s, site: pipe.example.org}\n",
		data, freeAddress(t), journal, pipe))
	const n = 300
	journalled(t, filepath.Join(journal, "remote.journal"), 0, n/3)
	w := startWith(t, config)
	until(t, "the pipe is there", func() bool { _, err := os.Stat(pipe); return err == nil })
	write := func(first, n int) {
		var lines strings.Builder
		for i := first; i < first+n; i++ {
			lines.WriteString(numberedLine(i) + "\n")
		}
		if err := os.WriteFile(pipe, []byte(lines.String()), 0); err != nil {
			t.Fatal(err)
		}
	}
	write(0, n)
	journalled(t, filepath.Join(journal, "remote.journal"), n/3, n/3)
	until(t, "the pipe's lines are in ClickHouse", func() bool { return countSite(t, data, "pipe.example.org") == fmt.Sprintf("%d %d", n, n) })
	w.kill()
	journalled(t, filepath.Join(journal, "remote.journal"), 2*n/3, n/3)
	w = startWith(t, config)
	write(n, n)
	until(t, "the journal's lines are in ClickHouse once", func() bool { return countSite(t, data, "journal.example.org") == fmt.Sprintf("%d %d", n, n) })
	until(t, "and those of the pipe", func() bool { return countSite(t, data, "pipe.example.org") == fmt.Sprintf("%d %d", 2*n, 2*n) })
	w.end(t)
}
