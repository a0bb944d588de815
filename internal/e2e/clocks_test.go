package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/top"
	"github.com/weir-project/weir/schemas"
)

// TestEdgesWithWrongClocks sends the requests of two edges with right clocks and of four with
// wrong ones through NATS and a processor. Every window of the right ones' site has the
// requests that came in it, and none was late; and the wrong ones are named.
func TestEdgesWithWrongClocks(t *testing.T) {
	const minutes, rate = 5, 2 // requests a second, edge and partition
	f := startFleet(t, 0)
	address := freeAddress(t)
	f.members = append(f.members, startCommand(t, "--config", f.config, "process", "--http", address))
	f.settled()
	begin := time.Now().Add(-minutes * time.Minute).Truncate(10 * time.Second)
	offsets := map[string]func(time.Duration) time.Duration{
		"first":  func(time.Duration) time.Duration { return 0 },
		"second": func(time.Duration) time.Duration { return 0 },
		"behind": func(time.Duration) time.Duration { return -3 * time.Hour },
		"1970":   func(time.Duration) time.Duration { return -time.Duration(begin.UnixNano()) + time.Second },
		"2100":   func(time.Duration) time.Duration { return 74 * 365 * 24 * time.Hour },
		"jumps":  func(at time.Duration) time.Duration { return -time.Hour * (at / (2 * time.Minute)) },
	}
	order := []string{"2100", "1970", "behind", "first", "second", "jumps"}
	clients := clientsOfPartitions(rate)
	watermarks := make(map[string]int64)
	for at := time.Duration(0); at < minutes*time.Minute; at += time.Second {
		if at == time.Minute { // nobody agrees with NATS' clock: event time begins once that is clear
			until(t, "event time has begun", func() bool { return len(f.windows("www.example")) > 0 })
		}
		for _, edge := range order {
			site := edge + ".example"
			if edge == "first" || edge == "second" {
				site = "www.example"
			}
			ms := begin.Add(at + offsets[edge](at)).UnixMilli()
			watermarks[edge] = max(watermarks[edge], ms+999)
			for p := range schemas.Partitions {
				b := schemas.NewBuilder(edge, "access.log")
				for i, client := range clients[p] {
					b.Append(&schemas.Request{
						Time: ms + int64(i)*400, Site: []byte(site), Client: client, Method: []byte("GET"), Path: []byte("/"), Status: 200, Fields: schemas.FieldSite,
					})
				}
				b.Batch().Watermark = watermarks[edge]
				f.publish(p, b.Batch())
			}
		}
	}
	end := begin.Add(minutes * time.Minute)
	for _, edge := range []string{"first", "second"} {
		for p := range schemas.Partitions {
			b := schemas.NewBuilder(edge, "access.log").Batch()
			b.Watermark = end.Add(15 * time.Second).UnixMilli()
			f.publish(p, b)
		}
	}
	until(t, "the last window of the right edges' site is over", func() bool {
		return slices.ContainsFunc(f.windows("www.example"), func(at int64) bool { return at > end.Unix() })
	})
	whole := 0
	for _, at := range f.windows("www.example") {
		if at-10 < begin.Unix() || at > end.Unix() {
			continue
		}
		whole++
		got := f.until(end)[fmt.Sprintf("%s www.example %d", schemas.RequestRate, at)]
		if want := float64(2 * rate * schemas.Partitions); math.Abs(got-want) > 0.01 {
			t.Errorf("the window to %s has %g requests/s of the edges whose clocks are right, want %g", time.Unix(at, 0).UTC().Format(time.TimeOnly), got, want)
		}
	}
	if whole < minutes*6-1 {
		t.Errorf("%d whole windows in %d minutes", whole, minutes)
	}

	var o top.Overview
	if err := json.Unmarshal(fetched(t, "http://"+address+"/api/overview"), &o); err != nil {
		t.Fatal(err)
	}
	wrong := make(map[string]time.Duration)
	for _, c := range o.Clocks {
		wrong[c.Edge] = time.Duration(c.Ahead * float64(time.Second))
	}
	for edge, offset := range offsets {
		want := offset(minutes*time.Minute - time.Second)
		if got := wrong[edge]; (got - want).Abs() > 10*time.Second {
			t.Errorf("the clock of %s is said to be ahead by %s, it is by %s", edge, got, want)
		}
	}
	metrics := string(fetched(t, "http://"+address+"/metrics"))
	for _, want := range []string{`weir_processor_clock_skew_seconds{edge="behind",source="access.log"} -10`, `weir_source_delay_seconds{edge="2100"`, `weir_processor_off_time_seconds_count{side="early"}`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if screen := mustWeir(t, "top", "--once", "--http", address); !strings.Contains(screen, "2100") || !strings.Contains(screen, "ahead") {
		t.Errorf("weir top does not name the worst clock:\n%s", screen)
	}
	f.members[0].end(t)
	if text := f.members[0].log.String(); !strings.Contains(text, "an edge's clock is wrong") || strings.Contains(text, "edge=first") || strings.Contains(text, "edge=second") {
		t.Errorf("the log should name the edges whose clocks are wrong, and no other:\n%.3000s", text)
	}
}

// clientsOfPartitions are so many clients of each partition.
func clientsOfPartitions(n int) (clients [schemas.Partitions][]netip.Addr) {
	missing := schemas.Partitions * n
	for client := netip.MustParseAddr("10.0.0.1"); missing > 0; client = client.Next() {
		if p := schemas.PartitionOf(client); len(clients[p]) < n {
			clients[p] = append(clients[p], client)
			missing--
		}
	}
	return clients
}

// windows are the ends of a site's windows, in unix seconds.
func (f *fleet) windows(site string) (ends []int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.signals {
		var end int64
		if _, err := fmt.Sscanf(key, schemas.RequestRate+" "+site+" %d", &end); err == nil {
			ends = append(ends, end)
		}
	}
	return ends
}

// publish sends a batch to a partition.
func (f *fleet) publish(p int, b *schemas.Batch) {
	f.t.Helper()
	data, err := schemas.EncodeBatch(nil, b)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.bus.Publish(f.t.Context(), schemas.SubjectRequests(p), "", data); err != nil {
		f.t.Fatal(err)
	}
}

func fetched(t *testing.T, url string) []byte {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, answer.Status, err)
	}
	return body
}
