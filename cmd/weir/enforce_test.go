package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/lapi"
)

// The enforcing role alone, on a NATS elsewhere: it starts before NATS is there, takes the
// snapshot and the changes, says what it holds, keeps that while NATS is away, and lets
// go by a command on the machine itself.
func TestEnforceAlone(t *testing.T) {
	dir := t.TempDir()
	c := config.Default()
	c.Mode, c.Data, c.HTTP.Listen, c.Edge.Name = config.Enforce, t.TempDir(), "127.0.0.1:0", "edge1"
	key, err := lapi.OpenKeys(keysFile(c.Data)).Add("one", nil, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	start := func() *natsserver.Server {
		s, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: port, NoSigs: true, JetStream: true, StoreDir: dir, NoLog: true, JetStreamMaxStore: 1 << 60})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("NATS did not start")
		}
		return s
	}
	c.NATS.URL = "nats://" + l.Addr().String()

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	next := make(chan config.Config, 1) // what the configuration says when it is read again
	again := func() (config.Config, error) { return <-next, nil }
	go func() { ended <- enforce(ctx, c, again, slog.New(slog.DiscardHandler), prometheus.NewRegistry()) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); <-time.After(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	socket := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(c.Data, controlSocket))
	}}}
	ask := func(method, path string) (int, string) {
		r, err := http.NewRequestWithContext(ctx, method, "http://weir"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Api-Key", key)
		answer, err := socket.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body)
	}
	in := func(address string) bool {
		code, body := ask(http.MethodGet, "/v1/decisions?ip="+address)
		return code == http.StatusOK && strings.Contains(body, address)
	}
	until("the edge does not answer without NATS", func() bool { code, body := ask(http.MethodGet, "/v1/decisions"); return code == 200 && body == "null" })

	nats := start()
	b, err := bus.Open(ctx, bus.Options{URL: c.NATS.URL, StartTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(snapshot bool, events ...schemas.Event) {
		t.Helper()
		messages, err := schemas.EncodeEvents(1, snapshot, events)
		if err == nil && snapshot {
			err = b.PublishSnapshot(ctx, schemas.SubjectSnapshot, messages)
		} else if err == nil {
			err = b.Publish(ctx, schemas.SubjectDecisions, "", messages[0])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(id, address string) schemas.Event {
		e := added(id, "i1", "weir", "shop.example")
		e.Value = address
		return e
	}
	publish(false, at("i1-1", "192.0.2.1"))
	publish(true, at("i1-2", "192.0.2.2"))
	publish(false, at("i1-3", "192.0.2.3"))
	until("the snapshot and the changes do not arrive", func() bool { return in("192.0.2.2") && in("192.0.2.3") && !in("192.0.2.1") })
	allow, err := schemas.AllowByHand("192.0.2.0/29", time.Hour, "the monitor", "alice", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	publish(false, allow)
	until("what a person allows is still stopped", func() bool { return !in("192.0.2.2") && !in("192.0.2.3") })
	allow = schemas.Extend(allow, 2*time.Second, "alice", time.Now())
	publish(false, allow)
	until("what was allowed does not end", func() bool { return in("192.0.2.2") && in("192.0.2.3") })
	until("the edge does not say what it holds", func() bool {
		_, data, err := b.Last(ctx, schemas.StreamEdges, schemas.SubjectEdge("edge1"))
		if err != nil || data == nil {
			return false
		}
		report, err := schemas.DecodeEdgeReport(data)
		return err == nil && report.Sequence == 5 && !report.Off && len(report.Bouncers) == 1 && !report.Bouncers[0].LastPull.IsZero()
	})

	for _, mode := range []config.Mode{config.Observe, config.Enforce} { // weir reload
		changed := c
		changed.Mode = mode
		next <- changed
		if code, body := ask(http.MethodPost, "/api/modes"); code != http.StatusOK || !strings.Contains(body, string(mode)) {
			t.Errorf("reload to %s: %d %s", mode, code, body)
		}
		until("the mode that was read again does not count", func() bool { return in("192.0.2.2") == (mode == config.Enforce) })
	}

	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	nats.Shutdown()
	nats.WaitForShutdown()
	if !in("192.0.2.2") {
		t.Error("what was in force is not, without NATS")
	}
	if code, body := ask(http.MethodPost, "/api/panic/off?everywhere=true"); code != http.StatusServiceUnavailable || !strings.Contains(body, "done on this machine") {
		t.Errorf("panic off without NATS: %d %s", code, body)
	}
	if in("192.0.2.2") || !panicked(c.Data).Off {
		t.Error("panic off needs NATS")
	}
	if code, body := ask(http.MethodPost, "/api/panic/on"); code != http.StatusServiceUnavailable || !strings.Contains(body, "as soon as NATS") {
		t.Errorf("panic on without NATS: %d %s", code, body)
	}
	nats = start()
	defer nats.Shutdown()
	until("what is in force is not again", func() bool { return in("192.0.2.2") && in("192.0.2.3") })
	for _, state := range []string{"off", "on"} {
		if code, body := ask(http.MethodPost, "/api/panic/"+state); code != http.StatusNoContent {
			t.Errorf("panic %s: %d %s", state, code, body)
		}
	}
	if !in("192.0.2.2") {
		t.Error("panic on has answered, and what is in force is not known")
	}
	var overview []json.RawMessage
	if _, body := ask(http.MethodGet, "/api/edges"); json.Unmarshal([]byte(body), &overview) != nil {
		t.Errorf("edges: %s", body)
	}
}
