package live

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/weir-project/weir/schemas"
)

// batch is a message of requests to one site.
func batch(t testing.TB, site string, n int, status uint16, action string) []byte {
	t.Helper()
	b := schemas.NewBuilder("edge-1", "log")
	for range n {
		b.Append(&schemas.Request{
			Time: 1_795_237_200_000, Site: []byte(site), Status: status, Client: netip.MustParseAddr("192.0.2.1"),
			Method: []byte("GET"), Path: []byte("/"), Protocol: []byte("HTTP/1.1"), Action: []byte(action),
		})
	}
	message, err := schemas.EncodeBatch(nil, b.Batch())
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// TestCounting counts what became of requests over a second of ticks, tells unknown from
// nothing, and is bounded by whatever sites somebody names.
func TestCounting(t *testing.T) {
	c := newCounter()
	now := time.Unix(1_795_237_200, 0)
	tick := func(connected bool) Tick { now = now.Add(Every); return c.tick(now, connected) }
	for range window - 1 {
		if got := tick(true); got.Known {
			t.Error("known before a second was heard")
		}
	}
	for _, m := range [][]byte{batch(t, "a", 8, 200, ""), batch(t, "a", 4, 502, "allow"), batch(t, "b", 2, 403, "block"), batch(t, "b", 1, 499, "")} {
		if err := c.batch(m); err != nil {
			t.Fatal(err)
		}
	}
	got := tick(true)
	if !got.Known || got.Total != (Rates{8, 5, 2}) || got.Sites["a"] != (Rates{8, 4, 0}) || got.Sites["b"] != (Rates{0, 1, 2}) {
		t.Errorf("%+v", got)
	}
	for range window - 1 {
		if got = tick(true); got.Total.All() != 15 {
			t.Errorf("within the second: %+v", got)
		}
	}
	if got = tick(true); !got.Known || got.Total.All() != 0 || len(got.Sites) != 0 {
		t.Errorf("after it: %+v", got)
	}
	if got = tick(false); got.Known {
		t.Error("nothing is known while NATS is away")
	}
	if got = tick(true); got.Known {
		t.Error("nothing is known of the second in which NATS was away")
	}
	for i := range 3 * MaxSites {
		if err := c.batch(batch(t, string(rune('a'+i%26))+time.Duration(i).String(), 1, 200, "")); err != nil {
			t.Fatal(err)
		}
	}
	if got = tick(true); len(got.Sites) != MaxSites || got.Total.Served != 3*MaxSites {
		t.Errorf("%d sites, %v in all", len(got.Sites), got.Total)
	}
	if c.batch([]byte("no batch")) == nil || c.signals([]byte("{")) == nil {
		t.Error("what is no message was taken")
	}
}

// TestHourIsFlat counts an hour of ticks, every second with other sites: what is held at the
// end is what was held at the beginning.
func TestHourIsFlat(t *testing.T) {
	c := newCounter()
	now := time.Unix(1_795_237_200, 0)
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	row, err := json.Marshal(schemas.SignalRow{Site: "a", Window: "10s", Signal: schemas.Signal{Name: "request_rate", Value: 1}})
	if err != nil {
		t.Fatal(err)
	}
	messages := make([][]byte, 64)
	for i := range messages {
		messages[i] = batch(t, time.Duration(i).String(), 3, 200, "")
	}
	minute := func() {
		for i := range 60 * window {
			now = now.Add(Every)
			if c.batch(messages[i%len(messages)]) != nil || c.signals(row) != nil {
				t.Fatal("a message was refused")
			}
			c.tick(now, true)
		}
	}
	minute()
	before := held()
	for range 59 {
		minute()
	}
	if after := held(); after > before+1<<20 {
		t.Errorf("%d bytes after a minute, %d after an hour", before, after)
	}
}

// natsServer is a real one, on a port that it keeps.
func natsServer(t *testing.T, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("NATS does not start")
	}
	return s
}

// until waits for a tick.
func until(t *testing.T, w *Watch, what string, wanted func(Tick) bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case tick, open := <-w.Ticks():
			if !open {
				t.Fatalf("%s: the watch was closed", what)
			}
			if wanted(tick) {
				return
			}
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// TestNATSLostAndFound watches over a NATS that goes away and comes back: unknown in
// between, and then what comes in, by the same watch. Fifty viewers share one subscription,
// and with the last of them it ends.
func TestNATSLostAndFound(t *testing.T) {
	s := natsServer(t, -1)
	address := s.ClientURL()
	port := s.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
	conn, err := nats.Connect(address, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	h := New(conn, slog.New(slog.DiscardHandler))
	defer h.Close()
	var watches []*Watch
	for range 50 {
		w, err := h.Watch()
		if err != nil {
			t.Fatal(err)
		}
		watches = append(watches, w)
	}
	message := batch(t, "a", 4, 200, "")
	say := func(address string) {
		t.Helper()
		c, err := nats.Connect(address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Publish(schemas.SubjectRequests(3), message); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	coming := func(w *Watch, address, what string) {
		t.Helper()
		until(t, w, what, func(tick Tick) bool {
			if tick.Known && tick.Total.Served > 0 && tick.Sites["a"].Served > 0 {
				return true
			}
			say(address)
			return false
		})
	}
	coming(watches[0], address, "requests")
	if n := s.NumSubscriptions(); h.Watchers() != 50 {
		t.Errorf("%d watchers, %d subscriptions", h.Watchers(), n)
	}
	s.Shutdown()
	s.WaitForShutdown()
	until(t, watches[49], "unknown while NATS is away", func(tick Tick) bool { return !tick.Known })
	again := natsServer(t, int(port))
	coming(watches[49], again.ClientURL(), "requests after NATS has come back")
	for _, w := range watches {
		w.Close()
	}
	if h.Watchers() != 0 || conn.NumSubscriptions() != 0 {
		t.Errorf("%d watchers and %d subscriptions are left", h.Watchers(), conn.NumSubscriptions())
	}
	h.Close()
	if _, err := h.Watch(); err == nil {
		t.Error("a closed hub was watched")
	}
}
