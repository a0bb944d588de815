package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pidOf is the child's id.
func pidOf(t *testing.T, s *Store) int {
	t.Helper()
	p, err := s.wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p.pid()
}

func TestAKilledChildIsReplacedAndNothingStoredIsLost(t *testing.T) {
	s := run(t, Options{Dir: t.TempDir()})
	c := open(t, s, Native)
	if err := c.Exec(t.Context(), "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := c.Exec(t.Context(), fmt.Sprintf("INSERT INTO t VALUES (%d)", i)); err != nil {
			t.Fatal(err)
		}
		pid := pidOf(t, s)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for pidOf(t, s) == pid {
			time.Sleep(time.Millisecond)
		}
		if n := count(t, open(t, s, HTTP), "SELECT count() FROM t"); n != uint64(i+1) {
			t.Errorf("%d rows after kill %d", n, i+1)
		}
	}
}

func TestSignalsOfTheGroupDoNotStopTheChild(t *testing.T) {
	s := run(t, Options{Dir: t.TempDir()})
	pid := pidOf(t, s)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, open(t, s, Native), "SELECT toUInt64(7)"); n != 7 || pidOf(t, s) != pid {
		t.Errorf("answer %d from process %d, was %d", n, pidOf(t, s), pid)
	}
}

func TestOneProcessAStore(t *testing.T) {
	dir := t.TempDir()
	s := run(t, Options{Dir: dir})
	pidOf(t, s)
	err := New(Options{Dir: dir}).Run(t.Context())
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("the second store of a directory: %v", err)
	}
}

