package ship

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/schemas"
)

// still is an Input that never has a line.
type still struct{}

func (still) Look() (tail.Position, bool, error)        { return tail.Position{}, false, nil }
func (still) Resume(tail.Position, []tail.Mark) bool    { return true }
func (still) Next() (tail.Piece, error)                 { return tail.Piece{}, nil }
func (still) Reread(_, _ tail.Position) ([]byte, error) { return nil, tail.ErrGone }
func (still) Past() []tail.Mark                         { return nil }
func (still) Skipped() uint64                           { return 0 }
func (still) Close() error                              { return nil }
func (still) Wait(ctx context.Context, d time.Duration) error {
	return sleep(ctx, max(d, time.Millisecond))
}

// TestIdleShipsLetRowsPass has more Ships than there are places send watermarks that never
// arrive: a line of another still does, and those that wait keep no bench.
func TestIdleShipsLetRowsPass(t *testing.T) {
	l := newLog(t)
	l.write(line(1))
	works := NewWorks(0)
	var mu sync.Mutex
	arrived, stuck := make(chan struct{}), 0
	to := publishFunc(func(ctx context.Context, _, id string, data []byte) error {
		batch, err := schemas.DecodeBatch(data)
		if err != nil {
			return err
		}
		if id == "" && strings.HasPrefix(batch.Source, "idle") {
			mu.Lock()
			stuck++
			mu.Unlock()
			<-ctx.Done()
			return ctx.Err()
		}
		if len(batch.Time) > 0 {
			close(arrived)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	start := func(o Options) {
		o.Works = works
		s, err := New(o, &FileJournal{Path: filepath.Join(t.TempDir(), "j")}, to)
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 * beating / schemas.Partitions {
		start(Options{Edge: "edge", Source: "idle", Open: func() Input { return still{} }})
	}
	full := func() bool { mu.Lock(); defer mu.Unlock(); return stuck == beating }
	for deadline := time.Now().Add(30 * time.Second); !full(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the watermarks do not fill their places")
		}
	}
	start(options(l))
	select {
	case <-arrived:
	case <-time.After(30 * time.Second):
		t.Error("a line waits for watermarks")
	}
	cancel()
	running.Wait()
	if stuck != beating {
		t.Errorf("%d watermarks were on their way at once, want %d", stuck, beating)
	}
	if len(works.free) != cap(works.free) {
		t.Errorf("%d of %d benches came back", len(works.free), cap(works.free))
	}
}
