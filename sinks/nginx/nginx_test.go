package nginx

import (
	"bufio"
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
)

// nginxPath finds the real nginx, by default the machine's, or that of WEIR_NGINX: without
// one a test is skipped, in CI it fails.
func nginxPath(t testing.TB) string {
	t.Helper()
	for _, name := range []string{os.Getenv("WEIR_NGINX"), "nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no nginx on this machine")
	}
	t.Skip("no nginx on this machine")
	return ""
}

// server is a real nginx with a directory of its own, on a unix socket.
type server struct {
	t      testing.TB
	binary string
	root   string // prefix; weir's directory is root/weir
	socket string
}

const mainConfiguration = `
daemon off; worker_processes 1; pid ROOT/pid; error_log ROOT/error.log notice;
worker_shutdown_timeout 5s;
events { worker_connections 512; }
http {
  default_type application/octet-stream;
  client_body_temp_path ROOT/t1; proxy_temp_path ROOT/t2; fastcgi_temp_path ROOT/t3;
  uwsgi_temp_path ROOT/t4; scgi_temp_path ROOT/t5;
  large_client_header_buffers 4 32k; keepalive_requests 100000;
  map_hash_max_size 65536;
  set_real_ip_from unix:; set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;
  HTTP
  access_log ROOT/access.log weir;
  server {
    listen unix:ROOT/s default_server;
    SERVER
  }
}
`

// site answers with what a test asks for.
const site = `
    include ROOT/weir/server.conf;
    location / { return 200 "$weir_action|$weir_decision|$weir_version"; }
`

// dirOf makes a short directory: a unix socket's path has at most 107 bytes.
func dirOf(t testing.TB) string {
	t.Helper()
	root, err := os.MkdirTemp("", "weir")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// prepare writes a configuration with the two parts in place.
func newServer(t testing.TB, http, inServer string) *server {
	t.Helper()
	s := &server{t: t, binary: nginxPath(t), root: dirOf(t)}
	s.socket = filepath.Join(s.root, "s")
	text := strings.NewReplacer("  HTTP\n", http+"\n", "SERVER", inServer).Replace(mainConfiguration)
	text = strings.ReplaceAll(text, "ROOT", s.root)
	if err := os.WriteFile(filepath.Join(s.root, "nginx.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Install(s.dir(), SnippetOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// single makes nginx one process, which starts and stops sooner and cannot reload.
func (s *server) single() {
	s.t.Helper()
	name := filepath.Join(s.root, "nginx.conf")
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, append([]byte("master_process off;"), text...), 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

const includeHTTP = "include ROOT/weir/http.conf;"

func (s *server) dir() string { return filepath.Join(s.root, "weir") }

func (s *server) command(args ...string) []string {
	return append([]string{s.binary, "-p", s.root, "-c", filepath.Join(s.root, "nginx.conf")}, args...)
}

// check runs nginx -t and gives what it said where it refused.
func (s *server) check() error {
	command := s.command("-t")
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// start runs nginx until the test ends.
func (s *server) start() {
	s.t.Helper()
	command := s.command()
	process := exec.Command(command[0], command[1:]...)
	var out bytes.Buffer
	process.Stdout, process.Stderr = &out, &out
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := process.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { process.Wait(); close(exited) }()
	s.t.Cleanup(func() {
		process.Process.Signal(syscall.SIGTERM)
		<-exited
	})
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		connection, err := net.Dial("unix", s.socket)
		if err == nil {
			connection.Close()
			return
		}
		select {
		case <-exited:
			s.t.Fatalf("nginx did not start: %s", out.String())
		case <-deadline:
			s.t.Fatalf("nginx does not listen: %s", out.String())
		case <-tick.C:
		}
	}
}

// apply renders a set into the directory, as the Enforcer would, with a lease
// that holds now.
func (s *server) apply(set Set) Files {
	s.t.Helper()
	now := time.Now()
	return s.applyAt(set, Lease{From: now.Add(-time.Hour), Until: now.Add(time.Hour)}, now)
}

func (s *server) applyAt(set Set, lease Lease, now time.Time) Files {
	s.t.Helper()
	files, err := Render(set, s.dir(), lease, now)
	if err != nil {
		s.t.Fatal(err)
	}
	d := directory{path: s.dir()}
	for _, file := range files.Lists {
		if err := d.add(file); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := d.write(CurrentName, files.Current); err != nil {
		s.t.Fatal(err)
	}
	return files
}

// wire is one keep-alive connection that says exactly the bytes it is told.
type wire struct {
	t          testing.TB
	connection net.Conn
	reader     *bufio.Reader
}

func (s *server) dial() *wire {
	s.t.Helper()
	connection, err := net.Dial("unix", s.socket)
	if err != nil {
		s.t.Fatal(err)
	}
	connection.SetDeadline(time.Now().Add(60 * time.Second))
	s.t.Cleanup(func() { connection.Close() })
	return &wire{t: s.t, connection: connection, reader: bufio.NewReader(connection)}
}

// say sends one raw request without a body and returns status and body; a
// connection that nginx closed gives status 0.
func (w *wire) say(raw string) (status int, body string) {
	w.t.Helper()
	if _, err := w.connection.Write([]byte(raw)); err != nil {
		return 0, ""
	}
	length := -1
	for first := true; ; first = false {
		line, err := w.reader.ReadString('\n')
		if err != nil {
			return 0, ""
		}
		line = strings.TrimRight(line, "\r\n")
		if first {
			fmt.Sscanf(line, "HTTP/1.1 %d", &status)
		}
		if rest, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			fmt.Sscan(rest, &length)
		}
		if line == "" {
			break
		}
	}
	if length < 0 {
		w.t.Fatalf("an answer without a length to %q", raw)
	}
	if strings.HasPrefix(raw, "HEAD ") {
		return status, ""
	}
	content := make([]byte, length)
	for read := 0; read < length; {
		n, err := w.reader.Read(content[read:])
		if err != nil {
			w.t.Fatal(err)
		}
		read += n
	}
	return status, string(content)
}

// get is a plain request from an address, with more header lines.
func get(host, uri, from string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\n", uri, host, from)
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n"
}

// refuses waits until a client's request is refused.
func (s *server) refuses(t *testing.T, client string) {
	t.Helper()
	if err := s.until(within(t), get("h.example", "/", client), answers(403)); err != nil {
		t.Error(err)
	}
}

// until asks over new connections until the answer is as wanted.
func (s *server) until(ctx context.Context, raw string, want func(status int, body string) bool) error {
	last := ""
	err := eventually(ctx, func() bool {
		w := s.dial()
		defer w.connection.Close()
		status, body := w.say(raw)
		last = fmt.Sprintf("last answer %d %q", status, body)
		return want(status, body)
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, last)
	}
	return nil
}

// eventually waits for what another process does in its own time.
func eventually(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
