package main

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestAVerifiedCrawlerIsSpared: what is published for one allows it at every edge, for a day and
// for nobody else.
func TestAVerifiedCrawlerIsSpared(t *testing.T) {
	now := time.Now()
	e, err := crawlerAllowed(netip.MustParseAddr("192.0.2.2"), "msnbot-192-0-2-2.search.msn.com", now)
	if err != nil {
		t.Fatal(err)
	}
	if e.Origin != "dns" || e.ID[0] != 'c' || e.Validate() != nil || e.Expires.Before(now.Add(crawlerFor)) {
		t.Errorf("%+v: %v", e.Decision, e.Validate())
	}
	a := newAllowing(slog.New(slog.DiscardHandler))
	if rest := a.take(false, []schemas.Event{e}); len(rest) > 0 {
		t.Errorf("edges are told %+v", rest)
	}
	if got := a.prefixes(now); !slices.Equal(got, []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}) {
		t.Errorf("edges spare %v", got)
	}
	if got := a.prefixes(now.Add(crawlerFor + 2*time.Hour)); len(got) > 0 {
		t.Errorf("two days later edges spare %v", got)
	}
}
