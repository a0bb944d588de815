package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWithoutNamespacesTheStoreIsReplaced forbids user namespaces, as containers do, so that
// ClickHouse is on a port behind a secret: the next child has another, and storing goes on.
func TestWithoutNamespacesTheStoreIsReplaced(t *testing.T) {
	needClickHouse(t)
	const forbid = `echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"`
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", "true").CombinedOutput(); err != nil {
		t.Skipf("user namespaces cannot be forbidden here: %v: %s", err, out)
	}
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	const lines = 20_000
	written := numberedLines(t, log, lines, 5e6)
	said := writeTo(t, filepath.Join(dir, "said"), "")
	w := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", forbid+` 2>"$0"`, said,
		program, "run", "--data", data, "--http", freeAddress(t), "numbered.example.org="+log)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Process.Kill(); _ = w.Wait() })
	stored := func(want string) func() bool {
		return func() bool {
			out, err := weir(t, "sql", "--data", data, "SELECT uniqExact(path) "+want+" FROM requests")
			return err == nil && out == "1"
		}
	}
	until(t, "requests are in ClickHouse", stored("> 100"))
	text, err := os.ReadFile(said)
	if err != nil || !strings.Contains(string(text), "isolation=loopback") {
		t.Fatalf("it is not on the loopback interface: %v: %s", err, text)
	}
	r := &running{Cmd: w}
	if pid := r.clickhouse(); pid == 0 || syscall.Kill(pid, syscall.SIGKILL) != nil {
		t.Fatal("there is no child to be killed")
	}
	written()
	until(t, "all lines are in ClickHouse", stored(fmt.Sprintf("= %d", lines)))
	storedOnce(t, data, lines)
}

// storedOnce waits until so many rows are there, and in the rollups: a block's rows are seen a moment before
// the rollups that are made of it.
func storedOnce(t *testing.T, data string, lines int) {
	t.Helper()
	want := fmt.Sprintf("%d\t%d", lines, lines)
	until(t, "each row is there once, and in the rollups", func() bool {
		return mustWeir(t, "sql", "--data", data, "SELECT count(), (SELECT sum(requests) FROM traffic_1h) FROM requests") == want
	})
}
