package haproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/netns"
	"github.com/weir-project/weir/schemas"
)

// proxy is a real HAProxy, in a network of its own, in front of a site.
type proxy struct {
	*netns.Namespace
	t       testing.TB
	program string
	file    string
	options Options
	running *exec.Cmd
}

func newProxy(t testing.TB) *proxy {
	program := ""
	for _, path := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if found, err := exec.LookPath(path); err == nil && program == "" {
			program = found
		}
	}
	if program == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("haproxy is not installed: make setup")
		}
		t.Skip("haproxy is not installed: make setup")
	}
	n := netns.New(t)
	for _, addr := range []string{"192.0.2.1/24", "192.0.2.7/24", "192.0.2.8/24", "2001:db8::1/48", "2001:db8:0:7::8/48"} {
		if strings.Contains(addr, "db8") {
			n.Run(t, "ip", "addr", "add", addr, "dev", "lo", "nodad")
			continue
		}

		n.Run(t, "ip", "addr", "add", addr, "dev", "lo")
	}
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the site") }))
	site.Listener = n.Listen(t, "127.0.0.1:8081")
	site.Start()
	t.Cleanup(site.Close)
	dir := t.TempDir()
	p := &proxy{Namespace: n, t: t, program: program, file: filepath.Join(dir, "haproxy.cfg"),
		options: Options{Socket: filepath.Join(dir, "s"), Map: filepath.Join(dir, "weir.map"), Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.8/32")}}}
	if err := os.WriteFile(p.options.Map, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	global, frontend, counting := Snippet(p.options.Socket, p.options.Map)
	if err := os.WriteFile(p.file, []byte("global\n"+global+"defaults\nmode http\ntimeout client 30s\ntimeout server 30s\ntimeout connect 5s\n"+
		"frontend f\nbind 192.0.2.1:8080\nbind [2001:db8::1]:8080\n"+frontend+"default_backend b\nbackend b\nserver s 127.0.0.1:8081\n"+counting), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *proxy) start() {
	p.t.Helper()
	if p.running != nil {
		_ = p.running.Process.Kill()
		_ = p.running.Wait()
	}
	p.running = exec.Command(p.program, "-db", "-f", p.file)
	var said strings.Builder
	p.running.Stderr = &said
	p.Start(p.t, p.running)
	for end := time.Now().Add(time.Minute); ; {
		if _, err := ask(p.t.Context(), p.options.Socket, "show info"); err == nil {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("HAProxy does not answer: %s", said.String())
		}
	}
}

func (p *proxy) get(from string) (status int, body string) {
	p.t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, to string) (net.Conn, error) {
		return p.Dial(ctx, from, to)
	}}}
	to := "http://192.0.2.1:8080/"
	if strings.Contains(from, ":") {
		to = "http://[2001:db8::1]:8080/"
	}
	r, err := c.Get(to)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(text)
}

func (p *proxy) want(from string, status int, text string) {
	p.t.Helper()
	if got, body := p.get(from); got != status || !strings.Contains(body, text) {
		maps, _ := ask(p.t.Context(), p.options.Socket, "show map "+p.options.Map)
		p.t.Fatalf("%s: status %d, %q; want %d with %q\n%s", from, got, body, status, text, maps)
	}
}

func decision(id string, action schemas.Action, value string, ttl time.Duration) schemas.Event {
	scope := schemas.ScopeClient
	if strings.Contains(value, "/") {
		scope = schemas.ScopePrefix
	}
	now := time.Now()
	return schemas.Event{Type: schemas.DecisionAdded, Time: now, Decision: &schemas.Decision{
		ID: id, Action: action, Scope: scope, Value: value, Expires: now.Add(ttl), Origin: "weir",
	}}
}

