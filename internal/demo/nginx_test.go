package demo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func nginxFor(t *testing.T, o NginxOptions) *Nginx {
	t.Helper()
	needNginx(t)
	o.Dir, o.Application = t.TempDir(), "127.0.0.1:9"
	o.Sites = []NginxSite{{"www.example.org", time.Second}}
	n, err := NewNginx(o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNewNginxRefuses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().(*net.TCPAddr).Port
	sites := []NginxSite{{"www.example.org", time.Second}}
	for _, x := range []struct {
		name string
		o    NginxOptions
		want string
	}{
		{"no nginx", NginxOptions{Dir: "/d", Sites: sites, Binary: "/nowhere/nginx"}, "nginx is not installed (looked for /nowhere/nginx): apt-get install nginx"},
		{"port in use", NginxOptions{Dir: "/d", Sites: sites, Binary: "/bin/true", Port: taken}, "port " + strconv.Itoa(taken) + " of loopback is in use: choose another, or stop what listens there"},
		{"relative folder", NginxOptions{Dir: "d", Sites: sites}, `nginx's folder "d": give an absolute path`},
		{"no site", NginxOptions{Dir: "/d"}, "no site for nginx to answer for"},
		{"a variable", NginxOptions{Dir: "/d$x", Sites: sites}, `"/d$x" cannot stand in nginx's configuration`},
	} {
		_, err := NewNginx(x.o)
		if err == nil || !strings.HasPrefix(err.Error(), "demo: "+x.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", x.name, err, x.want)
		}
	}
}

func TestNginxConfigurationRefused(t *testing.T) {
	snippet := filepath.Join(t.TempDir(), "http.conf")
	if err := os.WriteFile(snippet, []byte("nonsense on;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := nginxFor(t, NginxOptions{HTTP: snippet}).Write()
	if err == nil || !strings.Contains(err.Error(), `[emerg] unknown directive "nonsense" in `+snippet+":1") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
}

func TestNginxFolderMissing(t *testing.T) {
	n := nginxFor(t, NginxOptions{})
	n.options.Dir = "/proc/nowhere"
	if err := n.Write(); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
}

// Another server on nginx's port, come between the choice and the start, is not
// taken for nginx.
func TestNginxPortTakenLate(t *testing.T) {
	n := nginxFor(t, NginxOptions{})
	if err := n.Write(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", n.Address())
	if err != nil {
		t.Skip(err)
	}
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.Listener.Close()
	other.Listener = listener
	other.Start()
	defer other.Close()
	if err := n.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v", err)
	}
	select {
	case <-n.Ready():
		t.Error("ready")
	default:
	}
}

// start runs an nginx until the function that it returns is called, which gives
// Run's error.
func start(t *testing.T, n *Nginx) (stop func() error) {
	t.Helper()
	if err := n.Write(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	select {
	case <-n.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	return func() error {
		cancel()
		return <-ended
	}
}

func masterOf(t *testing.T, n *Nginx) int {
	t.Helper()
	text, err := os.ReadFile(n.path("nginx.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestNginxStops(t *testing.T) {
	n := nginxFor(t, NginxOptions{})
	stop := start(t, n)
	pid := masterOf(t, n)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v", pid, err)
	}
	if _, err := net.Dial("tcp", n.Address()); err == nil {
		t.Error("its port still answers")
	}
}

// The commands that weir is given work on this nginx and no other.
func TestNginxCommands(t *testing.T) {
	n := nginxFor(t, NginxOptions{})
	stop := start(t, n)
	for _, command := range [][]string{n.TestCommand(), n.ReloadCommand()} {
		if output, err := runCommand(t, command); err != nil {
			t.Errorf("%q: %v: %s", command, err, output)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestNginxEndsByItself(t *testing.T) {
	n := nginxFor(t, NginxOptions{})
	if err := n.Write(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- n.Run(t.Context()) }()
	select {
	case <-n.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	if err := syscall.Kill(masterOf(t, n), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "nginx ended by itself") {
		t.Errorf("error %v", err)
	}
}
