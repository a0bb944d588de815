package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-project/weir/internal/bus"
)

func openBus(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Options{Dir: t.TempDir(), StartTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// ledger notes who holds what under which token.
type ledger struct {
	mu     sync.Mutex
	holder map[string]string
	token  map[string]uint64
	wrong  []string
}

func newLedger() *ledger {
	return &ledger{holder: make(map[string]string), token: make(map[string]uint64)}
}

func (l *ledger) begin(name, who string, token uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if token <= l.token[name] {
		l.wrong = append(l.wrong, fmt.Sprintf("%s got %s with token %d after %d", who, name, token, l.token[name]))
	}
	l.holder[name], l.token[name] = who, token
}

func (l *ledger) end(name, who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder[name] == who {
		delete(l.holder, name)
	}
}

// counts is how many leases each holds.
func (l *ledger) counts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := make(map[string]int)
	for _, who := range l.holder {
		n[who]++
	}
	return n
}

// process is a member that can leave, or fall silent.
type process struct {
	bucket        *mutable
	beats, shares context.CancelFunc
	ended         chan struct{}
}

// mutable is a bucket whose beats can be lost on the way.
type mutable struct {
	jetstream.KeyValue
	mute atomic.Bool
}

func (m *mutable) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	if m.mute.Load() {
		return 0, errors.New("muted")
	}
	return m.KeyValue.Put(ctx, key, value)
}

func startMember(b *bus.Bus, l *ledger, id string, names []string, quota Quota) *process {
	bucket := &mutable{KeyValue: b.State()}
	m := NewMember(Options{Bucket: bucket, ID: id, Beat: 50 * time.Millisecond, Gone: 600 * time.Millisecond})
	beating, beats := context.WithCancel(context.Background())
	sharing, shares := context.WithCancel(context.Background())
	p := &process{bucket: bucket, beats: beats, shares: shares, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		var both sync.WaitGroup
		both.Go(func() { _ = m.Run(beating) })
		_ = m.Share(sharing, names, quota, func(ctx context.Context, name string, token uint64) error {
			l.begin(name, id, token)
			<-ctx.Done()
			l.end(name, id)
			return nil
		})
		beats()
		both.Wait()
	}()
	return p
}

func (p *process) leave() { p.shares(); <-p.ended }

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

// TestLeasesAreSharedEvenly lets members come, leave and fall silent.
func TestLeasesAreSharedEvenly(t *testing.T) {
	b, l := openBus(t), newLedger()
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprintf("partition.%d", i))
	}
	even := func(want map[string]int) func() bool {
		return func() bool {
			got := l.counts()
			for who, n := range want {
				if got[who] != n {
					return false
				}
			}
			return len(got) == len(want)
		}
	}
	first := startMember(b, l, "a", names, Evenly)
	until(t, "one has all", even(map[string]int{"a": 8}))
	second := startMember(b, l, "b", names, Evenly)
	until(t, "two have half", even(map[string]int{"a": 4, "b": 4}))
	third := startMember(b, l, "c", names, Evenly)
	until(t, "three share", even(map[string]int{"a": 3, "b": 3, "c": 2}))
	second.leave()
	until(t, "two share again", even(map[string]int{"a": 4, "c": 4}))
	first.bucket.mute.Store(true) // its work goes on, but nobody hears of it
	until(t, "the silent one's are taken", even(map[string]int{"c": 8}))
	first.leave()
	third.leave()
	if len(l.wrong) > 0 || len(l.counts()) > 0 {
		t.Errorf("%v, held at the end: %v", l.wrong, l.counts())
	}
}