func (p *proxy) edge() *Edge {
	p.t.Helper()
	e, err := New(p.options)
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

func (p *proxy) step(e *Edge, now time.Time) {
	p.t.Helper()
	if err := e.step(p.t.Context(), now); err != nil {
		p.t.Fatal(err)
	}
}

func TestHAProxyEnforces(t *testing.T) {
	p := newProxy(t)
	p.start()
	e := p.edge()
	p.step(e, time.Now()) // nothing is known yet, and nothing changed
	p.want("192.0.2.7", 200, "the site")
	e.Replace(decision("i1-1", schemas.Block, "192.0.2.7", time.Hour))
	p.step(e, time.Now())
	p.want("192.0.2.7", 403, "i1-1")
	p.want("192.0.2.1", 200, "the site")
	e.Apply(decision("i1-2", schemas.Throttle, "192.0.2.0/24", time.Hour))
	p.step(e, time.Now())
	p.want("192.0.2.7", 403, "i1-1") // the narrower
	p.want("192.0.2.1", 429, "i1-2")
	p.want("192.0.2.8", 200, "the site") // allowed

	// It is started anew, and has what it had from its first request on.
	p.start()
	p.want("192.0.2.7", 403, "i1-1")
	version := e.version
	p.step(e, time.Now())
	if p.want("192.0.2.7", 403, "i1-1"); e.version == version {
		t.Error("a new HAProxy was not noticed")
	}

	// What ends does so without weir; and so does everything when the lease does.
	e.Replace(decision("i2-1", schemas.Block, "192.0.2.7", time.Hour))
	p.step(e, time.Now().Add(-e.options.Lease-time.Second))
	p.want("192.0.2.7", 200, "the site")
	p.step(e, time.Now()) // weir is back, and moves the lease alone
	p.want("192.0.2.7", 403, "i2-1")
	past := decision("i2-1", schemas.Block, "192.0.2.7", -time.Minute)
	e.Replace(past)
	p.step(e, time.Now().Add(-2*time.Minute)) // a clock that was wrong
	p.want("192.0.2.7", 200, "the site")

	e.Replace(decision("i3-1", schemas.Block, "192.0.2.7", time.Hour))
	p.step(e, time.Now())
	p.want("192.0.2.7", 403, "i3-1")
	back := time.Now().Add(-time.Hour) // the clock is set back: the lease with it
	if p.step(e, back); e.until.After(back.Add(e.options.Lease)) {
		t.Errorf("at %s the lease ends at %s", back, e.until)
	}
	p.step(e, time.Now())
	p.want("192.0.2.7", 403, "i3-1")
	if err := Lift(t.Context(), p.options); err != nil {
		t.Fatal(err)
	}
	p.want("192.0.2.7", 200, "the site")
}

func TestHAProxyAway(t *testing.T) {
	p := newProxy(t)
	e := p.edge()
	e.Replace(decision("i1-1", schemas.Block, "192.0.2.7", time.Hour))
	err := e.step(t.Context(), time.Now())
	if err == nil || !strings.Contains(err.Error(), "is it running") {
		t.Fatalf("error %v", err)
	}
	e.note(err)
	if s := e.Status(); s.Err == nil || s.Loaded != 0 || s.Intended != 1 {
		t.Errorf("status %+v", s)
	}
	p.start()
	p.step(e, time.Now())
	e.note(nil)
	p.want("192.0.2.7", 403, "i1-1")
	if s := e.Status(); s.Err != nil || s.Loaded != 1 {
		t.Errorf("status %+v", s)
	}
}

// While versions of a large map are put in place, no request fails and a blocked client
// stays so: a version counts as a whole or not at all.
func TestVersionsAreSwitchedAtOnce(t *testing.T) {
	p := newProxy(t)
	p.start()
	e := p.edge()
	events := []schemas.Event{decision("i1-1", schemas.Block, "192.0.2.7", time.Hour)}
	for i := range 5_000 {
		events = append(events, decision(fmt.Sprint("i1-x", i), schemas.Block, netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}).String(), time.Hour))
	}
	e.Replace(events...)
	p.step(e, time.Now())
	done := make(chan error, 1)
	go func() {
		for i := range 5 {
			e.Apply(decision(fmt.Sprint("more", i), schemas.Block, "198.51.100.1", time.Hour))
			if err := e.step(t.Context(), time.Now()); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		p.want("192.0.2.7", 403, "i1-1")
		p.want("192.0.2.1", 200, "the site")
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
	}
}

func TestWhatHAProxyCannotHold(t *testing.T) {
	e, err := New(Options{Socket: "/s", Map: "/m"})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []schemas.Event{
		decision("a", schemas.Block, "0.0.0.0/0", time.Hour), decision("a b", schemas.Block, "192.0.2.1", time.Hour),
		decision("a\nset map", schemas.Block, "192.0.2.1", time.Hour), decision("a", "nothing", "192.0.2.1", time.Hour),
		decision("a", schemas.Block, "255.255.255.255", time.Hour),
	} {
		if e.Apply(d); len(e.intended) != 0 {
			t.Errorf("%+v is held", d.Decision)
		}
	}
	if _, err := New(Options{Socket: "/s", Map: "/m; show env"}); err == nil {
		t.Error("a map's name with a command in it")
	}
}

