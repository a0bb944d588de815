package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/embedded"
)

// gate is the way to a ClickHouse server by TCP, and what may be wrong with it.
type gate struct {
	address  string
	protocol embedded.Protocol
	store    *embedded.Store

	mu       sync.Mutex
	listener net.Listener // nil: nobody listens
	conns    map[net.Conn]struct{}
	open     chan struct{} // closed while bytes pass
	piping   sync.WaitGroup
}

func newGate(t *testing.T, store *embedded.Store, protocol embedded.Protocol) *gate {
	g := &gate{address: freeAddress(t), protocol: protocol, store: store, conns: make(map[net.Conn]struct{}), open: make(chan struct{})}
	close(g.open)
	t.Cleanup(func() { g.stall(); g.away(); g.piping.Wait() })
	return g
}

// back listens again; where somebody took the port meanwhile it waits for it.
func (g *gate) back(ctx context.Context) error {
	for {
		l, err := net.Listen("tcp", g.address)
		if err == nil {
			g.mu.Lock()
			g.listener = l
			g.mu.Unlock()
			g.piping.Go(func() { g.accept(ctx, l) })
			return nil
		}
		if pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// away ends every connection and refuses new ones.
func (g *gate) away() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		g.listener.Close()
		g.listener = nil
	}
	for c := range g.conns {
		c.Close()
	}
}

// cut ends every connection in the middle of whatever it is at.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.Close()
	}
}

// stall lets nothing pass any more: connections are accepted, and nobody answers.
func (g *gate) stall() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		g.open = make(chan struct{})
	default:
	}
}

// resume lets pass what has waited.
func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

func (g *gate) accept(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		g.piping.Go(func() { g.pipe(ctx, c) })
	}
}

func (g *gate) keep(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[c] = struct{}{}
}

func (g *gate) forget(c net.Conn) {
	c.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

func (g *gate) pipe(ctx context.Context, c net.Conn) {
	g.keep(c)
	defer g.forget(c)
	server, err := g.store.Dial(ctx, g.protocol)
	if err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { g.copy(ctx, server, c) })
	both.Go(func() { g.copy(ctx, c, server) })
	both.Wait()
}

