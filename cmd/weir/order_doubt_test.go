package main

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestBacklogsAreNotDoubted: an edge that was cut off for hours and sends what it kept, at whatever
// pace, has no wrong clock; nor has one whose log has a few requests that took an hour.
func TestBacklogsAreNotDoubted(t *testing.T) {
	for _, pace := range []int64{3, 20, 400, 20_000} {
		for _, cut := range []int64{40 * 60_000, 5 * 3600_000} {
			t.Run(fmt.Sprintf("cut off for %d min, at %d times the pace", cut/60_000, pace), func(t *testing.T) {
				o, at := newOrder(), int64(0)
				third := func(now int64) int64 { return min(-cut+now*pace, now) }
				for ; at < 400_000 && third(at) < at-60_000 || at < 200_000; at += 500 {
					addAt(o, "first", at, at, 3)
					addAt(o, "third", third(at), at, 20)
					o.release(o.level(noon.Add(time.Duration(at)*time.Millisecond)), func(*schemas.Batch) {})
					if skews := o.skews(); len(skews) > 0 {
						t.Fatalf("after %d ms: %+v", at, skews)
					}
				}
			})
		}
	}
	o := newOrder()
	for at := int64(0); at < 300_000; at += 500 {
		addAt(o, "first", at, at, 3)
		addAt(o, "third", at, at, 20)
		if at%10_000 == 0 {
			addAt(o, "third", at-3600_000, at, 1)
		}
		if skews := o.skews(); len(skews) > 0 {
			t.Fatalf("one of 400 requests took an hour: %+v", skews)
		}
	}
}

// addAt adds a batch of an edge with rows of times until ms after noon, that comes at so many.
func addAt(o *order, edge string, until, comes int64, rows int) {
	b := schemas.NewBuilder(edge, "log")
	for i := range rows {
		b.Append(&schemas.Request{Time: noon.UnixMilli() + until - int64(rows-1-i)*10, Site: []byte(edge), Client: netip.MustParseAddr("192.0.2.1")})
	}
	b.Batch().Watermark = noon.UnixMilli() + until
	came := noon.Add(time.Duration(comes+300) * time.Millisecond)
	o.add(b.Batch(), 1, came, came)
}
