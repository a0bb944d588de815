package main

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/internal/demo"
	"github.com/weir-project/weir/schemas"
)

// liveEdge is a real nginx for shop.example that a NATS of its own tells what to enforce.
type liveEdge struct {
	*enforcing
	t     *testing.T
	ctx   context.Context // until the test ends
	nginx *demo.Nginx
	bus   *bus.Bus
}

// busAndEnforce are a NATS and a configuration that enforces, each in a directory of its own.
func busAndEnforce(t *testing.T) (*bus.Bus, config.Config) {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Options{Dir: t.TempDir(), StartTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	c := config.Default()
	c.Mode, c.Data = config.Enforce, t.TempDir()
	return b, c
}

func newLiveEdge(t *testing.T) *liveEdge {
	t.Helper()
	n, weirDir := realNginx(t)
	b, c := busAndEnforce(t)
	c.Nginx.Directory, c.Nginx.Test, c.Nginx.Reload, c.Nginx.MinReloadInterval = weirDir, n.TestCommand(), n.ReloadCommand(), 10*time.Millisecond
	r, err := newEnforcing(nearBus{b}, c, newApplications(c), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var roles stage
	t.Cleanup(func() { cancel(); roles.wait() })
	r.keep(ctx, &roles)
	return &liveEdge{enforcing: r, t: t, ctx: ctx, nginx: n, bus: b}
}

// ask is the status that a GET of shop.example gets, with header names and values in turn;
// 0 where there is no answer.
func (e *liveEdge) ask(path string, header ...string) int {
	e.t.Helper()
	q, err := http.NewRequestWithContext(e.ctx, http.MethodGet, "http://"+e.nginx.Address()+path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	q.Host = "shop.example"
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// decide publishes what happened to a decision.
func (e *liveEdge) decide(event schemas.Event) {
	e.t.Helper()
	messages, err := schemas.EncodeEvents(1, false, []schemas.Event{event})
	if err == nil {
		err = e.bus.Publish(e.ctx, schemas.SubjectDecisions, "", messages[0])
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// until waits for something, with a try in between where there is one.
func (e *liveEdge) until(what string, try func(), ok func() bool) {
	e.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			e.t.Fatal(what)
		}
		if try != nil {
			try()
		}
	}
}
