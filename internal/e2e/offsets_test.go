package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/top"
	"github.com/weir-project/weir/schemas"
)

// TestEdgesThatAreOff: of five edges that send at the pace of the clock one is 25 seconds behind,
// one 15 ahead, one's clock stands still, and one says anything once in ten times. All four are
// named, and the other is not.
func TestEdgesThatAreOff(t *testing.T) {
	f := startFleet(t, 0)
	address := freeAddress(t)
	f.members = append(f.members, startCommand(t, "--config", f.config, "process", "--http", address))
	f.settled()
	offsets := map[string]time.Duration{"right": 0, "behind": -25 * time.Second, "ahead": 15 * time.Second}
	stuck := time.Now().Add(-20 * time.Minute)
	random := rand.New(rand.NewPCG(1, 2))
	clients := clientsOfPartitions(1)
	var sent time.Time
	until(t, "the four edges that are off are named", func() bool {
		now := time.Now()
		if now.Sub(sent) < 500*time.Millisecond {
			return false
		}
		sent = now
		for _, edge := range []string{"behind", "ahead", "stuck", "random", "right"} {
			for p := range schemas.Partitions {
				b := schemas.NewBuilder(edge, "access.log")
				ms := now.Add(offsets[edge]).UnixMilli()
				switch {
				case edge == "stuck":
					ms = stuck.UnixMilli()
				case edge == "random" && random.IntN(10) == 0:
					ms = random.Int64N(2 * ms)
				}
				b.Append(&schemas.Request{Time: ms, Site: []byte("www.example"), Client: clients[p][0], Method: []byte("GET"), Path: []byte("/"), Status: 200, Fields: schemas.FieldSite})
				b.Batch().Watermark = ms
				f.publish(p, b.Batch())
			}
		}
		var o top.Overview
		if err := json.Unmarshal(fetched(t, "http://"+address+"/api/overview"), &o); err != nil {
			t.Fatal(err)
		}
		named := 0
		for _, c := range o.Clocks {
			if doubted := c.Edge == "stuck" || c.Edge == "random"; doubted != (c.Doubted > 0) {
				t.Fatalf("named: %+v", o.Clocks)
			}
			off := time.Duration(c.Ahead*float64(time.Second)) - offsets[c.Edge]
			if c.Edge == "right" || off.Abs() > 4*time.Second {
				t.Fatalf("named: %+v", o.Clocks)
			}
			named++
		}
		return named == 4
	})
	metrics := string(fetched(t, "http://"+address+"/metrics"))
	for _, want := range []string{`weir_processor_clock_skew_seconds{edge="behind",source="access.log"} -2`, `weir_processor_clock_skew_seconds{edge="ahead",source="access.log"} 1`,
		`weir_processor_clock_doubted_share{edge="stuck",source="access.log"} 1`, `weir_processor_clock_doubted_share{edge="random",source="access.log"} 0.`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if screen := mustWeir(t, "top", "--once", "--http", address); !strings.Contains(screen, "or its requests come late") || !strings.Contains(screen, "standing still or jumping: 100") {
		t.Errorf("weir top does not name the edges that are off:\n%s", screen)
	}
	f.members[0].end(t)
	if text := f.members[0].log.String(); !strings.Contains(text, "or_late_by=2") || !strings.Contains(text, "stands still or jumps") || strings.Contains(text, "edge=right") {
		t.Errorf("the log should name the edges that are off, and no other:\n%.3000s", text)
	}
}
