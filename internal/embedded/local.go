package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The local socket's protocol: the client sends one line, "access", "native" or
// "http"; the store answers with one line of JSON, a greeting; after "native" and
// "http" come that protocol's bytes, both ways.
const (
	askAccess    = "access"
	maxGreeting  = 4096 // bytes
	greetTimeout = 5 * time.Second
	maxLocal     = 64 // connections at a time
)

type greeting struct {
	Access
	Error string `json:"error,omitempty"`
}

// listenLocal opens the store's socket for the user's other commands. The caller
// holds the store's lock, so that a socket that is there is a dead one's.
func listenLocal(dir string) (*net.UnixListener, error) {
	folder, name, err := shortPath(filepath.Join(dir, socketFile))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// Nobody else may connect between bind and chmod: the umask is the process's, so
	// the socket is made under another name in the folder that only its owner enters.
	hidden := filepath.Join(filepath.Dir(name), storeFolder, socketFile)
	_ = os.Remove(hidden)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it is renamed; the next owner removes it
	if err := errors.Join(os.Chmod(hidden, 0o600), os.Rename(hidden, name)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// shortPath names a file through its folder's descriptor: a socket's path may have
// 107 bytes only, and a data directory's may be longer.
func shortPath(path string) (folder *os.File, name string, err error) {
	folder, err = os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, "", err
	}
	return folder, "/proc/self/fd/" + strconv.Itoa(int(folder.Fd())) + "/" + filepath.Base(path), nil
}

// serveLocal takes connections until ctx ends, and returns when all have ended.
func (s *Store) serveLocal(ctx context.Context, l *net.UnixListener) {
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	slots := make(chan struct{}, maxLocal)
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			s.log.Warn("accept on the store's socket", "error", err)
			time.Sleep(100 * time.Millisecond) // out of descriptors, most likely
			continue
		}
		select {
		case slots <- struct{}{}:
			all.Go(func() {
				defer func() { <-slots }()
				s.serveClient(ctx, c)
			})
		default:
			_ = greet(c, greeting{Error: fmt.Sprintf("more than %d local connections", maxLocal)})
			c.Close()
		}
	}
}

func (s *Store) serveClient(ctx context.Context, c *net.UnixConn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	_ = c.SetReadDeadline(time.Now().Add(greetTimeout))
	ask, err := readLine(c)
	if err != nil {
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	access, err := s.Access(ctx)
	var child net.Conn
	if err == nil && ask != askAccess {
		child, err = s.Dial(ctx, Protocol(ask))
	}
	if err != nil {
		_ = greet(c, greeting{Error: err.Error()})
		return
	}
	if greet(c, greeting{Access: access}) != nil || child == nil {
		if child != nil {
			child.Close()
		}
		return
	}
	pipe(c, child)
}

// pipe copies both ways until both ends have ended, and closes them.
func pipe(a, b net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, err := io.Copy(way[0], way[1])
			half, ok := way[0].(interface{ CloseWrite() error })
			if err != nil || !ok || half.CloseWrite() != nil {
				a.Close()
				b.Close()
			}
		})
	}
	both.Wait()
	a.Close()
	b.Close()
}

func greet(c net.Conn, g greeting) error {
	text, err := json.Marshal(g)
	if err != nil {
		return err
	}
	_, err = c.Write(append(text, '\n'))
	return err
}

// readLine reads up to a newline and not a byte further.
func readLine(c net.Conn) (string, error) {
	var line []byte
	var one [1]byte
	for len(line) < maxGreeting {
		if _, err := io.ReadFull(c, one[:]); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
	return "", errors.New("the line is too long")
}

// dialLocal asks the process that has the store of dir open.
func dialLocal(ctx context.Context, dir, ask string) (net.Conn, Access, error) {
	folder, name, err := shortPath(filepath.Join(dir, socketFile))
	if err != nil {
		return nil, Access{}, err
	}
	defer folder.Close()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", name)
	if err != nil {
		return nil, Access{}, err
	}
	patient, cancel := patience(ctx, dir)
	defer cancel()
	g, err := converse(patient, c, ask)
	if patient.Err() != nil && ctx.Err() == nil {
		err = context.Cause(patient)
	}
	if err != nil {
		c.Close()
		return nil, Access{}, fmt.Errorf("the process that has the store of %s open: %w", dir, err)
	}
	return c, g.Access, nil
}

// How long a store's owner may take to answer: as long as a large store takes to start,
// or not longer than stoppedPatience where somebody has stopped it.
const (
	answerPatience  = readyPatience + 15*time.Second
	stoppedPatience = 5 * time.Second
)

var errUnanswered = errors.New("it does not answer")

// patience is ctx for one question to the owner of the store of dir.
func patience(ctx context.Context, dir string) (context.Context, context.CancelFunc) {
	owner := 0
	if f, err := os.Open(filepath.Join(dir, lockFile)); err == nil {
		owner = readPid(f)
		f.Close()
	}
	longest, cancel := context.WithTimeoutCause(ctx, answerPatience, fmt.Errorf("%w (process %s): end it", errUnanswered, pidText(owner)))
	patient, fail := context.WithCancelCause(longest)
	timer := time.AfterFunc(stoppedPatience, func() {
		if isStopped(owner) {
			fail(fmt.Errorf("%w, because process %d is stopped: have it go on (kill -CONT %d), or end it", errUnanswered, owner, owner))
		}
	})
	return patient, func() { timer.Stop(); fail(nil); cancel() }
}

// isStopped reports whether a process was stopped by a signal or a debugger.
func isStopped(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	at := strings.LastIndexByte(string(text), ')') // its name may hold anything
	return err == nil && at+2 < len(text) && strings.IndexByte("Tt", text[at+2]) >= 0
}

func converse(ctx context.Context, c net.Conn, ask string) (greeting, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write([]byte(ask + "\n")); err != nil {
		return greeting{}, because(ctx, err)
	}
	line, err := readLine(c)
	if err != nil {
		return greeting{}, because(ctx, err)
	}
	var g greeting
	if err := json.Unmarshal([]byte(line), &g); err != nil {
		return g, err
	}
	if g.Error != "" {
		return g, errors.New(g.Error)
	}
	return g, nil
}
