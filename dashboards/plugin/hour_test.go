package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/weir-project/weir/schemas"
)

// An hour of a panel is 14,400 frames at four a second. TestHourThroughBinary sends as many
// through the plugin's gRPC, to many viewers side by side; -viewers 4 -frames 57600 takes
// the hour itself.
var (
	hourViewers = flag.Int("viewers", 480, "streams at once of TestHourThroughBinary")
	hourFrames  = flag.Int64("frames", 14_400, "frames that they get in all")
)

// What comes in during an hour: batches five a second, and signals every ten seconds.
const (
	hourBatches = 18_000
	hourSignals = 360
)

// resident is what a process holds in memory, in bytes.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm: %q", text)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// hourOf publishes the messages of an hour by and by, as far as said: every batch is of
// sites that were never seen before, and will not be again.
type hourOf struct {
	conn            *nats.Conn
	batches, signal int
}

func (h *hourOf) publish(share float64) error {
	for ; h.batches < int(share*hourBatches); h.batches++ {
		b := schemas.NewBuilder("edge-1", "log")
		for i := range 20 {
			b.Append(&schemas.Request{
				Time: time.Now().UnixMilli(), Site: fmt.Appendf(nil, "s%d-%d.example.org", h.batches, i), Status: 200,
				Client: netip.MustParseAddr("192.0.2.1"), Method: []byte("GET"), Path: []byte("/"), Protocol: []byte("HTTP/1.1"),
			})
		}
		message, err := schemas.EncodeBatch(nil, b.Batch())
		if err != nil {
			return err
		}
		if err := h.conn.Publish(schemas.SubjectRequests(h.batches%schemas.Partitions), message); err != nil {
			return err
		}
	}
	for ; h.signal < int(share*hourSignals); h.signal++ {
		row, err := json.Marshal(schemas.SignalRow{Time: time.Now(), Site: site, Window: "10s", Signal: schemas.Signal{Name: schemas.RequestRate, Value: 1}})
		if err != nil {
			return err
		}
		if err := h.conn.Publish(schemas.SubjectSignals, row); err != nil {
			return err
		}
	}
	return nil
}

// ownNATS is a server of its own, in this process.
func ownNATS(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("NATS does not start")
	}
	return s
}

// TestHourThroughBinary streams an hour's frames and messages through the plugin's process:
// what it holds in memory in the last quarter is what it held in the second.
func TestHourThroughBinary(t *testing.T) {
	f := ready(t)
	s := ownNATS(t)
	fresh, err := startPlugin(filepath.Join(f.dir, "gpx_weir"))
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.client.Kill()
	pid := fresh.client.ReattachConfig().Pid
	settings := instance(map[string]any{"clickhouse": "http://" + f.address + "/api/sql", "nats": s.ClientURL()}, map[string]string{"clickhousePassword": f.token})
	p := fresh.as(settings, "alice", "Editor")
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	channels := []channel{{Kind: "traffic", By: "outcome"}, {Kind: "traffic", By: "outcome", Sites: []string{site}}, {Kind: "traffic", By: "site", Sites: []string{site, "b"}}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var frames atomic.Int64
	arrived := make(chan struct{}, 1)
	var viewers sync.WaitGroup
	for i := range *hourViewers {
		path, err := channels[i%len(channels)].encode()
		if err != nil {
			t.Fatal(err)
		}
		viewers.Go(func() {
			err := p.watch(ctx, path, func([][]*float64) {
				frames.Add(1)
				select {
				case arrived <- struct{}{}:
				default:
				}
			})
			if ctx.Err() == nil {
				t.Errorf("a stream ended: %v", err)
				cancel()
			}
		})
	}
	hour := hourOf{conn: conn}
	var quarters [4][]int64
	minute := int64(-1)
	for last := false; !last; { // frames may come faster than they are followed here
		select {
		case <-arrived:
		case <-ctx.Done():
			t.Fatal("the streams ended")
		}
		seen := frames.Load()
		last = seen >= *hourFrames
		share := min(float64(seen)/float64(*hourFrames), 0.999)
		if err := hour.publish(share); err != nil {
			t.Fatal(err)
		}
		held, err := resident(pid)
		if err != nil {
			t.Fatal(err)
		}
		quarter := int(4 * share)
		quarters[quarter] = append(quarters[quarter], held)
		if m := int64(60 * share); m > minute && m%5 == 0 {
			minute = m
			t.Logf("minute %d: %d batches, %.1f MiB", m, hour.batches, float64(held)/(1<<20))
		}
	}
	cancel()
	viewers.Wait()
	median := func(all []int64) int64 {
		if len(all) == 0 {
			t.Fatal("nothing was measured in a quarter of the hour")
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	second, fourth := median(quarters[1]), median(quarters[3])
	if fourth > second+second/10+8<<20 {
		t.Errorf("%d bytes in the second quarter of the hour, %d in the last", second, fourth)
	}
	if hour.batches < hourBatches*9/10 || hour.signal < hourSignals*9/10 {
		t.Errorf("only %d batches and %d signals", hour.batches, hour.signal)
	}
}
