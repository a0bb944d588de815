package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Where the child's listeners are.
const (
	isolateNamespace = "namespace" // in a user and network namespace of its own
	// On a port of this machine, HTTP only, with a secret. A stranger who sends it what
	// is no HTTP ends the child, which costs a restart and no data.
	isolateLoopback = "loopback"
)

const (
	readyPatience = 60 * time.Second // a large store is read before it listens
	stopPatience  = 15 * time.Second // then it is killed: the store survives that
)

var errNamespace = errors.New("user namespaces are forbidden")

// launch is all that a child is started with.
type launch struct {
	library, dir string
	lock         *os.File
	memory       int64
	isolation    string
	log          *slog.Logger
}

// process is one life of the child.
type process struct {
	dir       string
	isolation string
	settings  settings
	cmd       *exec.Cmd
	stdin     io.Closer
	output    *tail
	handover  *handover
	done      chan struct{} // closed when it has ended
	log       *slog.Logger

	mu    sync.Mutex
	conns map[*conn]struct{} // nil once it is being stopped
}

// start runs a child and returns it when it takes connections. Errors wrap
// errNamespace or ErrNoLibrary where the child says so.
func (l *launch) start(ctx context.Context) (*process, error) {
	p := &process{dir: l.dir, isolation: l.isolation, output: new(tail), log: l.log,
		done: make(chan struct{}), conns: make(map[*conn]struct{})}
	p.settings = settings{dir: l.dir, memory: l.memory, nativePort: namespaceNativePort, httpPort: namespaceHTTPPort}
	if l.isolation == isolateLoopback {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		p.settings.nativePort, p.settings.httpPort, p.settings.secret = 0, port, newSecret()
	}
	config, err := p.settings.write()
	if err != nil {
		return nil, unusable(l.dir, err)
	}
	if err := p.exec(l, config); err != nil {
		return nil, err
	}
	if err := p.waitReady(ctx); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

func (p *process) exec(l *launch, config string) error {
	ours, theirs, err := newHandover()
	if err != nil {
		return err
	}
	defer theirs.Close()
	listen := "SYSTEM START LISTEN HTTP; "
	if p.settings.nativePort != 0 {
		listen += "SYSTEM START LISTEN TCP; "
	}
	// The executable itself, also where a new version has taken its place on disk.
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{childName, l.library, l.isolation, "--config-file=" + config,
		"--log-level=warning", "--logger.log=" + filepath.Join(l.dir, logFile),
		// Ends when standard input does; nothing ever comes in.
		"--query", listen + "SELECT count() FROM file('/dev/stdin', 'LineAsString') FORMAT Null"}
	cmd.Dir = filepath.Join(l.dir, storeFolder) // ClickHouse takes a config.xml from where it is started
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.ExtraFiles = []*os.File{theirs, l.lock} // childHandover, childLock
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if l.isolation == isolateNamespace {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	p.cmd, p.handover = cmd, ours
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		ours.close()
		return err
	}
	if err := cmd.Start(); err != nil {
		ours.close()
		if l.isolation == isolateNamespace && forbidden(err) {
			return fmt.Errorf("%w: %w", errNamespace, err)
		}
		return fmt.Errorf("start the store's process: %w", err)
	}
	go func() {
		_ = cmd.Wait() // its state is read from cmd.ProcessState
		ours.close()
		close(p.done)
	}()
	return nil
}

// forbidden recognises what clone(2) answers where user namespaces are not allowed
// (EPERM, EACCES), exhausted (ENOSPC, EUSERS) or not built in (EINVAL).
func forbidden(err error) bool {
	for _, e := range []error{syscall.EPERM, syscall.EACCES, syscall.ENOSPC, syscall.EUSERS, syscall.EINVAL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (p *process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	for {
		c, err := p.connect(ctx, p.lastPort())
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.done:
			return p.failed()
		case <-ctx.Done():
			return fmt.Errorf("the store did not start: %w: see %s", ctx.Err(), filepath.Join(p.dir, logFile))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// lastPort is the port that is opened last.
func (p *process) lastPort() int {
	if p.settings.nativePort != 0 {
		return p.settings.nativePort
	}
	return p.settings.httpPort
}

func (p *process) connect(ctx context.Context, port int) (net.Conn, error) {
	if p.isolation == isolateNamespace {
		return p.handover.dial(ctx, port)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// dial connects to a listener of the child; stop closes what it returned.
func (p *process) dial(ctx context.Context, protocol Protocol) (net.Conn, error) {
	port := p.settings.httpPort
	if protocol == Native {
		port = p.settings.nativePort
	}
	if port == 0 {
		return nil, ErrNoNative
	}
	c, err := p.connect(ctx, port)
	if err != nil {
		return nil, err
	}
	return p.track(c)
}

func (p *process) access() Access {
	return Access{Native: p.settings.nativePort != 0, Secret: p.settings.secret}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the child in order: connections first, for it waits for them, then its
// input; and kills it after a grace, which the store survives.
func (p *process) stop() error {
	p.closeConns()
	_ = p.stdin.Close()
	select {
	case <-p.done:
		return nil
	case <-time.After(stopPatience):
		p.log.Warn("the store's process did not end and was killed", "pid", p.pid(), "after", stopPatience)
		p.kill()
		return nil
	}
}

// kill ends the child at once and waits for its end.
func (p *process) kill() {
	p.closeConns()
	_ = p.cmd.Process.Kill() // fails only where it has ended
	<-p.done
}

// failed says why a child that has ended did so; it is called after done.
func (p *process) failed() error {
	said := p.output.lastLine()
	switch p.cmd.ProcessState.ExitCode() {
	case exitLibrary:
		return fmt.Errorf("%w: it cannot be loaded: %s", ErrNoLibrary, said)
	case exitNamespace:
		return fmt.Errorf("%w: %s", errNamespace, said)
	}
	where := filepath.Join(p.dir, logFile)
	if strings.Contains(said, "No space left") {
		return fmt.Errorf("the store's process: %w: %s", unusable(p.dir, syscall.ENOSPC), said)
	}
	if said == "" {
		return fmt.Errorf("the store's process ended (%s): see %s", p.cmd.ProcessState, where)
	}
	return fmt.Errorf("the store's process ended (%s): %s: see %s", p.cmd.ProcessState, said, where)
}

// freePort is a port of the loopback interface that is free now. Whoever takes it
// before the child does makes the child fail, and the next one gets another.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port for the store: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// tail keeps the last bytes of what a child prints.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if n := len(t.text) - tailSize; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(p), nil
}

// lastLine is the last line that says something, cut and printable.
func (t *tail) lastLine() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(t.text, []byte{'\n'})
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(strings.Map(printable, string(lines[i])))
		if line != "" && !strings.HasPrefix(line, "Logging ") { // the engine says where
			return line[:min(len(line), 500)]
		}
	}
	return ""
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r == 0xfffd {
		return ' '
	}
	return r
}
