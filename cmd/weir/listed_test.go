package main

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// Which paths a site has goes over NATS to a real nginx: what a decision asks for is refused
// there until the list has come, and a page that is published later is let through.
func TestKnownPathsReachNginx(t *testing.T) {
	edge := newLiveEdge(t)
	e := added("i1-1", "i1", "weir", "shop.example")
	e.Action, e.Scope, e.Value, e.Expires = schemas.Throttle, schemas.ScopeSignature, `method="GET" path_known="no"`, time.Now().Add(time.Hour)
	edge.decide(e)
	edge.until("the decision is not refused for want of a list", nil, func() bool { s, _ := edge.enforcing.status(); return len(s.Refused) == 1 })
	if got := edge.ask("/random"); got != http.StatusOK {
		t.Errorf("without a list an unknown page gets %d", got)
	}

	tell := func(token uint64, paths ...string) {
		d := &detecting{processing: &processing{bus: edge.bus, log: slog.New(slog.DiscardHandler)}, token: token}
		d.takeKnown(time.Now(), &schemas.SiteList{Site: "shop.example", Entries: paths})
		d.sendKnown(edge.ctx)
		if len(d.known) > 0 {
			t.Fatal("a list was not published")
		}
	}
	tell(7, "/", "/page")
	edge.until("an unknown page is not throttled", nil, func() bool { return edge.ask("/random") == http.StatusTooManyRequests })
	if got := edge.ask("/Page?x=1"); got != http.StatusOK {
		t.Errorf("a known page gets %d", got)
	}
	tell(6, "/random") // a detector that was replaced
	tell(7, "/", "/new", "/page")
	edge.until("a page that was published is not let through", nil, func() bool { return edge.ask("/new") == http.StatusOK })
	if got := edge.ask("/random"); got != http.StatusTooManyRequests {
		t.Errorf("after that an unknown page gets %d", got)
	}
}
