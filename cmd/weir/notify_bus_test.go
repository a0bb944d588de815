package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nginx"
	"github.com/weir-project/weir/sinks/notify"
)

// TestPeopleAreToldFromTheBus publishes events as the processor does, on a real bus, and
// stops in between: what came meanwhile is told after, and nothing twice.
func TestPeopleAreToldFromTheBus(t *testing.T) {
	var mu sync.Mutex
	var told []notify.Message
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m notify.Message
		if err := json.Unmarshal(body, &m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		told = append(told, m)
	}))
	defer hook.Close()
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(told) }

	log := slog.New(slog.DiscardHandler)
	b, err := bus.Open(t.Context(), bus.Options{Dir: filepath.Join(t.TempDir(), "nats"), StartTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c := config.Default()
	c.Data, c.Mode, c.Notify.Gather = t.TempDir(), config.Enforce, time.Millisecond
	c.Notify.Channels = map[string]config.Channel{"hook": {Type: "webhook", URL: config.Secret(hook.URL), Token: "key"}}
	desk := &desk{bus: b, board: newBoard(), log: log}

	run := func(during func()) {
		metrics := prometheus.NewRegistry()
		watch := &health{data: c.Data, metrics: metrics, ready: b.Check, bus: b.Check, edge: func() (nginx.Status, bool) { return nginx.Status{}, false }}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n, err := newNotifying(ctx, b, c, "stream", watch, nil, nil, log, metrics)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- n.run(ctx) }()
		during()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	wait := func(n int) {
		t.Helper()
		deadline, tick := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
		defer tick.Stop()
		for count() < n {
			select {
			case <-deadline:
				t.Fatalf("%d messages, want %d", count(), n)
			case <-tick.C:
			}
		}
	}
	event := func(kind schemas.EventType) schemas.Event {
		now := time.Now()
		e := schemas.Event{Type: kind, Time: now, Opened: now, Sites: []string{"www.example.org"}, Incident: "i1", Kind: schemas.Flood,
			Signals: []schemas.Signal{{Name: schemas.RequestRate, Value: 112}, {Name: schemas.StoppedShare}, {Name: schemas.UnservedShare, Value: 0.62}}}
		if kind == schemas.IncidentClosed {
			e.Closed = now
		}
		return e
	}
	publish := func(e schemas.Event) {
		t.Helper()
		if err := desk.publish(t.Context(), []schemas.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	run(func() {
		publish(event(schemas.IncidentOpened))
		wait(1)
	})
	publish(event(schemas.IncidentClosed)) // nobody listens
	run(func() { wait(2) })
	run(func() { wait(2) })
	desk.revision = map[string]uint64{schemas.StreamIncidents: 5}
	e := event(schemas.IncidentOpened)
	e.Incident = "i2"
	run(func() { publish(e); wait(3) })
	// A detector that was replaced speaks after a restart, and then the one in office.
	stale := event(schemas.IncidentClosed)
	stale.Incident = "i2"
	if err := desk.send(t.Context(), 4, []schemas.Event{stale}); err != nil {
		t.Fatal(err)
	}
	over := event(schemas.IncidentClosed)
	over.Incident, over.Closed = "i2", over.Opened.Add(time.Hour)
	run(func() { publish(over); wait(4) })
	if !strings.Contains(strings.Join(told[3].Lines, " "), "1 h 0 min") {
		t.Errorf("a detector that was replaced is believed: %s", told[3].Lines)
	}
	told = told[:2]
	if len(told) != 2 || told[0].Kind != notify.Opened || told[1].Kind != notify.Closed || told[0].Thread != told[1].Thread {
		t.Fatalf("%+v", told)
	}
	if !strings.HasPrefix(told[0].Headline, "38 % of visitors are being served;") {
		t.Error(told[0].Headline)
	}
}

// TestAilments: what an on-call engineer would want to know, and nothing on a good day.
func TestAilments(t *testing.T) {
	registry := prometheus.NewRegistry()
	lag := prometheus.NewGauge(prometheus.GaugeOpts{Name: lagMetric})
	lines := prometheus.NewCounter(prometheus.CounterOpts{Name: linesMetric})
	lost := prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_bus_lost_total"})
	skew := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: skewMetric}, []string{"edge", "source"})
	doubted := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: doubtMetric}, []string{"edge", "source"})
	registry.MustRegister(lag, lines, lost, skew, doubted)
	var status nginx.Status
	var down error
	h := &health{data: t.TempDir(), metrics: registry, ready: func() error { return nil }, bus: func() error { return down },
		edge: func() (nginx.Status, bool) { return status, true }}
	want := func(what, want string) {
		t.Helper()
		var keys []string
		for _, a := range h.ailing() {
			if a.Key != "disk" { // of the machine that the test runs on
				keys = append(keys, strings.TrimSpace(a.Key))
			}
		}
		if got := strings.Join(keys, ", "); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	lost.Add(3) // before weir looked: of an earlier life
	want("a good day", "")
	lag.Set(45)
	lines.Inc()
	want("a log is read late", "lag")
	lag.Set(1)
	want("and in time again", "")
	skew.WithLabelValues("slow", "a").Set(-25) // corrected, and no more than that
	want("an edge is late", "")
	skew.WithLabelValues("behind", "a").Set(-10_800)
	skew.WithLabelValues("behind", "b").Set(-10_800)
	doubted.WithLabelValues("stuck", "a").Set(1)
	want("clocks are wrong", "clock of behind, clock of stuck")
	skew.Reset()
	doubted.Reset()
	want("and right again", "")
	lost.Inc()
	want("something was lost", "loss weir_bus_lost_total")
	status = nginx.Status{Intended: 7, Err: io.ErrUnexpectedEOF}
	want("nginx refuses, a moment", "loss weir_bus_lost_total")
	h.behind = h.behind.Add(-time.Minute)
	want("nginx refuses", "loss weir_bus_lost_total, edge "+edgeLocation)
	status = nginx.Status{}
	down = io.ErrClosedPipe
	want("NATS is away", "bus, loss weir_bus_lost_total")
	if h.healthy() == nil {
		t.Error("a heartbeat without NATS")
	}
}
