package nginx

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Around the reloads: who asks, who downloads, and who has a websocket open.
const (
	bigFile    = 100 << 20
	downloads  = 4
	websockets = 8
	reloads    = 100
	delta      = 10_000
	// Visitors who keep their connections, and reloads without any change, to compare.
	kept         = 32
	plainReloads = 20
)

// TestReloadsUnderLoad reloads nginx 100 times, each time with 10,000 other clients of
// 500,000, and 256,000 regulars, while wrk asks, downloads of 100 MB run, and websockets
// are open. Nothing fails.
//
// WEIR_NGINX names another nginx than the machine's.
//
//	WEIR_LONG=1 go test ./sinks/nginx -run TestReloadsUnderLoad -v
func TestReloadsUnderLoad(t *testing.T) {
	long(t)
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		t.Skip("no wrk: apt-get install wrk")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	echo := startEcho(t)
	s := newServer(t, includeHTTP, `listen `+address+` reuseport;
    include ROOT/weir/server.conf;
    location / { return 200 "$weir_action|$weir_decision|$weir_version"; }
    location = /big { root ROOT; limit_rate 8m; }
    location = /socket { proxy_pass http://`+echo+`; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 1h; }
`)
	conf := filepath.Join(s.root, "nginx.conf")
	text, err := os.ReadFile(conf)
	gentle := s.keepsIdle()
	if err == nil { // as in deploy/nginx/example.conf
		text = bytes.Replace(text, []byte("worker_shutdown_timeout 5s;"), []byte("worker_shutdown_timeout 60s;"), 1)
		if gentle {
			text = bytes.Replace(text, []byte("http {"), []byte("http { keepalive_min_timeout 10s;"), 1)
		}
		err = os.WriteFile(conf, text, 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(s.root, "big"), make([]byte, bigFile), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	e := newEnforcer(t, s.options())
	for part := range schemas.Partitions {
		e.Regulars(part, manyRegulars(part))
	}
	set := replaceMany(t, e)
	if err := e.Status().Err; err != nil {
		t.Fatal(err)
	}
	if err := s.until(within(t), get("h.example", "/", set.Measures[0].Value), answers(403)); err != nil {
		t.Fatal(err)
	}
	s.drained()
	rest := memory(t, s)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load sync.WaitGroup
	var whole, broken, echoes atomic.Int64
	for range downloads {
		load.Go(func() {
			for ctx.Err() == nil {
				if download("http://" + address + "/big") {
					whole.Add(1)
				} else {
					broken.Add(1)
				}
			}
		})
	}
	for range websockets {
		load.Go(func() {
			for ctx.Err() == nil { // a new one now and then, so that old workers have some
				if n, err := talk(ctx, address, 300); err != nil {
					broken.Add(1)
					t.Errorf("a websocket ended: %v", err)
				} else {
					echoes.Add(int64(n))
				}
			}
		})
	}
	visitors := make([]keptVisitor, kept)
	for i := range visitors {
		load.Go(func() { visitors[i].visit(ctx, address) })
	}
	closed := func() (n int64) {
		for i := range visitors {
			n += visitors[i].closed.Load()
		}
		return n
	}
	// Each request on a connection of its own: a reload closes kept ones between two requests,
	// which wrk, unlike a browser, counts as an error and does not repeat. Those are keptVisitor's.
	asking := exec.Command("nice", wrk, "-t1", "-c8", "-d1h", "-H", "Connection: close", "-H", "X-Forwarded-For: 192.0.2.77", "http://"+address+"/")
	var said bytes.Buffer
	asking.Stdout, asking.Stderr = &said, &said
	asking.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose end would end wrk
	defer runtime.UnlockOSThread()
	if err := asking.Start(); err != nil {
		t.Fatal(err)
	}
	defer asking.Process.Kill()

	var served []float64
	peak := 0.0
	for n := range reloads {
		var change []schemas.Event
		for i := range delta {
			m := measure(fmt.Sprintf("m%d-%d", n, i), schemas.Block, schemas.ScopeClient, netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String())
			if n > 0 {
				old := m
				old.ID = fmt.Sprintf("m%d-%d", n-1, i)
				change = append(change, event(schemas.DecisionRemoved, old))
			}
			change = append(change, added(m))
		}
		begun := time.Now()
		e.Apply(change...)
		e.attempt(t.Context())
		if err := e.Status().Err; err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("m%d-%d\n", n, delta-1)
		if err := s.until(within(t), get("h.example", "/", change[len(change)-1].Decision.Value), func(status int, body string) bool {
			return status == 403 && strings.Contains(body, id)
		}); err != nil {
			t.Fatal(err)
		}
		served = append(served, time.Since(begun).Seconds())
		if n%10 == 9 {
			peak = max(peak, memory(t, s))
			t.Logf("%d reloads, the slowest of them %.2f s, %d processes, %.0f MiB", n+1, slices.Max(served), len(s.children()), peak)
		}
	}
	byWeir := closed()
	for range plainReloads { // nothing changes: what does nginx alone do to kept connections?
		if err := e.command(t.Context(), "reload", s.command("-s", "reload")); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second) // until every visitor has asked again
	}
	byNginx := closed() - byWeir
	_ = asking.Process.Signal(os.Interrupt) // it says how it was
	_ = asking.Wait()
	cancel()
	load.Wait()
	s.drained()
	slices.Sort(served)
	t.Logf("%d reloads, each %d of %d clients, %d regulars: served after %.2f s (median), %.2f s (95 %%), %.2f s at most", reloads, delta, figureClients+delta,
		schemas.MaxRegulars*schemas.Partitions, served[reloads/2], served[reloads*95/100], served[reloads-1])
	t.Logf("memory of all nginx processes: %.0f MiB at rest before, %.0f MiB at most with old workers, %.0f MiB at rest after", rest, peak, memory(t, s))
	t.Logf("%d downloads of 100 MB whole, %d echoes by websockets, %d broken; wrk:\n%s", whole.Load(), echoes.Load(), broken.Load(), said.String())
	var asked, again, failed int64
	for i := range visitors {
		asked, again, failed = asked+visitors[i].asked.Load(), again+visitors[i].again.Load(), failed+visitors[i].failed.Load()
	}
	t.Logf("%d requests of %d visitors on kept connections: %d sent again because nginx had closed the connection, %d failed; closed by weir's reloads %.1f a reload, by plain ones %.1f",
		asked, kept, again, failed, float64(byWeir)/reloads, float64(byNginx)/plainReloads)
	if failed > 0 || asked == 0 || gentle && again > 0 {
		t.Errorf("%d requests on kept connections failed, %d were sent again", failed, again)
	}
	if broken.Load() > 0 || whole.Load() == 0 || echoes.Load() == 0 {
		t.Errorf("%d downloads and websockets were broken", broken.Load())
	}
	if found := regexp.MustCompile(`(?i)socket errors.*|non-2xx.*`).FindString(said.String()); found != "" || !strings.Contains(said.String(), "requests in") {
		t.Errorf("wrk: %s", found)
	}
}

// manyRegulars are as many as one partition may tell, on four sites, one in five by IPv6.
func manyRegulars(part int) (sites []schemas.SiteRegulars) {
	for n := range 4 {
		s := schemas.SiteRegulars{Site: fmt.Sprintf("site%d.example", n)}
		for i := range schemas.MaxRegulars / 4 {
			if i < schemas.MaxRegulars/20*4 {
				s.Clients = append(s.Clients, netip.AddrFrom4([4]byte{100, byte(64 + part*4 + n), byte(i >> 8), byte(i)}))
			} else {
				s.Clients = append(s.Clients, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb9, byte(part), byte(n), byte(i >> 8), byte(i)}))
			}
		}
		sites = append(sites, s)
	}
	return sites
}

