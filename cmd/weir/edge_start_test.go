package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// manyDecisions are on clients, a fifth of them of IPv6, as weir takes them.
func manyDecisions(n int, now time.Time) []schemas.Event {
	now = now.UTC().Truncate(time.Millisecond)
	all := make([]schemas.Event, n)
	for i := range all {
		addr := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
		if i%5 == 0 {
			addr = netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)})
		}
		all[i] = schemas.Event{
			Type: schemas.DecisionAdded, Time: now, Sites: []string{"www.example.org"}, Incident: "i261122-050812",
			Decision: &schemas.Decision{
				ID: fmt.Sprint("i261122-050812-", i), Action: schemas.Block, Scope: schemas.ScopeClient, Value: addr.String(),
				Expires: now.Add(time.Hour), Collateral: 0.0003, CollateralPerHour: 0.4, CollateralClients: 9800, Origin: schemas.OriginWeir,
				Reason: "it sends what the attack sends",
			},
		}
	}
	return all
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkEdgesStart starts edges on a NATS that has 500,000 decisions in a snapshot and
// 10,000 changes behind it, and says how long it takes until each holds all.
func BenchmarkEdgesStart(b *testing.B) {
	const decisions, changes = 500_000, 10_000
	near, err := bus.Open(b.Context(), bus.Options{Dir: b.TempDir(), Listen: "127.0.0.1:0", StartTimeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { near.Close() })
	all := manyDecisions(decisions+changes, time.Now())
	snapshot, err := schemas.EncodeEvents(1, true, all[:decisions])
	if err != nil {
		b.Fatal(err)
	}
	if err := near.PublishSnapshot(b.Context(), schemas.SubjectSnapshot, snapshot); err != nil {
		b.Fatal(err)
	}
	delta, err := schemas.EncodeEvents(1, false, all[decisions:])
	if err != nil {
		b.Fatal(err)
	}
	for _, message := range delta {
		if err := near.Publish(b.Context(), schemas.SubjectDecisions, "", message); err != nil {
			b.Fatal(err)
		}
	}
	for _, edges := range []int{1, 4} {
		b.Run(fmt.Sprint("edges=", edges), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				var started []*enforcing
				for i := range edges {
					c := config.Default()
					c.Decisions.Max = 1_000_000
					c.Mode, c.Data, c.Edge.Name = config.Enforce, filepath.Join(b.TempDir(), fmt.Sprint(i)), fmt.Sprint("edge", i)
					r, err := newEnforcing(nearBus{near}, c, newApplications(c), slog.New(slog.DiscardHandler), nil)
					if err != nil {
						b.Fatal(err)
					}
					started = append(started, r)
				}
				before := processorTime()
				b.StartTimer()
				ctx, cancel := context.WithCancel(b.Context())
				var running sync.WaitGroup
				for _, r := range started {
					running.Go(func() {
						if err := r.follow(ctx); err != nil {
							b.Error(err)
						}
					})
				}
				for _, r := range started {
					for r.bouncers.Size() < decisions+changes {
						<-time.After(time.Millisecond)
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(processorTime()-before)/1e9/float64(edges), "cpu-s/edge")
				cancel()
				running.Wait()
				b.StartTimer()
			}
		})
	}
}
