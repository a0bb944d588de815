package syslog

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/intake"
)

// kept are lines in memory, by stream; while it is stopped there is no room for more.
type kept struct {
	mu    sync.Mutex
	lines map[intake.Stream][]string
	stop  chan struct{} // closed, or nil, where there is room
}

func (k *kept) Append(ctx context.Context, from intake.Stream, lines []byte) error {
	if k.stop != nil {
		select {
		case <-k.stop:
		case <-ctx.Done():
			return intake.ErrFull
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lines == nil {
		k.lines = map[intake.Stream][]string{}
	}
	for line := range bytes.Lines(lines) {
		k.lines[from] = append(k.lines[from], strings.TrimSuffix(string(line), "\n"))
	}
	return nil
}

func (k *kept) of(edge, tag string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lines[intake.Stream{Edge: edge, Tag: tag}]
}

func (k *kept) all() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, lines := range k.lines {
		n += len(lines)
	}
	return n
}

// listen runs a listener until the test ends or stop is called, which waits for it.
func listen(t *testing.T, o Options, lines intake.Lines) (l *Listener, metrics *prometheus.Registry, stop func()) {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	metrics = prometheus.NewRegistry()
	var err error
	if o.Metrics, err = intake.NewMetrics(metrics, "test"); err != nil {
		t.Fatal(err)
	}
	if l, err = New(o, lines); err == nil {
		err = l.Open()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return l, metrics, stop
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func TestDatagrams(t *testing.T) {
	for _, network := range []string{"udp", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			var lines kept
			o := Options{Network: network, MaxMessage: 1000}
			if network == "unixgram" {
				o.Address = filepath.Join(t.TempDir(), "s")
			}
			l, metrics, stop := listen(t, o, &lines)
			c := dial(t, network, l.Addr().String())
			for i := range 500 {
				fmt.Fprintf(c, "<190>Nov 28 17:35:39 web%d nginx: line %d", i%2, i)
				if i%50 == 0 {
					until(t, "it keeps up", func() bool { return lines.all() == i+1 })
				}
			}
			fmt.Fprint(c, "no header")
			fmt.Fprintf(c, "<190>Nov 28 17:35:39 web1 nginx: %s", strings.Repeat("x", 1000))
			until(t, "all lines came", func() bool { return lines.all() == 500 })
			stop()
			for edge := range 2 {
				for i, line := range lines.of(fmt.Sprintf("web%d", edge), "nginx") {
					if want := fmt.Sprintf("line %d", 2*i+edge); line != want {
						t.Fatalf("%q, want %q", line, want)
					}
				}
			}
			if a, b, c := value(t, metrics, "refused_total", "priority"), value(t, metrics, "refused_total", "too_long"), value(t, metrics, "lines_total", ""); a != 1 || b != 1 || c != 500 {
				t.Errorf("%v without a priority, %v too long, %v taken", a, b, c)
			}
			if network == "unixgram" {
				if _, err := os.Stat(o.Address); !os.IsNotExist(err) {
					t.Errorf("the socket is still there: %v", err)
				}
			}
		})
	}
}

// value is a metric's, with a label's value where one is given.
func value(t *testing.T, metrics *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, pair := range m.GetLabel() {
				if family.GetName() == "weir_listener_"+name && (label == "" || pair.GetName() == "reason" && pair.GetValue() == label) {
					return m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	t.Fatalf("no metric %s %s", name, label)
	return 0
}

// TestDatagramsAreDropped fills the memory of a listener that has no room: it drops,
// and every datagram is accounted for.
func TestDatagramsAreDropped(t *testing.T) {
	lines := kept{stop: make(chan struct{})}
	l, metrics, stop := listen(t, Options{Network: "udp"}, &lines)
	c := dial(t, "udp", l.Addr().String())
	sent := 0
	long := strings.Repeat("x", 8000)
	for i := range 3000 { // 24 MB, of which memory takes 8
		if _, err := fmt.Fprintf(c, "<190>Nov 28 17:35:39 web nginx: %d %s", i, long); err == nil {
			sent++
		}
	}
	counted := func(name string) float64 { return value(t, metrics, "dropped_total", name) }
	until(t, "it drops", func() bool { return counted("full") > 0 })
	close(lines.stop)
	until(t, "each is taken or counted", func() bool {
		return float64(lines.all())+counted("full")+counted("kernel") == float64(sent)
	})
	stop()
	t.Logf("of %d datagrams %d were taken, %v dropped by weir and %v by the kernel", sent, lines.all(), counted("full"), counted("kernel"))
}

func TestStreams(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "tls"} {
		t.Run(network, func(t *testing.T) {
			var lines kept
			o := Options{Network: network}
			var client *tls.Config
			switch network {
			case "unix":
				o.Address = filepath.Join(t.TempDir(), "s")
			case "tls":
				o.TLS, client = certificates(t)
			}
			l, metrics, _ := listen(t, o, &lines)
			open := func() net.Conn {
				c := dial(t, l.Addr().Network(), l.Addr().String())
				if client != nil {
					c = tls.Client(c, client)
				}
				return c
			}
			a, b := open(), open()
			for i := range 1000 {
				text := fmt.Sprintf("<190>1 - counted nginx - - - line %d", i)
				fmt.Fprintf(a, "%d %s", len(text), text)
				fmt.Fprintf(b, "<190>Nov 28 17:35:39 lines nginx: line %d\n", i)
			}
			fmt.Fprint(b, "<190>Nov 28 17:35:39 lines nginx: the last has no newline")
			a.Close()
			b.Close()
			until(t, "all lines came", func() bool { return lines.all() == 2001 })
			for _, edge := range []string{"counted", "lines"} {
				for i, line := range lines.of(edge, "nginx")[:1000] {
					if want := fmt.Sprintf("line %d", i); line != want {
						t.Fatalf("%s: %q, want %q", edge, line, want)
					}
				}
			}
			until(t, "no connection is left", func() bool { return value(t, metrics, "connections", "") == 0 })
		})
	}
}

// TestNobodyWithoutCertificate refuses who does not prove itself.
func TestNobodyWithoutCertificate(t *testing.T) {
	var lines kept
	server, client := certificates(t)
	l, metrics, _ := listen(t, Options{Network: "tls", TLS: server}, &lines)
	client.Certificates = nil
	c := tls.Client(dial(t, "tcp", l.Addr().String()), client)
	_, _ = c.Write([]byte("<190>Nov 28 17:35:39 web nginx: x\n")) // TLS 1.3 says no only after it
	until(t, "it is refused", func() bool { return value(t, metrics, "refused_total", "token") == 1 })
	if lines.all() != 0 {
		t.Error("a line was taken")
	}
}

// TestSendersWait stops a listener's room: the sender is made to wait, and no line is
// lost.
func TestSendersWait(t *testing.T) {
	lines := kept{stop: make(chan struct{})}
	l, _, _ := listen(t, Options{Network: "tcp", Plain: true}, &lines)
	c := dial(t, "tcp", l.Addr().String())
	line := []byte(strings.Repeat("x", 999) + "\n")
	sent := 0
	for { // until every buffer on the way is full
		_ = c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if n, err := c.Write(line); err != nil {
			line = line[n:] // the rest follows once there is room
			break
		}
		if sent++; sent > 1_000_000 {
			t.Fatal("nothing pushes back")
		}
	}
	close(lines.stop)
	_ = c.SetWriteDeadline(time.Time{})
	if _, err := c.Write(line); err != nil {
		t.Fatal(err)
	}
	until(t, "every line came", func() bool { return lines.all() == sent+1 })
}

func TestLimits(t *testing.T) {
	var lines kept
	l, metrics, _ := listen(t, Options{Network: "tcp", MaxConnections: 1, Stalled: 20 * time.Millisecond}, &lines)
	c := dial(t, "tcp", l.Addr().String())
	fmt.Fprint(c, "<190>Nov 28 17:35:39 web nginx: whole\n")
	until(t, "the line came", func() bool { return lines.all() == 1 })
	second := dial(t, "tcp", l.Addr().String())
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a second connection is open")
	}
	fmt.Fprint(c, "<190>Nov 28 17:35:39 web nginx: half")
	if _, err := c.Read(make([]byte, 1)); err == nil { // it is closed
		t.Error("something was answered")
	}
	third := dial(t, "tcp", l.Addr().String())
	until(t, "there is room for another", func() bool { // Accept may see it before the first has gone
		if _, err := fmt.Fprint(third, "9 <1>\n"); err != nil {
			third = dial(t, "tcp", l.Addr().String())
		}
		return value(t, metrics, "connections", "") == 1
	})
	if n := value(t, metrics, "refused_total", "idle"); n != 1 {
		t.Errorf("%v connections stalled", n)
	}
	if lines.all() != 1 {
		t.Errorf("%d lines", lines.all())
	}
}

func TestSockets(t *testing.T) {
	var lines kept
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	_, _, stop := listen(t, Options{Network: "unixgram", Address: path}, &lines)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	other, err := New(Options{Network: "unixgram", Address: path}, &lines)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Open(); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("a second listener: %v", err)
	}
	stop()
	stale, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	stale.Close() // and the file stays
	listen(t, Options{Network: "unixgram", Address: path}, &lines)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	third, _ := New(Options{Network: "unix", Address: file}, &lines)
	if err := third.Open(); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("on a file: %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("the file is gone")
	}
}

// certificates makes an authority and what a server and a client of it need.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	pool := x509.NewCertPool()
	sign := func(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (tls.Certificate, *x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		template.NotAfter = time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, cert, key
	}
	_, authority, key := sign(&x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	pool.AddCert(authority)
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	serverCert, _, _ := sign(&x509.Certificate{SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: both}, authority, key)
	clientCert, _, _ := sign(&x509.Certificate{SerialNumber: big.NewInt(3), ExtKeyUsage: both}, authority, key)
	server = &tls.Config{Certificates: []tls.Certificate{serverCert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	client = &tls.Config{Certificates: []tls.Certificate{clientCert}, RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	return server, client
}
