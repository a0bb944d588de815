package main

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// Which paths a site has goes over NATS to a real nginx: what a decision asks for is refused
// there until the list has come, and a page that is published later is let through.
func TestKnownPathsReachNginx(t *testing.T) {
	n, weirDir := realNginx(t)
	b, err := bus.Open(t.Context(), bus.Options{Dir: t.TempDir(), StartTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	c := config.Default()
	c.Mode, c.Data = config.Enforce, t.TempDir()
	c.Nginx.Directory, c.Nginx.Test, c.Nginx.Reload, c.Nginx.MinReloadInterval = weirDir, n.TestCommand(), n.ReloadCommand(), 10*time.Millisecond
	r, err := newEnforcing(nearBus{b}, c, newApplications(c), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var roles stage
	defer roles.wait()
	defer cancel()
	r.keep(ctx, &roles)

	ask := func(path string) int {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Address()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Host = "shop.example"
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
		if err != nil {
			return 0
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); <-time.After(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	e := added("i1-1", "i1", "weir", "shop.example")
	e.Action, e.Scope, e.Value, e.Expires = schemas.Throttle, schemas.ScopeSignature, `method="GET" path_known="no"`, time.Now().Add(time.Hour)
	messages, err := schemas.EncodeEvents(1, false, []schemas.Event{e})
	if err == nil {
		err = b.Publish(ctx, schemas.SubjectDecisions, "", messages[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	until("the decision is not refused for want of a list", func() bool { s, _ := r.status(); return len(s.Refused) == 1 })
	if got := ask("/random"); got != http.StatusOK {
		t.Errorf("without a list an unknown page gets %d", got)
	}

	tell := func(token uint64, paths ...string) {
		d := &detecting{processing: &processing{bus: b, log: slog.New(slog.DiscardHandler)}, token: token}
		d.takeKnown(time.Now(), &schemas.SitePaths{Site: "shop.example", Paths: paths})
		d.sendKnown(ctx)
		if len(d.known) > 0 {
			t.Fatal("a list was not published")
		}
	}
	tell(7, "/", "/page")
	until("an unknown page is not throttled", func() bool { return ask("/random") == http.StatusTooManyRequests })
	if got := ask("/Page?x=1"); got != http.StatusOK {
		t.Errorf("a known page gets %d", got)
	}
	tell(6, "/random") // a detector that was replaced
	tell(7, "/", "/new", "/page")
	until("a page that was published is not let through", func() bool { return ask("/new") == http.StatusOK })
	if got := ask("/random"); got != http.StatusTooManyRequests {
		t.Errorf("after that an unknown page gets %d", got)
	}
}
