package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRolesOneByOne has each role in a process of its own on one NATS: what is collected and
// decided is in the ClickHouse of the one that stores, once, also where that is killed, and
// what a person decides by the one that serves is, too.
func TestRolesOneByOne(t *testing.T) {
	needClickHouse(t)
	f := startFleet(t, 1)
	role := func(name string, more ...string) (*running, string) {
		data := filepath.Join(f.dir, name)
		args := append([]string{"--config", f.config, name, "--data", data, "--http", freeAddress(t)}, more...)
		return startCommand(t, args...), data
	}
	store, stored := role("store")
	serve, served := role("serve")
	log := filepath.Join(f.dir, "access.log")
	const lines = 20_000
	written := numberedLines(t, log, lines, 5e6)
	_, _ = role("collect", "numbered.example.org="+log)
	until(t, "requests are in ClickHouse", func() bool {
		out, err := weir(t, "sql", "--data", stored, "SELECT count() > 100 FROM requests")
		return err == nil && out == "1"
	})
	store.kill()
	written()
	until(t, "a decision by hand is taken", func() bool {
		_, err := weir(t, "decisions", "add", "--data", served, "client", "192.0.2.7", "--for", "1h", "--reason", "by hand")
		return err == nil
	})
	again := startCommand(t, store.Args[1:]...)
	until(t, "all lines are in ClickHouse", func() bool {
		out, err := weir(t, "sql", "--data", stored, "SELECT uniqExact(path) FROM requests")
		return err == nil && out == fmt.Sprint(lines)
	})
	storedOnce(t, stored, lines)
	until(t, "the decision is in ClickHouse", func() bool {
		out, err := weir(t, "sql", "--data", stored, "SELECT value, reason FROM decisions_latest WHERE type = 'decision.added'")
		return err == nil && out == "192.0.2.7\tby hand"
	})
	if got := mustWeir(t, "decisions", "list", "--data", served); !strings.Contains(got, "192.0.2.7") {
		t.Errorf("decisions list by the one that serves: %s", got)
	}
	if got := mustWeir(t, "reload", "--data", served); !strings.Contains(got, "mode") {
		t.Errorf("reload of the one that serves: %s", got)
	}
	said := writeTo(t, filepath.Join(f.dir, "second.log"), "")
	second := exec.Command("sh", "-c", `exec "$@" 2>"$0"`, said, program, "--config", f.config, "store", "--data", filepath.Join(f.dir, "second"), "--http", freeAddress(t))
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Process.Kill(); _ = second.Wait() })
	until(t, "a second one waits", func() bool {
		text, err := os.ReadFile(said)
		return err == nil && strings.Contains(string(text), "another weir stores")
	})
	again.end(t)
	serve.end(t)
}
