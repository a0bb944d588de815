// Package netns gives a test a network of its own: what it does to a firewall, and the
// addresses that it makes up, are nobody else's.
package netns

import (
	"context"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace with its loopback up. It ends with the test, once
// nothing in it has a socket open.
type Namespace struct {
	calls chan func()
	fd    int
}

// New makes one. Without root, or the right to, the test is skipped, and fails in CI.
func New(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{calls: make(chan func())}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		failed <- err
		for f := range n.calls {
			f()
		}
	}()
	if err := <-failed; err != nil {
		close(n.calls)
		if os.Getenv("CI") == "true" {
			t.Fatalf("a network namespace: %v", err)
		}
		t.Skipf("a network namespace: %v (it needs root)", err)
	}
	t.Cleanup(func() { close(n.calls); _ = unix.Close(n.fd) })
	n.Run(t, "ip", "link", "set", "lo", "up")
	return n
}

// FD is the namespace's file descriptor, valid until the test ends.
func (n *Namespace) FD() int { return n.fd }

// Do calls f on a thread in the namespace: sockets that it opens and processes that it
// starts are in it. One at a time.
func (n *Namespace) Do(f func()) {
	done := make(chan struct{})
	n.calls <- func() { defer close(done); f() }
	<-done
}

// Run runs a command there and returns its output; the test ends where that fails.
func (n *Namespace) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var out []byte
	var err error
	n.Do(func() { out, err = exec.Command(name, args...).CombinedOutput() })
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// Listen listens there.
func (n *Namespace) Listen(t testing.TB, address string) net.Listener {
	t.Helper()
	var l net.Listener
	var err error
	n.Do(func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Dial connects there, from an address of it; from may be empty.
func (n *Namespace) Dial(ctx context.Context, from, to string) (net.Conn, error) {
	var d net.Dialer
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	var c net.Conn
	var err error
	n.Do(func() { c, err = d.DialContext(ctx, "tcp", to) })
	return c, err
}

// Start starts a process there; it is killed when the test ends.
func (n *Namespace) Start(t testing.TB, c *exec.Cmd) {
	t.Helper()
	var err error
	n.Do(func() { err = c.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
	})
}
