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
	other := newcomer.Next()
	for schemas.PartitionOf(other) == partition {
		other = other.Next()
	}
	// Workers of before may still answer for a moment, so that it is asked several times.
	get := func(what string, want ...int) {
		t.Helper()
		until(what, func() bool {
			for range 5 {
				for i, client := range []netip.Addr{regular, newcomer, other} {
					if got := status(client); got != want[i] {
						return false
					}
				}
			}
			return true
		})
	}
	const passes, refused = http.StatusOK, http.StatusForbidden
	decide(schemas.ScopeSignature, `user_agent="Bad"`)
	get("nothing is refused", refused, refused, refused)

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
	get("a regular does not pass, or a newcomer does", passes, refused, refused)

	second := counterOf(t, edge.bus, parts, partition, 9)
	second.visits(regular, 3) // a moment ago: it would not be told by who begins anew
	second.tellRegulars()(edge.ctx)
	tell(counterOf(t, edge.bus, parts, partition, 8), newcomer)
	tell(counterOf(t, edge.bus, parts, schemas.PartitionOf(other), 1), other)
	get("what was told last is not heard, or who lost the partition is", passes, refused, passes)
}
