package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a program on a pseudoterminal, and what its screen shows: as much of a
// terminal (ECMA-48) as a program needs that draws its screen whole.
type terminal struct {
	*exec.Cmd
	master, slave *os.File
	before        unix.Termios
	done          chan struct{} // closed when the program has ended

	mu            sync.Mutex
	cells         [][]rune
	x, y          int
	own           bool // it is the alternate screen that shows
	hidden        bool // the cursor is
	asked         bool // the terminal was asked for something, which not each answers
	pending       []byte
	width, height int
}

// onTerminal starts the program on a terminal of so many columns and lines.
func onTerminal(t *testing.T, width, height int, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	x := &terminal{Cmd: exec.Command(program, args...), master: master, slave: slave, done: make(chan struct{})}
	x.before = x.settings(t)
	x.resize(t, width, height)
	x.Stdin, x.Stdout, x.Stderr = slave, slave, slave
	x.Env = append(os.Environ(), "TERM=xterm-256color")
	x.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	go x.read()
	go func() { _ = x.Wait(); close(x.done) }()
	t.Cleanup(func() { _ = x.Process.Kill(); <-x.done })
	return x
}

// settings are the terminal's (termios(3)).
func (x *terminal) settings(t *testing.T) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(x.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

// resize makes the terminal another size, and has the kernel tell the program so.
func (x *terminal) resize(t *testing.T, width, height int) {
	t.Helper()
	x.mu.Lock()
	x.width, x.height = width, height
	x.cells = make([][]rune, height)
	for y := range x.cells {
		x.cells[y] = []rune(strings.Repeat(" ", width))
	}
	x.x, x.y = 0, min(x.y, height-1)
	x.mu.Unlock()
	if err := unix.IoctlSetWinsize(int(x.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)}); err != nil {
		t.Fatal(err)
	}
}

// press types.
func (x *terminal) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := x.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// text is the screen, a line each.
func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var b strings.Builder
	for _, line := range x.cells {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return b.String()
}

// shows waits until the screen has all of the texts.
func (x *terminal) shows(t *testing.T, what string, texts ...string) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("the screen:\n%s", last)
		}
	}()
	until(t, what, func() bool {
		last = x.text()
		for _, text := range texts {
			if !strings.Contains(last, text) {
				return false
			}
		}
		return true
	})
}

// ended waits until the program has ended, and says how it left the terminal.
func (x *terminal) ended(t *testing.T) {
	t.Helper()
	until(t, "weir top ends", func() bool {
		select {
		case <-x.done:
			return true
		default:
			return false
		}
	})
	x.mu.Lock()
	asked := x.asked
	x.mu.Unlock()
	if asked {
		t.Error("the terminal was asked: where it does not answer, weir waits")
	}
	if code := x.ProcessState.ExitCode(); code != 0 {
		t.Errorf("weir top ended with %d", code)
	}
	if after := x.settings(t); after != x.before {
		t.Errorf("the terminal was %+v and is %+v", x.before, after)
	}
	until(t, "the screen is as before, with a cursor", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return !x.own && !x.hidden
	})
}

// read shows what the program writes.
func (x *terminal) read() {
	buffer := make([]byte, 4096)
	for {
		n, err := x.master.Read(buffer)
		x.mu.Lock()
		x.pending = append(x.pending, buffer[:n]...)
		x.show()
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}