// Commands in a loop must not keep the store from who keeps it open: the next of
// them waits, and then reaches the store through its owner.
func TestWhoKeepsAStoreOpenGoesFirst(t *testing.T) {
	needLibrary(t)
	dir := t.TempDir()
	first, closeFirst, err := opened(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := first.(*Store); !ok {
		t.Fatalf("the home of a closed store is a %T", first)
	}
	queue, err := openLock(filepath.Join(dir, queueFile))
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	owner := run(t, Options{Dir: dir, Wait: true})
	for free := true; free; { // until the owner stands in the queue
		if free, err = tryLock(queue, unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		if free {
			if err := unix.Flock(int(queue.Fd()), unix.LOCK_UN); err != nil {
				t.Fatal(err)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	if err := closeFirst(); err != nil {
		t.Fatal(err)
	}
	next, closeNext, err := opened(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := next.(*Remote); !ok {
		t.Errorf("a command that came after the owner has a %T, want a *Remote", next)
	}
	if err := closeNext(); err != nil {
		t.Error(err)
	}
	pidOf(t, owner)
}

// opened opens the store of dir, which is made where there is none, as a command
// that comes and goes does.
func opened(t *testing.T, dir string) (Home, func() error, error) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, storeFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	return DialOrStart(t.Context(), Options{Dir: dir})
}

func TestOtherCommandsReachAStoreThatIsOpenOrNot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40)) // longer than a socket's path may be
	for _, isolation := range []string{isolateNamespace, isolateLoopback} {
		t.Run(isolation, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			owner := New(Options{Dir: dir, isolation: isolation})
			needLibrary(t)
			ended := make(chan error, 1)
			go func() { ended <- owner.Run(ctx) }()
			pid := pidOf(t, owner)
			home, end, err := DialOrStart(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := home.(*Remote); !ok {
				t.Errorf("the home of an open store is a %T", home)
			}
			if n := count(t, open(t, home, HTTP), "SELECT sum(number) FROM numbers(1000000)"); n != 499999500000 {
				t.Errorf("sum is %d", n)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
			info, err := os.Stat(filepath.Join(dir, socketFile))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the socket: %v, %v", info.Mode(), err)
			}
			if pidOf(t, owner) != pid {
				t.Error("the owner's child was restarted")
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			home, end, err = DialOrStart(t.Context(), Options{Dir: dir, isolation: isolation})
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := home.(*Store); !ok {
				t.Errorf("the home of a closed store is a %T", home)
			}
			if n := count(t, open(t, home, HTTP), "SELECT toUInt64(7)"); n != 7 {
				t.Errorf("answer is %d", n)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNothingIsMadeByLooking(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "no")
	if _, _, err := DialOrStart(t.Context(), Options{Dir: dir}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
}

// A user of the machine who finds the port of a store without a namespace gets
// nothing out of it. What is no HTTP at all ends the child; it is started again.
func TestStrangersOnTheLoopback(t *testing.T) {
	s := run(t, Options{Dir: t.TempDir(), isolation: isolateLoopback})
	p, err := s.wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{
		"GET /?query=SELECT%201 HTTP/1.0\r\n\r\n", "GET /ping HTTP/1.0\r\n\r\n",
		"GET /?query=SELECT%201 HTTP/1.0\r\nX-Weir-Store: wrong\r\n\r\n",
		"GET /?user=default&password=x&query=SELECT%201 HTTP/1.0\r\n\r\n",
	} {
		c, err := p.connect(t.Context(), p.settings.httpPort)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer := make([]byte, 64)
		n, _ := c.Read(answer)
		if strings.HasPrefix(string(answer[:n]), "HTTP/1.0 200") {
			t.Errorf("%q was answered with %q", request, answer[:n])
		}
		c.Close()
	}
	if n := count(t, open(t, s, HTTP), "SELECT toUInt64(7)"); n != 7 || pidOf(t, s) != p.pid() {
		t.Errorf("answer %d, process %d, was %d", n, pidOf(t, s), p.pid())
	}
	c, err := p.connect(t.Context(), p.settings.httpPort)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("\x00\x00garbage\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-p.done
	for pidOf(t, s) == p.pid() {
		time.Sleep(time.Millisecond)
	}
	if n := count(t, open(t, s, HTTP), "SELECT toUInt64(7)"); n != 7 {
		t.Errorf("answer is %d after the restart", n)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	file, script := filepath.Join(dir, "file"), filepath.Join(dir, "script.so")
	elf := filepath.Join(dir, "elf.so")
	for path, text := range map[string]string{file: "", script: "#!/bin/sh\n", elf: "\x7fELF and no more"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other, err := exec.LookPath("true") // an ELF file that is no such library
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{Dir: dir, Library: filepath.Join(dir, "none.so")}, "no such file"},
		{Options{Dir: dir, Library: dir}, "not a regular file"},
		{Options{Dir: dir, Library: script}, "not a shared library"},
		{Options{Dir: dir, Library: elf}, "cannot be loaded"},
		{Options{Dir: dir, Library: other}, "cannot be loaded"},
		{Options{Dir: file}, "a part of the path is a file"},
		{Options{Dir: "/proc/none"}, "data directory /proc/none"},
	} {
		if c.options.Library == "" {
			needLibrary(t)
		}
		err := New(c.options).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: error is %v, want one line with %q", c.options, err, c.want)
		}
		t.Log(err)
	}
	t.Setenv(LibraryEnv, file)
	if _, err := FindLibrary(); !errors.Is(err, ErrNoLibrary) {
		t.Errorf("an empty library: %v", err)
	}
	t.Setenv(LibraryEnv, "")
	t.Setenv("XDG_CACHE_HOME", dir)
	if _, err := FindLibrary(); !errors.Is(err, ErrNoLibrary) || !strings.Contains(err.Error(), "npm install") {
		t.Errorf("no library: %v", err)
	} else {
		t.Log(err)
	}
}

// A full disk is an error of the start, and of writing later, never a hang.
// A child that stands still for ever does not keep the store.
func TestAChildThatDoesNotAnswerIsReplaced(t *testing.T) {
	for _, isolation := range []string{isolateNamespace, isolateLoopback} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			s := run(t, Options{Dir: t.TempDir(), isolation: isolation, pulse: time.Second})
			pid := pidOf(t, s)
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			for pidOf(t, s) == pid {
				<-time.After(20 * time.Millisecond)
			}
			if n := count(t, open(t, s, HTTP), "SELECT toUInt64(7)"); n != 7 {
				t.Errorf("its successor answers %d", n)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	needLibrary(t)
	dir := t.TempDir()
	if err := syscall.Mount("weir", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("needs a file system of its own: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 2<<20), 0o600); err == nil {
		t.Fatal("the file system is not full")
	}
	err := New(Options{Dir: dir}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("error is %v", err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	err = New(Options{Dir: dir}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("error is %v", err)
	}
}
