package vitals

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-project/weir/schemas"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// procFiles writes a procfs.
func procFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0
  eth0: %d 20 0 1 2 0 0 0 300 30 0 4 0 0 0 0
`

func TestProc(t *testing.T) {
	dir := t.TempDir()
	procFiles(t, dir, map[string]string{
		"1/net/netstat":                        "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 10 20\nIpExt: InNoRoutes\nIpExt: 0\n",
		"net/dev":                              fmt.Sprintf(netDev, 1000),
		"net/sockstat":                         "sockets: used 100\nTCP: inuse 7 orphan 0 tw 5 alloc 8 mem 1\nUDP: inuse 2 mem 1\n",
		"net/sockstat6":                        "TCP6: inuse 3\n",
		"loadavg":                              "1.50 1.00 0.50 2/300 4711\n",
		"meminfo":                              "MemTotal:       1000 kB\nMemFree:  100 kB\nMemAvailable:   250 kB\n",
		"pressure/cpu":                         "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"pressure/memory":                      "some avg10=50.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"pressure/io":                          "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"sys/net/netfilter/nf_conntrack_count": "12\n",
		"sys/net/netfilter/nf_conntrack_max":   "65536\n",
	})
	if err := os.Symlink("1", filepath.Join(dir, "self")); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Edge: "web1", Proc: dir, Logger: quiet(), Listen: func() ([]schemas.ListenQueue, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	v := r.Read(t.Context())
	for part, why := range r.trouble {
		if why != "" {
			t.Errorf("%s: %s", part, why)
		}
	}
	if v.Interval != 0 || v.ListenDrops != 0 || len(v.Interfaces) != 1 || v.Interfaces[0].ReceivedBytes != 0 {
		t.Errorf("the first ones count what was before them: %+v", v)
	}
	procFiles(t, dir, map[string]string{
		"1/net/netstat": "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 4 15 27\nIpExt: InNoRoutes\nIpExt: 0\n",
		"net/dev":       fmt.Sprintf(netDev, 1500),
	})
	v = r.Read(t.Context())
	eth := schemas.InterfaceVitals{Name: "eth0", ReceivedBytes: 500}
	if v.Syncookies != 3 || v.ListenOverflows != 5 || v.ListenDrops != 7 || v.Interval <= 0 || len(v.Interfaces) != 1 || v.Interfaces[0] != eth {
		t.Errorf("counts: %+v", v)
	}
	if v.Sockets != 10 || v.TimeWait != 5 || v.Conntrack != 12 || v.ConntrackMax != 65536 || v.Load != 1.5 ||
		v.MemoryTotal != 1000<<10 || v.MemoryAvailable != 250<<10 || v.CPUPressure != 0.125 || v.MemoryPressure != 0.5 || v.IOPressure != 0 {
		t.Errorf("%+v", v)
	}
	if message, err := schemas.EncodeVitals(v); err != nil {
		t.Error(err)
	} else if again, err := schemas.DecodeVitals(message); err != nil || again.ListenDrops != 7 {
		t.Errorf("decoded: %+v, %v", again, err)
	}
}

// An empty procfs is complained about once, and gives vitals all the same.
func TestNothingIsKnown(t *testing.T) {
	var log strings.Builder
	r, err := New(Options{Edge: "web1", Proc: t.TempDir(), NginxStatus: "http://127.0.0.1:1/", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if v := r.Read(t.Context()); v.Nginx == nil || v.Nginx.Answered {
			t.Errorf("nginx: %+v", v.Nginx)
		}
	}
	if n := strings.Count(log.String(), "part=nginx"); n != 1 {
		t.Errorf("said %d times: %s", n, log.String())
	}
}

// TestListenQueues fills a real socket's queue.
func TestListenQueues(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 7); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for range 5 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	queues, err := listenQueues()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		if q.Address == address {
			if q.Waiting != 5 || q.Most != 7 {
				t.Errorf("%+v", q)
			}
			return
		}
	}
	t.Errorf("%s is not among %+v", address, queues)
}

func TestStatusText(t *testing.T) {
	const text = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630947 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n"
	s, err := parseStatus(text)
	if err != nil || *s != (status{active: 291, reading: 6, writing: 179, waiting: 106, accepts: 16630948, handled: 16630947, requests: 31070465}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, broken := range []string{"", "<html>", strings.Replace(text, "291", "x", 1), strings.Replace(text, "291", "-1", 1), strings.Replace(text, "16630948", "99999999999999999999", 1), text[:60]} {
		if s, err := parseStatus(broken); err == nil {
			t.Errorf("%q: %+v", broken, s)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add("Active connections: 291 \nserver accepts handled requests\n 16630948 16630948 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n")
	f.Add("Active connections: 0x1 \n")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseStatus(text); err == nil && (s.active < 0 || s.waiting < 0) {
			t.Fatalf("%q: %+v", text, s)
		}
	})
}

func FuzzDiag(f *testing.F) {
	f.Add(diagRequest(unix.AF_INET))
	f.Fuzz(func(t *testing.T, data []byte) {
		if queues, _, _ := parseDiag(data, nil); len(queues) > len(data)/diagAnswerBytes {
			t.Fatalf("%d queues in %d bytes", len(queues), len(data))
		}
	})
}

// TestRealNginx holds connections to a real nginx, and sees them.
func TestRealNginx(t *testing.T) {
	binary := ""
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil && binary == "" {
			binary = path
		}
	}
	if binary == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no nginx: make setup")
		}
		t.Skip("no nginx: apt-get install nginx")
	}
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	socket := filepath.Join(dir, "status")
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `daemon off; pid %[1]s/pid; user root; worker_processes 1;
events {}
http {
  access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen %[2]s; location / { return 200 "ok"; } }
  server { listen unix:%[3]s; location = /nginx_status { stub_status; } }
}
`, dir, address, socket), 0o600); err != nil {
		t.Fatal(err)
	}
	base := []string{"-e", dir + "/error.log", "-p", dir, "-c", conf}
	command := exec.Command(binary, base...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command(binary, append(base, "-s", "stop")...).Run()
		_ = command.Wait()
	})
	r, err := New(Options{Edge: "web1", NginxStatus: "http://unix:" + socket + ":/nginx_status", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	read := func() *schemas.NginxVitals { return r.Read(t.Context()).Nginx }
	until := func(what string, condition func() bool) {
		for deadline := time.Now().Add(20 * time.Second); !condition(); <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within 20 s: %s", what)
			}
		}
	}
	until("nginx answers", func() bool { return read().Answered })
	const held = 40
	for range held { // as a slow client does: a request that never ends
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	var accepted uint64
	until("the connections are seen", func() bool {
		n := read()
		accepted += n.Accepted
		return n.Reading >= held && n.Active >= held && accepted >= held
	})
}

func TestNginxDoesNotAnswer(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		select {
		case <-release:
		case <-q.Context().Done():
		}
		fmt.Fprint(w, "Active connections: 1 \nserver accepts handled requests\n 5 5 5 \nReading: 0 Writing: 1 Waiting: 0 \n")
	}))
	defer s.Close()
	r, err := New(Options{Edge: "web1", NginxStatus: s.URL, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Read(t.Context()).Nginx; n.Answered {
		t.Errorf("%+v", n)
	}
	close(release)
	if n := r.Read(t.Context()).Nginx; !n.Answered || n.Active != 1 {
		t.Errorf("%+v", n)
	}
}

// published keeps the messages.
type published chan []byte

func (p published) Publish(_ context.Context, subject, _ string, data []byte) error {
	if subject != schemas.SubjectVitals("web1") {
		return fmt.Errorf("to %s", subject)
	}
	p <- data
	return nil
}

func TestRunPublishes(t *testing.T) {
	r, err := New(Options{Edge: "web1", Every: time.Millisecond, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := make(published)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, out) }()
	for range 3 {
		if v, err := schemas.DecodeVitals(<-out); err != nil || v.Edge != "web1" {
			t.Errorf("%+v, %v", v, err)
		}
	}
	cancel()
	go func() {
		for range out {
		}
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
