package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/weir-project/weir/internal/crawler"
	"github.com/weir-project/weir/schemas"
)

// newCrawlers makes what verifies search engines by DNS; nil where the configuration does not
// want it. Who is verified is allowed for a day by a decision, as if a person had said so,
// and every edge spares him.
func newCrawlers(where string, desk *desk, log *slog.Logger) *crawler.Verifier {
	if where == "" {
		return nil
	}
	o := crawler.Options{Logger: log, VerifiedFor: crawlerFor}
	if where != "system" {
		o.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, where)
		}}
	}
	o.Verified = func(ctx context.Context, client netip.Addr, name string) error {
		e, err := crawlerAllowed(client, name, time.Now())
		if err != nil {
			return err
		}
		log.Info("a crawler is what it says it is, and is spared", "client", client, "name", name)
		return desk.publish(ctx, []schemas.Event{e})
	}
	return crawler.New(o)
}

// crawlerFor is how long who was verified is spared.
const crawlerFor = 24 * time.Hour

// crawlerAllowed is the decision that spares one.
func crawlerAllowed(client netip.Addr, name string, now time.Time) (schemas.Event, error) {
	e, err := schemas.AllowByHand(client.String(), crawlerFor+time.Hour, fmt.Sprintf("its name is %s, and that name is its own (verified by DNS)", printable(name, 200)), "dns", now)
	if err == nil {
		e.ID = "c" + e.ID[1:]
	}
	return e, err
}

// claims hands over who in a batch calls himself a crawler. Agents are looked at once a batch.
func (r *processing) claims(b *schemas.Batch, rows *schemas.Rows, now time.Time) {
	if r.crawlers == nil {
		return
	}
	rows.Reset(b)
	var engines map[uint32]int
	texts := rows.Texts()
	agents := rows.Indices(schemas.ColumnUserAgent)
	seen := make(map[uint32]bool, 16)
	for _, at := range agents {
		if seen[at] {
			continue
		}
		seen[at] = true
		if e := r.crawlers.Engine(texts[at]); e >= 0 {
			if engines == nil {
				engines = make(map[uint32]int)
			}
			engines[at] = e
		}
	}
	if engines == nil {
		return
	}
	var q schemas.Request
	for row := 0; rows.Next(&q); row++ {
		if e, ok := engines[agents[row]]; ok && !r.allowed(q.Client) {
			r.crawlers.Claim(q.Client, e, now)
		}
	}
}

// allowed reports whether the configuration spares an address already.
func (r *processing) allowed(client netip.Addr) bool { return r.spared.Contains(client.Unmap()) }
