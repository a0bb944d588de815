package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/demo"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nginx"
)

// realNginx runs an nginx for shop.example, with weir's snippets, until the test ends.
func realNginx(t *testing.T) (n *demo.Nginx, weirDir string) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(app.Close)
	dir, err := os.MkdirTemp("", "weir-") // nginx's workers are another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	weirDir = filepath.Join(dir, "weir")
	if err := nginx.Install(weirDir, nginx.SnippetOptions{}); err != nil {
		t.Fatal(err)
	}
	n, err = demo.NewNginx(demo.NginxOptions{
		Dir: dir, Application: strings.TrimPrefix(app.URL, "http://"), Sites: []demo.NginxSite{{Name: "shop.example"}},
		HTTP: filepath.Join(weirDir, nginx.HTTPName), Server: filepath.Join(weirDir, nginx.ServerName),
	})
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err := n.Write(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-n.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return n, weirDir
}

// counterOf counts one partition for the test, under a lease of that token.
func counterOf(t *testing.T, b *bus.Bus, parts *processor.Parts, partition int, token uint64) *counting {
	t.Helper()
	return &counting{
		processing: &processing{bus: b, parts: parts, log: slog.New(slog.DiscardHandler)},
		partition:  partition, token: token, counter: parts.Counter(schemas.Partitions),
	}
}

// visits counts one request an hour of a client, for so many days.
func (c *counting) visits(client netip.Addr, days int) {
	begin := time.Now().Add(-time.Duration(days) * 24 * time.Hour).Truncate(time.Hour)
	b := schemas.NewBuilder("edge", "access.log")
	for at := begin; at.Before(begin.Add(time.Duration(days) * 24 * time.Hour)); at = at.Add(time.Hour) {
		b.Append(&schemas.Request{
			Time: at.UnixMilli(), Site: []byte("shop.example"), Client: client, Method: []byte("GET"), Path: []byte("/"), Status: 200,
			UserAgent: []byte("Bad"), Fields: schemas.FieldSite | schemas.FieldUserAgent,
		})
	}
	c.counter.Count(b.Batch(), func(int64, []*processor.Pane) {})
}

// Who came for days while nothing was wrong is told over NATS and passes at a real nginx; a
// newcomer does not. Whoever takes a partition over goes on with that, and who has lost it
// is not heard.
func TestRegularsReachNginx(t *testing.T) {
	edge := newLiveEdge(t)
	status := func(client netip.Addr) int {
		return edge.ask("/", "X-Forwarded-For", client.String(), "User-Agent", "Bad")
	}
	decisions := 0
	decide := func(scope schemas.Scope, value string) {
		decisions++
		e := added(fmt.Sprint("i1-", decisions), "i1", "weir", "shop.example")
		e.Scope, e.Value, e.Expires = scope, value, time.Now().Add(time.Hour)
		edge.decide(e)
	}
	// What regulars there are is loaded with the next decision, so that each try is one.
	until := func(what string, ok func() bool) {
		t.Helper()
		edge.until(what, func() { decide(schemas.ScopeClient, fmt.Sprintf("203.0.113.%d", decisions%250)) }, ok)
	}
	regular, newcomer := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	partition := schemas.PartitionOf(regular)
	decide(schemas.ScopeSignature, `user_agent="Bad"`)
	until("nothing is refused", func() bool {
		return status(regular) == http.StatusForbidden && status(newcomer) == http.StatusForbidden
	})

	parts, err := processor.NewParts(processor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tell := func(c *counting, client netip.Addr) {
		told := c.tellRegulars()
		c.visits(client, 3)
		told(edge.ctx) // known as a regular from now on
		c.counter.Advance(time.Now().Add(time.Hour).UnixMilli(), func(int64, []*processor.Pane) {})
		told(edge.ctx)
	}
	tell(counterOf(t, edge.bus, parts, partition, 7), regular)
	until("a regular does not pass", func() bool { return status(regular) == http.StatusOK })
	if got := status(newcomer); got != http.StatusForbidden {
		t.Errorf("a newcomer gets %d", got)
	}

	second := counterOf(t, edge.bus, parts, partition, 9)
	second.visits(regular, 3) // a moment ago: it would not be told by who begins anew
	second.tellRegulars()(edge.ctx)
	tell(counterOf(t, edge.bus, parts, partition, 8), newcomer)
	other := newcomer.Next()
	for schemas.PartitionOf(other) == partition {
		other = other.Next()
	}
	tell(counterOf(t, edge.bus, parts, schemas.PartitionOf(other), 1), other)
	until("what was told last is not heard", func() bool { return status(other) == http.StatusOK })
	if got := [2]int{status(regular), status(newcomer)}; got != [2]int{http.StatusOK, http.StatusForbidden} {
		t.Errorf("after a takeover a regular and a newcomer get %d", got)
	}
}
