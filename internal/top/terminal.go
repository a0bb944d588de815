package top

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// What a terminal is told (ECMA-48, and xterm's private modes, which all others know).
// Nothing is asked of it: what does not answer (a serial line, a recording) would make
// weir wait, and what answers late would type into the next command.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // the alternate screen, no cursor, long lines are cut
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	emptyScreen = "\x1b[2J"
	toTheTop    = "\x1b[H"
)

// keyWait is how long one wait for keys lasts, in milliseconds: so long the end may take.
const keyWait = 100

// terminal is where the screen is shown, in raw mode until close.
type terminal struct {
	in, out *os.File
	before  *term.State
	shown   string
	at      string // its size then
}

func openTerminal(in, out *os.File) (*terminal, error) {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("the terminal: %w", err)
	}
	t := &terminal{in: in, out: out, before: before}
	if _, err := out.WriteString(enterScreen); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// close leaves the terminal as it was.
func (t *terminal) close() {
	_, _ = t.out.WriteString(leaveScreen)
	_ = term.Restore(int(t.in.Fd()), t.before)
}

// size is the terminal's in columns and lines.
func (t *terminal) size() (width, height int) {
	width, height, err := term.GetSize(int(t.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// draw shows a screen of as many lines as fit. What is shown already is not written again.
func (t *terminal) draw(screen string) error {
	width, height := t.size()
	at := fmt.Sprintf("%dx%d", width, height)
	if screen == t.shown && at == t.at {
		return nil
	}
	begin := toTheTop
	if at != t.at || t.shown == "" { // lines are as wide as the terminal was
		begin = emptyScreen + toTheTop
	}
	t.shown, t.at = screen, at
	lines := strings.Split(screen, "\n")
	// In raw mode a newline does not go back to the first column.
	_, err := t.out.WriteString(begin + strings.Join(lines[:min(len(lines), height)], "\r\n"))
	return err
}

// resizes tells when the terminal has another size.
type resizes struct {
	changed chan os.Signal
	stop    func()
}

func (t *terminal) resized() resizes {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	return resizes{changed, func() { signal.Stop(changed) }}
}

// keys are the keys pressed, until ctx ends or the terminal is gone; then the channel is
// closed. It never waits in a read, so that nothing of what is typed for the next command
// is taken after the end.
func (t *terminal) keys(ctx context.Context) <-chan string {
	keys := make(chan string)
	go func() {
		defer close(keys)
		var typed [64]byte
		for ctx.Err() == nil {
			ready := []unix.PollFd{{Fd: int32(t.in.Fd()), Events: unix.POLLIN}}
			n, err := unix.Poll(ready, keyWait)
			if err == unix.EINTR || err == nil && n == 0 {
				continue
			}
			if err != nil || ready[0].Revents&unix.POLLIN == 0 { // it was hung up
				return
			}
			read, err := t.in.Read(typed[:])
			if err != nil || read == 0 {
				return
			}
			for _, key := range keysOf(string(typed[:read])) {
				select {
				case keys <- key:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return keys
}

// named are the keys of more than one byte, as terminals send them in normal and in
// application mode, and those that have no sign of their own.
var named = map[string]string{
	"\x1b[A": "up", "\x1bOA": "up", "\x1b[B": "down", "\x1bOB": "down",
	"\r": "enter", "\n": "enter", "\x03": "ctrl+c", "\x1b": "esc",
}

// keysOf takes apart what was typed. A sequence that is not known is one key, with no meaning.
func keysOf(typed string) (keys []string) {
	for typed != "" {
		length := 1
		switch {
		case strings.HasPrefix(typed, "\x1b[") || strings.HasPrefix(typed, "\x1bO"):
			length = len(typed)
			if end := strings.IndexFunc(typed[2:], func(r rune) bool { return r >= 0x40 && r <= 0x7E }); end >= 0 {
				length = 2 + end + 1
			}
		default:
			_, length = utf8.DecodeRuneInString(typed)
		}
		key := typed[:length]
		if name, is := named[key]; is {
			key = name
		}
		keys, typed = append(keys, key), typed[length:]
	}
	return keys
}
