package e2e

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// What a test that runs again in a network of its own is told.
const (
	apartKey   = "WEIR_E2E_APART"   // its name
	programKey = "WEIR_E2E_PROGRAM" // the built weir
)

// apart runs a test again, as a process in a network of its own with loopback alone, and
// reports whether this is that process. What it does to a firewall and which addresses it has are
// nobody else's there.
func apart(t *testing.T) bool {
	t.Helper()
	if os.Getenv(apartKey) == t.Name() {
		ip(t, "link", "set", "lo", "up")
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v"}
	if end, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+time.Until(end).Round(time.Second).String())
	}
	again := exec.CommandContext(t.Context(), self, args...)
	again.Env = append(os.Environ(), apartKey+"="+t.Name(), programKey+"="+program)
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	switch err := again.Start(); {
	case err != nil && os.Getenv("CI") != "true":
		t.Skipf("a network namespace: %v (it needs root)", err)
	case err != nil:
		t.Fatalf("a network namespace: %v", err)
	}
	if err := again.Wait(); err != nil {
		t.Fatal(err)
	}
	return false
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %q: %v: %s", args, err, out)
	}
}

// found is a program of the machine; without it the test is skipped, and fails in CI.
func found(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(path); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed: make setup", name)
	}
	t.Skipf("%s is not installed: make setup", name)
	return ""
}
