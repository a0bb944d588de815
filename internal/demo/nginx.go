package demo

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// startWithin and stopWithin bound how long nginx may take to answer and to end.
const (
	startWithin = 15 * time.Second
	stopWithin  = 5 * time.Second
)

// Nginx is a private nginx: its own folder, configuration, port and process.
type Nginx struct {
	options NginxOptions
	binary  string
	token   string // names this one where a port answers
	ready   chan struct{}
}

// NewNginx looks for the binary and takes a port; nothing is written and nothing
// runs. Errors are one line that says how to mend it.
func NewNginx(o NginxOptions) (*Nginx, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	binary, err := findNginx(o.Binary)
	if err != nil {
		return nil, err
	}
	o.Host, o.Visitors = cmp.Or(o.Host, loopback), cmp.Or(o.Visitors, loopback)
	if len(o.Prefix) == 0 {
		if o.Port, err = takePort(o.Port); err != nil {
			return nil, err
		}
	}
	return &Nginx{options: o, binary: binary, token: rand.Text(), ready: make(chan struct{})}, nil
}

func (o *NginxOptions) validate() error {
	if !filepath.IsAbs(o.Dir) {
		return fmt.Errorf("demo: nginx's folder %q: give an absolute path", o.Dir)
	}
	if len(o.Sites) == 0 {
		return errors.New("demo: no site for nginx to answer for")
	}
	for _, text := range append([]string{o.Dir, o.HTTP, o.Server, o.Application, o.Host, o.Visitors}, siteNames(o.Sites)...) {
		if strings.ContainsAny(text, "$*?[\x00\n\r") {
			return fmt.Errorf("demo: %q cannot stand in nginx's configuration: choose a name without '$', '*', '?', '[' and line breaks", text)
		}
	}
	return nil
}

func siteNames(sites []NginxSite) []string {
	names := make([]string, len(sites))
	for i := range sites {
		names[i] = sites[i].Name
	}
	return names
}

func findNginx(binary string) (string, error) {
	candidates := []string{binary}
	if binary == "" {
		candidates = []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"}
	}
	for _, c := range candidates {
		if path, err := exec.LookPath(c); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("demo: nginx is not installed (looked for %s): apt-get install nginx", strings.Join(candidates, ", "))
}

// loopback is where everything listens, unless told otherwise.
const loopback = "127.0.0.1"

// takePort is a port of loopback that nothing listens on right now.
func takePort(port int) (int, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", loopback, port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return 0, fmt.Errorf("demo: port %d of loopback is in use: choose another, or stop what listens there", port)
	case err != nil:
		return 0, fmt.Errorf("demo: port %d of loopback: %w", port, err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// Address is host:port on which nginx answers.
func (n *Nginx) Address() string { return fmt.Sprintf("%s:%d", n.options.Host, n.options.Port) }

// AccessLog is the file that weir follows.
func (n *Nginx) AccessLog() string { return n.path("access.log") }

// Config is nginx's configuration file.
func (n *Nginx) Config() string { return n.path("nginx.conf") }

// TestCommand and ReloadCommand are what weir checks and reloads this nginx with.
func (n *Nginx) TestCommand() []string { return n.command("-t", "-q") }

// ReloadCommand see TestCommand.
func (n *Nginx) ReloadCommand() []string { return n.command("-s", "reload") }

func (n *Nginx) command(args ...string) []string {
	return append(append(slices.Clone(n.options.Prefix), n.binary, "-p", n.options.Dir+"/", "-c", n.Config(), "-e", n.path("error.log")), args...)
}

// Ready is closed when nginx answers.
func (n *Nginx) Ready() <-chan struct{} { return n.ready }

// Write writes the configuration and an empty access log, and has nginx check it.
func (n *Nginx) Write() error {
	text, err := n.conf()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.path("temp"), 0o755); err != nil {
		return fmt.Errorf("demo: nginx's folder: %w", err)
	}
	if err := os.WriteFile(n.Config(), []byte(text), 0o644); err != nil {
		return fmt.Errorf("demo: nginx's configuration: %w", err)
	}
	log, err := os.OpenFile(n.AccessLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("demo: nginx's access log: %w", err)
	}
	log.Close()
	return n.check()
}

func (n *Nginx) check() error {
	command := n.TestCommand()
	output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err == nil {
		return nil
	}
	return fmt.Errorf("demo: nginx refuses its configuration %s: %s", n.Config(), complaint(output, err))
}

// complaint is the line of nginx's output that says what is wrong.
func complaint(output []byte, err error) string {
	last := ""
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		line := printable(strings.TrimPrefix(lines.Text(), "nginx: "), 300)
		if strings.Contains(line, "[emerg]") || strings.Contains(line, "[alert]") {
			return line
		}
		if line != "" {
			last = line
		}
	}
	if last == "" {
		last = err.Error()
	}
	return last
}

// Run starts nginx, closes Ready when it answers, and blocks until the context
// ends; then it stops nginx and returns nil. It returns an error where nginx does
// not start or ends by itself. To be called once, after Write.
func (n *Nginx) Run(ctx context.Context) error {
	// The parent's death signal is the death of the thread that started the
	// child: this one lives as long as Run (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := ctx.Err(); err != nil {
		return nil
	}
	var output tail
	command := n.command()
	child := exec.Command(command[0], command[1:]...)
	child.Stdout, child.Stderr = &output, &output
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	child.WaitDelay = time.Second
	if err := child.Start(); err != nil {
		return fmt.Errorf("demo: start nginx: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	if err := n.awaitAnswer(ctx, ended, &output); err != nil || ctx.Err() != nil {
		stop(child.Process, ended)
		return err
	}
	close(n.ready)
	select {
	case err := <-ended:
		return fmt.Errorf("demo: nginx ended by itself (see %s): %s", n.path("error.log"), complaint(output.bytes(), errOr(err)))
	case <-ctx.Done():
		stop(child.Process, ended)
		return nil
	}
}

// awaitAnswer blocks until this nginx answers on its port; nil also where the
// context ended before.
func (n *Nginx) awaitAnswer(ctx context.Context, ended chan error, output *tail) error {
	late := time.NewTimer(startWithin)
	defer late.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		switch token := n.ask(ctx); {
		case token == n.token:
			return nil
		case token != "":
			return fmt.Errorf("demo: port %d of loopback is in use by another server: choose another, or stop what listens there", n.options.Port)
		}
		select {
		case err := <-ended:
			ended <- err // for stop
			return fmt.Errorf("demo: nginx did not start: %s", complaint(output.bytes(), errOr(err)))
		case <-late.C:
			return fmt.Errorf("demo: nginx does not answer on %s after %s: see %s", n.Address(), startWithin, n.path("error.log"))
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

// ask is what the port says of itself, "" where it says nothing.
func (n *Nginx) ask(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Address()+readyPath, nil)
	if err != nil {
		return ""
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 256))
	if err != nil || len(body) == 0 {
		return answer.Status
	}
	return string(body)
}

// stop ends nginx and its workers by the master's own fast shutdown, and kills
// its process group where that takes too long.
func stop(process *os.Process, ended chan error) {
	process.Signal(syscall.SIGTERM) // an error means that it has ended
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		syscall.Kill(-process.Pid, syscall.SIGKILL)
		<-ended
	}
}

func errOr(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
