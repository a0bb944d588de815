package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/bus"
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

// Agents and query keys that a site does not know go the same way, on subjects of their own; an edge that starts
// later has what is newest. What an edge does not know at all, of a later version, it refuses, and does the rest.
func TestKnownAgentsAndKeysReachNginx(t *testing.T) {
	edge := newLiveEdge(t)
	for n, value := range []string{`agent_known="no" query_known="no"`, `agent_known="no" tomorrows_known="no"`} {
		e := added(fmt.Sprintf("i1-%d", n+1), "i1", "weir", "shop.example")
		e.Action, e.Scope, e.Value, e.Expires = schemas.Block, schemas.ScopeSignature, value, time.Now().Add(time.Hour)
		edge.decide(e)
	}
	edge.until("what cannot be carried is not refused", nil, func() bool { s, _ := edge.enforcing.status(); return len(s.Refused) == 2 })
	tell := func(of schemas.Listed, entries ...string) {
		d := &detecting{processing: &processing{bus: edge.bus, log: slog.New(slog.DiscardHandler)}, token: 7}
		d.takeKnown(time.Now(), &schemas.SiteList{Of: of, Site: "shop.example", Entries: entries})
		d.sendKnown(edge.ctx)
		if len(d.known) > 0 {
			t.Fatal("a list was not published")
		}
	}
	tell(schemas.ListedAgents, "mozilla/ (x; linux) firefox/")
	if got := edge.ask("/?fresh=1", "User-Agent", "strange"); got != http.StatusOK {
		t.Errorf("without a list of keys an unknown one gets %d", got)
	}
	tell(schemas.ListedQueries, "page", "q")
	edge.until("an unknown agent with an unknown key is not blocked", nil, func() bool { return edge.ask("/?fresh=1", "User-Agent", "strange") == http.StatusForbidden })
	if s, _ := edge.enforcing.status(); len(s.Refused) != 1 || s.Refused[0].ID != "i1-2" {
		t.Errorf("refused: %v", s.Refused)
	}
	for _, c := range []struct{ uri, agent string }{
		{"/?fresh=1", "Mozilla/5.0 (X11; Linux) Firefox/158.0"},
		{"/?fresh=1", "Mozilla/7.1 (x23; linux) Firefox/200.0.1"},
		{"/?page=2&Q=x", "strange"},
		{"/", "strange"},
		{"/style.css?fresh=1", "strange"},
	} {
		if got := edge.ask(c.uri, "User-Agent", c.agent); got != http.StatusOK {
			t.Errorf("%s of %q gets %d", c.uri, c.agent, got)
		}
	}
	var later schemas.ListBook
	heard := make(chan *schemas.SiteList, 2)
	go func() {
		_ = edge.bus.Follow(edge.ctx, bus.FollowOptions{Stream: schemas.StreamEdges, Subjects: schemas.SubjectsOfLists(), Reader: "later"}, func(_ context.Context, m *bus.Message) error {
			part, err := schemas.DecodeList(m.Data())
			if err == nil {
				heard <- later.Take(part)
			}
			return err
		})
	}()
	for range 2 {
		if list := <-heard; list == nil || list.Site != "shop.example" || len(list.Entries) == 0 {
			t.Errorf("an edge that starts later has %+v", list)
		}
	}
}