// Whom a person allows passes, although a decision names the address or its network, and
// no longer once that ends.
func TestSparedAddressesPass(t *testing.T) {
	p := newProxy(t)
	p.start()
	e := p.edge()
	now := time.Now()
	e.Replace(decision("a", schemas.Block, "192.0.2.7", time.Hour))
	p.step(e, now)
	p.want("192.0.2.7", 403, "a")
	e.Spare([]netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")})
	p.step(e, now)
	p.want("192.0.2.7", 200, "the site")
	p.want("192.0.2.8", 200, "the site") // allowed by configuration, still
	e.Replace(decision("b", schemas.Block, "192.0.2.0/24", time.Hour))
	p.step(e, now)
	p.want("192.0.2.7", 200, "the site")
	e.Spare(nil)
	p.step(e, now)
	p.want("192.0.2.7", 403, "b")
	p.want("192.0.2.8", 200, "the site")
}

// byHand is the same decision, taken by a person.
func byHand(e schemas.Event) schemas.Event {
	d := *e.Decision
	d.Origin, e.Decision = "alice", &d
	return e
}

// A regular passes although weir decided on the address or its network, IPv4 and IPv6, and
// not where a person decided; who is none any more is stopped again.
func TestRegularsPass(t *testing.T) {
	p := newProxy(t)
	p.start()
	e := p.edge()
	now := time.Now()
	regulars := func(clients ...string) {
		var list []netip.Addr
		for _, c := range clients {
			list = append(list, netip.MustParseAddr(c))
		}
		e.Regulars((*schemas.RegularSet)(nil).With(3, []schemas.SiteRegulars{{Site: "shop.example", Clients: list}}))
		p.step(e, now)
	}
	const six = "2001:db8:0:7::8"
	e.Replace(decision("a", schemas.Block, "192.0.2.7", time.Hour), decision("b", schemas.Block, "2001:db8::/48", time.Hour))
	p.step(e, now)
	p.want("192.0.2.7", 403, "a")
	p.want(six, 403, "b")
	regulars("192.0.2.7", "2001:db8:0:7::")
	p.want("192.0.2.7", 200, "the site")
	p.want(six, 200, "the site")
	p.want("2001:db8::1", 403, "b")
	if s := e.Status(); s.Intended != 2 || e.loaded != 2 {
		t.Errorf("intended %d, loaded %d", s.Intended, e.loaded)
	}
	e.Apply(byHand(decision("c", schemas.Throttle, "192.0.2.0/24", time.Hour)), byHand(decision("d", schemas.Throttle, "2001:db8::/32", time.Hour)))
	p.step(e, now)
	p.want("192.0.2.7", 429, "c")
	p.want(six, 429, "d") // not what weir decided on the narrower network
	p.want("2001:db8::1", 403, "b")
	e.Apply(byHand(decision("e", schemas.Block, "192.0.2.7", time.Hour)))
	p.step(e, now)
	p.want("192.0.2.7", 403, "e")
	e.Replace(decision("a", schemas.Block, "192.0.2.0/24", time.Hour))
	regulars()
	p.want("192.0.2.7", 403, "a")
}

// What HAProxy stops is counted, across a new start of HAProxy; not what was before, and not
// what it lets through.
func TestWhatIsStoppedIsCounted(t *testing.T) {
	p := newProxy(t)
	p.start()
	e := p.edge()
	e.Replace(decision("a", schemas.Block, "192.0.2.7", time.Hour), decision("b", schemas.Throttle, "192.0.2.1", time.Hour))
	p.step(e, time.Now())
	p.want("192.0.2.7", 403, "a") // before anybody counts
	count := func(want uint64) {
		t.Helper()
		if err := e.count(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := e.Status().Matched; got != want {
			answer, _ := ask(t.Context(), p.options.Socket, "show table "+matchingTable)
			t.Fatalf("%d are counted, want %d\n%s", got, want, answer)
		}
	}
	count(0)
	p.want("192.0.2.7", 403, "a")
	p.want("192.0.2.7", 403, "a")
	p.want("192.0.2.1", 429, "b")
	p.want("192.0.2.8", 200, "the site")
	count(3)
	count(3)
	p.start()
	p.want("192.0.2.7", 403, "a")
	count(4)
}

// BenchmarkLoad puts a map of 100,000 decisions in place, a fifth of IPv6.
func BenchmarkLoad(b *testing.B) {
	p := newProxy(b)
	p.start()
	e := p.edge()
	events := make([]schemas.Event, 100_000)
	for i := range events {
		value := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
		if i%5 == 0 {
			value = netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)})
		}
		events[i] = decision(fmt.Sprint("i1-", i), schemas.Block, value.String(), time.Hour)
	}
	e.Replace(events...)
	for b.Loop() {
		e.dirty = true
		if err := e.step(b.Context(), time.Now()); err != nil {
			b.Fatal(err)
		}
		if e.loaded != len(events) {
			b.Fatalf("%d loaded", e.loaded)
		}
	}
}