// TestTheElectedStaysUntilItDies: who comes later does not take the lease away.
func TestTheElectedStaysUntilItDies(t *testing.T) {
	b, l := openBus(t), newLedger()
	names := []string{"detector"}
	first := startMember(b, l, "m", names, Elected)
	until(t, "it is elected", func() bool { return l.counts()["m"] == 1 })
	token := l.token["detector"]
	second := startMember(b, l, "a", names, Elected) // first in the order of names
	observer := NewMember(Options{Bucket: b.State(), ID: "z", Beat: 50 * time.Millisecond, Gone: 600 * time.Millisecond})
	watching, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = observer.Run(watching) }()
	until(t, "all are seen", func() bool { return len(observer.Members()) == 3 })
	if observer.Owner("detector") != "m" || observer.Token("detector") != token {
		t.Errorf("%s holds it with %d, want m with %d", observer.Owner("detector"), observer.Token("detector"), token)
	}
	first.bucket.mute.Store(true)
	until(t, "the other is elected", func() bool { return l.counts()["a"] == 1 })
	until(t, "its token is seen", func() bool { return observer.Token("detector") > token })
	first.leave()
	second.leave()
	stop()
	<-done
	if len(l.wrong) > 0 {
		t.Error(l.wrong)
	}
}

func TestSnapshots(t *testing.T) {
	b := openBus(t)
	s := Snapshots{Bucket: b.Snapshots()}
	ctx := t.Context()
	if _, err := s.Load(ctx, "p.1"); !errors.Is(err, ErrNoSnapshot) {
		t.Fatalf("nothing was saved: %v", err)
	}
	load := func(want []byte) {
		t.Helper()
		got, err := s.Load(ctx, "p.1")
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
		}
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), snapshotPart/8)
	for i, data := range [][]byte{[]byte("small"), large, large[:snapshotPart], {}, []byte("again")} {
		if err := s.Save(ctx, "p.1", uint64(5+i/3), data); err != nil {
			t.Fatal(err)
		}
		load(data)
	}
	if err := s.Save(ctx, "p.1", 4, []byte("stale")); !errors.Is(err, ErrLost) {
		t.Errorf("a stale holder saved: %v", err)
	}
	load([]byte("again"))
	keys, err := b.Snapshots().ListKeysFiltered(ctx, "p.1.>")
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	for range keys.Keys() {
		parts++
	}
	if parts > 2 {
		t.Errorf("%d parts are kept of a snapshot of one", parts)
	}
	p := pointer{Token: 6, Slot: 0}
	for slot := range 2 {
		p.Slot = slot
		if _, err := b.Snapshots().Put(ctx, p.part("p.1", 0), []byte("AGAIN")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Load(ctx, "p.1"); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("a changed part was taken: %v", err)
	}
}

// One that nobody else can reach the bucket beside takes at once what was held before it, and
// goes on holding what it has while its beats are late.
func TestAloneTakesWhatADeadOneHeld(t *testing.T) {
	b, l, names := openBus(t), newLedger(), []string{"a", "b"}
	dead := NewMember(Options{Bucket: b.State(), ID: "dead", Alone: true})
	running, stop := context.WithCancel(t.Context())
	var both sync.WaitGroup
	both.Go(func() { _ = dead.Run(running) })
	for _, name := range names { // which are never given back
		for {
			if _, _, ok := dead.acquire(t.Context(), name, 0); ok {
				break
			}
		}
	}
	if _, err := b.State().Put(t.Context(), memberPrefix+"other", []byte("1")); err != nil { // it beat last before it was killed
		t.Fatal(err)
	}
	stop()
	both.Wait()
	m := NewMember(Options{Bucket: b.State(), ID: "next", Alone: true, Beat: 20 * time.Millisecond, Gone: 10 * time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	both.Go(func() { _ = m.Run(ctx) })
	got := make(chan string, len(names))
	both.Go(func() {
		_ = m.Share(ctx, names, Evenly, func(ctx context.Context, name string, token uint64) error {
			l.begin(name, "next", token)
			got <- name
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, ErrHandOver) {
				t.Errorf("%s ended: %v", name, cause)
			}
			return nil
		})
	})
	for range names {
		select {
		case <-got:
		case <-time.After(time.Minute):
			t.Error("a dead one's lease was not taken")
		}
	}
	cancel()
	both.Wait()
	if n := l.counts()["next"]; n != len(names) || len(l.wrong) > 0 {
		t.Errorf("%d of %d leases; %v", n, len(names), l.wrong)
	}
}