// copy copies until either end is closed, and closes the other then.
func (g *gate) copy(ctx context.Context, to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	piece := make([]byte, 16<<10)
	for {
		n, err := from.Read(piece)
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return
		}
		if _, writeErr := to.Write(piece[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// server is a ClickHouse that weir reaches by a DSN, over two gates.
type server struct {
	native, http *gate
	metrics      string // the address of the weir that stores into it
}

func startServer(t *testing.T) *server {
	t.Helper()
	needClickHouse(t)
	store := embedded.New(embedded.Options{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	access, err := store.Access(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !access.Native {
		t.Skip(embedded.ErrNoNative)
	}
	s := &server{metrics: freeAddress(t), native: newGate(t, store, embedded.Native), http: newGate(t, store, embedded.HTTP)}
	t.Cleanup(cancel) // before the gates wait for their connections
	s.each(func(g *gate) {
		if err := g.back(ctx); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

func (s *server) each(do func(*gate)) {
	do(s.native)
	do(s.http)
}

func (s *server) dsn() string {
	_, port, _ := net.SplitHostPort(s.http.address)
	return fmt.Sprintf("clickhouse://default@%s/default?http_port=%s", s.native.address, port)
}

// configuration is that of a weir run that follows one log and stores into s.
func (s *server) configuration(t *testing.T, dir, log string) string {
	t.Helper()
	path := filepath.Join(dir, "weir.yml")
	text := fmt.Sprintf("data: %s\nhttp: {listen: %q}\nclickhouse: {dsn: %q}\nsources: [{file: %s, site: numbered.example.org}]\n",
		filepath.Join(dir, "data"), s.metrics, s.dsn(), log)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// holds waits until the server has every numbered line once, each as itself.
func (s *server) holds(t *testing.T, lines int) {
	t.Helper()
	want, got := fmt.Sprintf("%d\t%d\t%d\t%d\t%d", lines, lines, lines-1, lines, lines), ""
	defer func() {
		if t.Failed() {
			t.Logf("count, distinct, greatest, weight, in the rollups: %s, want %s", strings.ReplaceAll(got, "\t", " "), strings.ReplaceAll(want, "\t", " "))
		}
	}()
	until(t, "all lines are in ClickHouse, once", func() (all bool) {
		var err error
		got, err = weir(t, "sql", "--clickhouse", s.dsn(), "SELECT count(), uniqExact(path), max(toUInt32(substring(path, 4))), sum(weight), (SELECT sum(requests) FROM rollup_10s) FROM requests")
		if err != nil {
			got = err.Error()
		}
		return got == want
	})
	rollupsAreTheRows(t, lines, func(sql string) (string, error) { return weir(t, "sql", "--clickhouse", s.dsn(), sql) })
}

// tortureLength is what WEIR_TORTURE says, or else the short form.
func tortureLength(t *testing.T, short time.Duration) time.Duration {
	t.Helper()
	given := os.Getenv("WEIR_TORTURE")
	if given == "" {
		return short
	}
	length, err := time.ParseDuration(given)
	if err != nil {
		t.Fatalf("WEIR_TORTURE=%s: %v", given, err)
	}
	return length
}

// TestServerStallsAndIsAway follows a log into a ClickHouse server that again and again
// accepts and does not answer, refuses, and breaks off, while weir is killed now and
// then: every line is there at the end, once. With WEIR_TORTURE=10m, ten minutes of it.
func TestServerStallsAndIsAway(t *testing.T) {
	s := startServer(t)
	length := tortureLength(t, 8*time.Second)
	dir := t.TempDir()
	log := filepath.Join(dir, "access.log")
	config := s.configuration(t, dir, log)
	lines := int(length/(20*time.Millisecond)) * 50
	written := numberedLines(t, log, lines, 20*time.Millisecond)
	r := rand.New(rand.NewPCG(8, uint64(length)))
	atMost := min(length/8, 20*time.Second)
	some := func() { pause(t.Context(), 50*time.Millisecond+time.Duration(r.Int64N(int64(atMost)))) }
	w := startWith(t, config)
	done := make(map[string]int)
	for began := time.Now(); time.Since(began) < length; {
		kind := []string{"stalled", "stalled and broken off", "refused", "broken off", "weir killed"}[r.IntN(5)]
		done[kind]++
		switch kind {
		case "stalled":
			s.each((*gate).stall)
			some()
			s.each((*gate).resume)
		case "stalled and broken off":
			s.each((*gate).stall)
			some()
			s.each((*gate).cut)
			s.each((*gate).resume)
		case "refused":
			s.each((*gate).away)
			some()
			s.each(func(g *gate) {
				if err := g.back(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		case "broken off":
			s.each((*gate).cut)
		case "weir killed":
			w.kill()
			w = startWith(t, config)
		}
		some()
	}
	written()
	s.holds(t, lines)
	w.end(t)
	t.Logf("%d lines; %v", lines, done)
}

// TestServerIsAwayForAnHour has weir read an hour of log, 12 requests a second (120 with
// WEIR_TORTURE), while nobody listens where ClickHouse should be. All of it waits in NATS, and once there is a
// ClickHouse every request is a row, none of them sampled.
func TestServerIsAwayForAnHour(t *testing.T) {
	s := startServer(t)
	s.each((*gate).away)
	dir := t.TempDir()
	log := filepath.Join(dir, "access.log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	const seconds = 3600
	each := 12
	if os.Getenv("WEIR_TORTURE") != "" {
		each = 120
	}
	began := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	w := bufio.NewWriter(f)
	for i := range seconds * each {
		fmt.Fprintf(w, "198.51.%d.%d - - [%s] \"GET /n/%d HTTP/1.1\" 200 10 \"-\" \"numbered\"\n",
			i/250%250, i%250, began.Add(time.Duration(i/each)*time.Second).Format("02/Jan/2006:15:04:05 -0700"), i)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	weir := startWith(t, s.configuration(t, dir, log))
	until(t, "the hour is in NATS", func() bool { return metricOf(t, s.metrics, "weir_collector_lines_total", "") == float64(seconds*each) })
	s.each(func(g *gate) {
		if err := g.back(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	s.holds(t, seconds*each)
	weir.end(t)
}
