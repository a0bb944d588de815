// Package e2e runs weir as people do: the built program, real files, real nginx,
// real ClickHouse. It is tests only.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/embedded"
)

var program string // the built weir

func TestMain(m *testing.M) {
	embedded.ChildMain() // some tests run a ClickHouse server of their own
	if program = os.Getenv(programKey); program != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "weir-e2e-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "weir")
	build := exec.Command("go", "build", "-o", program, "github.com/weir-project/weir/cmd/weir")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %s\n", out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// needClickHouse skips where a machine of one's own has no library.
func needClickHouse(t *testing.T) {
	t.Helper()
	if _, err := embedded.FindLibrary(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// weir runs a command to its end.
func weir(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("weir %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// mustWeir fails the test where the command does.
func mustWeir(t *testing.T, args ...string) string {
	t.Helper()
	out, err := weir(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// running is a `weir run`.
type running struct {
	*exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
}

// startWith starts weir run with a configuration.
func startWith(t *testing.T, config string) *running {
	t.Helper()
	return startCommand(t, "--config", config, "run")
}

// start starts weir run with flags.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	return startCommand(t, append([]string{"run"}, args...)...)
}

// startCommand starts weir; it is killed when the test ends.
func startCommand(t testing.TB, args ...string) *running {
	t.Helper()
	r := &running{Cmd: exec.Command(program, args...), log: new(bytes.Buffer), done: make(chan struct{})}
	r.Stdout, r.Stderr = r.log, r.log
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = r.Wait(); close(r.done) }()
	t.Cleanup(func() { _ = r.Process.Kill(); <-r.done })
	return r
}

// stop asks it to stop, waits until it has, and does not care how.
func (r *running) stop() {
	_ = r.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		_ = r.Process.Kill()
		<-r.done
	}
}

// end asks it to stop and waits until it has.
func (r *running) end(t testing.TB) {
	t.Helper()
	_ = r.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.done:
		if code := r.ProcessState.ExitCode(); code != 0 {
			t.Errorf("weir run ended with %d:\n%s", code, r.log)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("weir run did not stop within 30 s:\n%s", r.log)
	}
}

// kill is kill -9.
func (r *running) kill() {
	_ = r.Process.Kill()
	<-r.done
}

// clickhouse is the process id of its ClickHouse child, 0 while there is none.
func (r *running) clickhouse() int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.Process.Pid))
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		var pid int
		if err == nil && len(text) > 0 {
			if _, err := fmt.Sscan(string(text), &pid); err == nil {
				return pid
			}
		}
	}
	return 0
}

// until polls a condition, for at most a minute and a half.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within a minute and a half: %s", what)
		case <-tick.C:
		}
	}
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
