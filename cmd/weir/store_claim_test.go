package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-project/weir/internal/bus"
)

// deafBucket is a bucket that its owner cannot write to.
type deafBucket struct {
	jetstream.KeyValue
	on atomic.Bool
}

func (s *deafBucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if s.on.Load() {
		return 0, errors.New("no way to NATS")
	}
	return s.KeyValue.Update(ctx, key, value, revision)
}

// Of several that start at once one stores, and the next one when that has ended, was killed
// and comes again, or is not heard of; a sleeper that wakes up ends.
func TestOneStoresAtATime(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Options{Dir: filepath.Join(t.TempDir(), "nats"), StartTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	type owner struct {
		who     string
		held    context.Context
		release func() error
		bucket  *deafBucket
	}
	owners := make(chan owner)
	start := func(who string) {
		bucket := &deafBucket{KeyValue: b.State()}
		claim := &storeClaim{bucket: bucket, who: who, beat: 10 * time.Millisecond, gone: 2 * time.Second, log: slog.New(slog.DiscardHandler)}
		go func() {
			held, release, err := claim.take(t.Context())
			if err != nil {
				return
			}
			owners <- owner{who, held, release, bucket}
		}()
	}
	none := func(why string) {
		t.Helper()
		select {
		case o := <-owners:
			t.Fatalf("%s stores, too, %s", o.who, why)
		case <-time.After(3 * time.Second): // longer than gone
		}
	}
	for _, who := range []string{"a", "b", "c"} {
		start(who)
	}
	first := <-owners
	none("beside the first")
	if err := first.release(); err != nil {
		t.Error(err)
	}
	second := <-owners
	second.bucket.on.Store(true)
	third := <-owners
	if second.held.Err() != nil {
		t.Fatal("who cannot reach NATS knows of nothing yet")
	}
	second.bucket.on.Store(false)
	<-second.held.Done()
	if err := second.release(); !errors.Is(err, errStoreTaken) {
		t.Errorf("the sleeper's error is %v", err)
	}
	start(third.who) // killed, and started again
	again := <-owners
	if again.who != third.who {
		t.Errorf("%s stores after %s was started again", again.who, third.who)
	}
}
