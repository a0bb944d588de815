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

// long skips what takes minutes and is for figures.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("WEIR_LONG") == "" {
		t.Skip("minutes of work: WEIR_LONG=1 asks for it")
	}
}

// The figures are of so many clients, one in five by IPv6.
const figureClients = 500_000

// methodConf is a configuration that blocks the clients of a set by one of nginx's own means.
func methodConf(method string, set Set) []byte {
	var b bytes.Buffer
	switch method {
	case "geo":
		b.WriteString("geo $weir_verdict {\n    default \"\";\n")
	case "map":
		b.WriteString("map $remote_addr $weir_verdict {\n    default \"\";\n")
	}
	for _, m := range set.Measures {
		address := netip.MustParseAddr(m.Value)
		switch {
		case method == "map":
			fmt.Fprintf(&b, "    %s 'block x';\n", m.Value) // IPv6: the one address, not its /64
		case address.Is4():
			fmt.Fprintf(&b, "    %s/32 'block x';\n", m.Value)
		default:
			fmt.Fprintf(&b, "    %s/64 'block x';\n", m.Value)
		}
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// TestMethods prints the table of docs/edges.md: what the ways cost in which nginx can hold
// 500,000 clients.
//
//	WEIR_LONG=1 go test ./sinks/nginx -run TestMethods -v
func TestMethods(t *testing.T) {
	long(t)
	set := many(figureClients)
	blocked := get("h.example", "/", set.Measures[0].Value)
	var table strings.Builder
	for _, method := range []string{"geo", "map", "weir"} {
		s := newServer(t, includeHTTP, site)
		put := func(set Set) {
			if method == "weir" {
				s.apply(set)
			} else if err := os.WriteFile(filepath.Join(s.dir(), CurrentName), methodConf(method, set), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		put(set)
		test := took(t, s.check)
		s.start()
		if err := s.until(within(t), blocked, answers(403)); err != nil {
			t.Fatal(method, err)
		}
		one := memory(t, s)
		more := set
		more.Measures = append(slices.Clone(set.Measures), measure("m1-1", schemas.Block, schemas.ScopeClient, "198.51.100.1"))
		served := took(t, func() error {
			put(more)
			if err := s.check(); err != nil {
				return err
			}
			if err := newEnforcer(t, s.options()).command(t.Context(), "reload", s.command("-s", "reload")); err != nil {
				return err
			}
			return s.until(within(t), get("h.example", "/", "198.51.100.1"), answers(403))
		})
		s.drained()
		fmt.Fprintf(&table, "| %s | %.1f s | %.1f s | %.0f MiB | %.0f MiB |\n", method, test, served, one, memory(t, s))
	}
	t.Logf("\n| method | `nginx -t` | one more client until it is refused | all processes after the start | after a reload |\n|---|---|---|---|---|\n%s", table.String())
}

// TestDelta prints where the time goes from 10,000 decisions among 500,000 until nginx serves
// them: as processor time, which hardly depends on what else the machine does, and by the clock.
//
//	WEIR_LONG=1 go test ./sinks/nginx -run TestDelta -v
func TestDelta(t *testing.T) {
	long(t)
	s := newServer(t, includeHTTP, site)
	s.start()
	o := s.options()
	o.Test = append([]string{"sh", "-c", `"$@"; r=$?; times >> "$0"/times; exit $r`, s.root}, o.Test...)
	e := newEnforcer(t, o)
	set := withSignatures(many(figureClients), 50)
	var events []schemas.Event
	for _, m := range set.Measures {
		events = append(events, added(m))
	}
	e.Replace(events...)
	e.attempt(t.Context())
	var total, weirs, tests, nginxes []float64
	for round := range 5 {
		var change []schemas.Event
		for i := range delta {
			change = append(change, added(measure(fmt.Sprintf("m%d-%d", round, i), schemas.Block, schemas.ScopeClient, netip.AddrFrom4([4]byte{198, byte(18 + round), byte(i >> 8), byte(i)}).String())))
		}
		s.drained()
		_ = os.Remove(filepath.Join(s.root, "times"))
		own, master, begun := ownTime(t), s.time(), time.Now()
		e.Apply(change...)
		e.attempt(t.Context())
		if err := e.Status().Err; err != nil {
			t.Fatal(err)
		}
		mine := ownTime(t) - own
		if err := s.until(within(t), get("h.example", "/", change[delta-1].Decision.Value), answers(403)); err != nil {
			t.Fatal(err)
		}
		total = append(total, time.Since(begun).Seconds())
		text, err := os.ReadFile(filepath.Join(s.root, "times"))
		if err != nil {
			t.Fatal(err)
		}
		weirs, tests, nginxes = append(weirs, mine), append(tests, childTime(t, string(text))), append(nginxes, s.time()-master)
	}
	for _, x := range [][]float64{total, weirs, tests, nginxes} {
		slices.Sort(x)
	}
	t.Logf("10,000 among 500,000, median of 5: %.2f s by the clock; processor time: weir %.2f s (two threads at times), nginx -t %.2f s, nginx's master %.2f s", total[2], weirs[2], tests[2], nginxes[2])
}

// ownTime is the processor time of this process, in seconds.
func ownTime(t *testing.T) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// childTime reads the second line of the shell's times, "0m0.12s 0m0.03s".
func childTime(t *testing.T, text string) (seconds float64) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, word := range strings.Fields(lines[len(lines)-1]) {
		d, err := time.ParseDuration(word)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		seconds += d.Seconds()
	}
	return seconds
}

// time is the processor time of nginx's master so far, in seconds.
func (s *server) time() (seconds float64) {
	s.t.Helper()
	pid, err := os.ReadFile(filepath.Join(s.root, "pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", strings.TrimSpace(string(pid))))
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second (proc(5))
		var ticks float64
		fmt.Sscan(field, &ticks)
		seconds += ticks / 100
	}
	return seconds
}

// TestPathLists prints what the known paths of a site cost, with the longest list that a site
// may have, and with as many as all sites may.
//
//	WEIR_LONG=1 go test ./sinks/nginx -run TestPathLists -v
func TestPathLists(t *testing.T) {
	long(t)
	var table strings.Builder
	for _, n := range []int{1, 50_000, 131_072} {
		list := &schemas.SitePaths{Site: "a.example"}
		for i := range n {
			list.Paths = append(list.Paths, fmt.Sprintf("/questions/%06d/how-do-i-do-this-and-that", i))
		}
		s := newServer(t, includeHTTP, site)
		s.apply(Set{Measures: []Measure{measure("i1-1", schemas.Throttle, schemas.ScopeSignature, pathUnknown)}, Paths: NewPathList([]*schemas.SitePaths{list})})
		test := cpu(t, s.command("-t"))
		s.start()
		w := s.dial()
		for uri, want := range map[string]int{list.Paths[n-1]: 200, list.Paths[n-1] + "x": 429, "/other": 429} {
			if status, _ := w.say(get("a.example", uri, "198.51.100.1")); status != want {
				t.Errorf("%s: %d, want %d", uri, status, want)
			}
		}
		fmt.Fprintf(&table, "| %d | %.2f s | %.0f MiB |\n", n, test, memory(t, s))
	}
	t.Logf("\n| known paths | processor time of `nginx -t` | all processes |\n|---|---|---|\n%s", table.String())
}

// cpu is the processor time of a command, in seconds.
func cpu(t *testing.T, argv []string) float64 {
	t.Helper()
	command := exec.Command(argv[0], argv[1:]...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds()
}

func took(t *testing.T, f func() error) float64 {
	t.Helper()
	begun := time.Now()
	if err := f(); err != nil {
		t.Fatal(err)
	}
	return time.Since(begun).Seconds()
}

// drained waits until only one worker is left.
func (s *server) drained() {
	s.t.Helper()
	if err := eventually(within(s.t), func() bool { return len(s.children()) == 1 }); err != nil {
		s.t.Fatalf("old workers stay: %v", s.children())
	}
}

// children are the processes of nginx's workers, old ones too.
func (s *server) children() []string {
	pid, err := os.ReadFile(filepath.Join(s.root, "pid"))
	if err != nil {
		return nil
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%s/task/%[1]s/children", strings.TrimSpace(string(pid))))
	return strings.Fields(string(text))
}

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
	set := withSignatures(many(figureClients), 50)
	var events []schemas.Event
	for _, m := range set.Measures {
		events = append(events, added(m))
	}
	e.Replace(events...)
	e.attempt(t.Context())
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