// keptVisitor asks over one connection as long as nginx keeps it, and does what HTTP has
// clients do where it is closed while a request is on its way (RFC 9112, 9.3.1): sends it
// once more, over a new one.
type keptVisitor struct {
	asked  atomic.Int64
	closed atomic.Int64 // connections that nginx has ended
	again  atomic.Int64 // requests that had been sent over one that was closed
	failed atomic.Int64 // and those that were not answered over a new one either
}

func (v *keptVisitor) visit(ctx context.Context, address string) {
	var c net.Conn
	var in *bufio.Reader
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	request := mustRequest("http://" + address + "/")
	ask := func() (last bool, err error) {
		if c == nil {
			if c, err = net.Dial("tcp", address); err != nil {
				return true, err
			}
			in = bufio.NewReader(c)
		}
		if err := request.Write(c); err != nil {
			return true, err
		}
		answer, err := http.ReadResponse(in, request)
		if err != nil {
			return true, err
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return true, err
		}
		if answer.StatusCode != http.StatusOK {
			return true, fmt.Errorf("status %d", answer.StatusCode)
		}
		return answer.Close, nil
	}
	leave := func() {
		if c != nil {
			c.Close()
		}
		c = nil
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		v.asked.Add(1)
		fresh := c == nil
		last, err := ask()
		if err != nil && !fresh {
			v.again.Add(1)
			v.closed.Add(1)
			leave()
			last, err = ask()
		} else if last {
			v.closed.Add(1)
		}
		if err != nil {
			v.failed.Add(1)
		}
		if last {
			leave()
		}
	}
}

// keepsIdle reports whether this nginx has keepalive_min_timeout (1.27.4), by which a reload
// leaves kept connections open until their next request.
func (s *server) keepsIdle() bool {
	s.t.Helper()
	said, err := exec.Command(s.binary, "-v").CombinedOutput()
	if err != nil {
		s.t.Fatal(err)
	}
	var major, minor, patch int
	_, after, _ := strings.Cut(string(said), "nginx/")
	if _, err := fmt.Sscanf(after, "%d.%d.%d", &major, &minor, &patch); err != nil {
		s.t.Fatalf("%s: %v", said, err)
	}
	return (major*1000+minor)*1000+patch >= 1_027_004
}

func download(url string) bool {
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(mustRequest(url))
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	return err == nil && n == bigFile
}

func mustRequest(url string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	return r
}

// startEcho listens for websockets and sends back what comes. Nothing here reads frames:
// for nginx a websocket is bytes in both directions after the answer 101.
func startEcho(t *testing.T) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"); err == nil {
			_, _ = io.Copy(c, buffered)
		}
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

// talk says a word ten times a second over one websocket, so often, and wants each back.
func talk(ctx context.Context, address string, times int) (n int, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET /socket HTTP/1.1\r\nHost: h.example\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"); err != nil {
		return 0, err
	}
	in := bufio.NewReader(c)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		return 0, fmt.Errorf("%+v: %w", answer, err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ; n < times && ctx.Err() == nil; n++ {
		word := fmt.Sprintln("word", n)
		if _, err := io.WriteString(c, word); err != nil {
			return n, err
		}
		if back, err := in.ReadString('\n'); err != nil || back != word {
			return n, fmt.Errorf("%q came back: %w", back, err)
		}
		<-tick.C
	}
	return n, nil
}
