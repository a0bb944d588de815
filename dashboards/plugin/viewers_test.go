package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
)

// TestFiftyViewers has fifty people look at once: each asks what a page asks and watches a
// stream, by the plugin's gRPC. All see the same requests.
func TestFiftyViewers(t *testing.T) {
	f := ready(t)
	outcome := path(t, f.plugin.one(t, last(10*time.Minute), `{"kind":"traffic","sites":["`+site+`"],"live":true}`))
	all := path(t, f.plugin.one(t, last(10*time.Minute), `{"kind":"traffic","live":true}`))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("not all had seen a request within two minutes"))
	defer cancel()
	sent := make(chan struct{})
	var viewers, sender sync.WaitGroup
	for i := range 50 {
		viewers.Go(func() {
			channel := outcome
			if i%2 == 1 {
				channel = all
			}
			answers, err := f.plugin.ask(ctx, attack(), `{"kind":"traffic"}`, `{"kind":"sites"}`, `{"kind":"decisions","state":"all"}`, `{"kind":"traits","incident":"latest","limit":12}`)
			if err != nil {
				t.Error(err)
				return
			}
			for ref, a := range answers {
				if a.Error != nil || len(a.Frames) != 1 || a.Frames[0].Rows() == 0 {
					t.Errorf("viewer %d, query %s: %d frames, %v", i, ref, len(a.Frames), a.Error)
				}
			}
			inner, enough := context.WithCancelCause(ctx)
			err = f.plugin.watch(inner, channel, func(values [][]*float64) {
				if v := values[1][0]; v != nil && *v > 0 {
					enough(errEnough)
				}
			})
			if !errors.Is(context.Cause(inner), errEnough) {
				t.Errorf("viewer %d: %v: %v", i, err, context.Cause(inner))
			}
		})
	}
	sender.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-sent:
				return
			case <-tick.C:
				if err := f.request("/fifty", "allow", 200); err != nil {
					t.Error(err)
				}
			}
		}
	})
	viewers.Wait()
	close(sent)
	sender.Wait()
}

// doorway is a door to a server that can be shut.
type doorway struct {
	to       string
	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
	passing  sync.WaitGroup
}

// door opens one on an address, or on any.
func (b *doorway) door(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.listener, b.open = l, make(map[net.Conn]struct{})
	b.mu.Unlock()
	b.passing.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", b.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			b.pass(in, out)
		}
	})
	return nil
}

func (b *doorway) pass(in, out net.Conn) {
	b.mu.Lock()
	b.open[in], b.open[out] = struct{}{}, struct{}{}
	b.mu.Unlock()
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		b.passing.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // until either ends
			_, _ = way[0].Close(), way[1].Close()
		})
	}
}

// shut closes the door on all who are passing.
func (b *doorway) shut() {
	b.mu.Lock()
	_ = b.listener.Close()
	for c := range b.open {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.passing.Wait()
}

// TestNATSIsLost takes NATS from the plugin while somebody watches: what comes is unknown and
// not zero, health says which of the two servers it is, the past is still answered; and the
// same stream goes on once NATS is back.
func TestNATSIsLost(t *testing.T) {
	f := ready(t)
	b := &doorway{to: strings.TrimPrefix(f.nats, "nats://")}
	if err := b.door("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	address := b.listener.Addr().String()
	defer b.shut()
	settings := instance(map[string]any{"clickhouse": "http://" + f.address + "/api/sql", "nats": "nats://" + address}, map[string]string{"clickhousePassword": f.token})
	settings.ID, settings.UID = 9, uid
	far := f.plugin.as(settings, "alice", "Editor")
	channel := path(t, far.one(t, last(time.Minute), `{"kind":"traffic","sites":["`+site+`"],"live":true}`))

	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("no such frame within two minutes"))
	defer cancel()
	frames := make(chan *float64)
	var watching sync.WaitGroup
	watching.Go(func() {
		_ = far.watch(ctx, channel, func(values [][]*float64) {
			select {
			case frames <- values[1][0]:
			case <-ctx.Done():
			}
		})
	})
	defer watching.Wait()
	defer cancel()
	until := func(what string, wanted func(v *float64) bool) {
		t.Helper()
		for {
			select {
			case v := <-frames:
				if wanted(v) {
					return
				}
			case <-ctx.Done():
				t.Fatalf("%s: %v", what, context.Cause(ctx))
			}
		}
	}
	seen := func(v *float64) bool {
		if err := f.request("/lost", "allow", 200); err != nil {
			t.Fatal(err)
		}
		return v != nil && *v > 0
	}
	until("a request while NATS is there", seen)
	b.shut()
	until("unknown while it is not", func(v *float64) bool { return v == nil })
	health, err := far.health(ctx)
	if err != nil || health.Status != backend.HealthStatusError || !strings.Contains(health.Message, "ClickHouse answers") || !strings.Contains(health.Message, "NATS at nats://"+address) {
		t.Errorf("health without NATS: %+v, %v", health, err)
	}
	if frame := far.one(t, attack(), `{"kind":"traffic"}`); frame.Rows() == 0 {
		t.Error("the past is not answered while NATS is away")
	}
	if err := b.door(address); err != nil {
		t.Fatal(fmt.Errorf("the door's own address: %w", err))
	}
	until("a request after NATS has come back", seen)
}
