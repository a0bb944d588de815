// Package cluster divides work among processes that share nothing but a NATS bucket:
// leases with fencing tokens, and snapshots of what a lease's holder has worked out.
//
// No clock is compared with another machine's. A member beats, and whoever has not seen
// a beat for a while, by the watch on its own wrist, may take what the silent one holds.
// It may be wrong: the other may only have slept. Therefore every lease has a token that
// grows with each holder, and what is done under a lease is refused where a greater
// token has been seen.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Options are a Member's. Bucket and ID are needed.
type Options struct {
	Bucket jetstream.KeyValue
	// ID tells this process from all others, also from the one before it on the same
	// machine; of the characters that a key may have.
	ID string
	// Beat is the time between two beats, 400 ms by default; Gone the silence after which
	// a member is taken for dead, 2 s, and 30 s where it is alone.
	Beat, Gone time.Duration
	// Alone says that no other process can reach the bucket: whoever held a lease before has
	// died, and nobody is there to take one from a member that is only slow. Work that is given up
	// and begun again on a busy machine would make it busier.
	Alone  bool
	Logger *slog.Logger
}

// Member is one process of the group. Its methods may be used concurrently.
type Member struct {
	o   Options
	log *slog.Logger

	mu      sync.Mutex
	entries map[string]entry
	ready   bool      // the watch has shown all that there is
	healthy time.Time // since when our own beats have come back; zero: they do not
	acked   time.Time // when the last beat that was stored was sent
	epoch   uint64    // of the bucket: tokens of another bucket are not above ours
}

// entry is a key as the watch showed it last.
type entry struct {
	value    string
	revision uint64
	seen     time.Time
}

const (
	memberPrefix = "member."
	leasePrefix  = "lease."
	epochKey     = "epoch"
	// epochRoom is how many revisions a bucket may have in a second.
	epochRoom = 1 << 20
)

// NewMember makes a Member. It runs nothing.
func NewMember(o Options) *Member {
	if o.Beat <= 0 {
		o.Beat = 400 * time.Millisecond
	}
	if o.Gone <= 0 {
		o.Gone = 2 * time.Second
		if o.Alone {
			o.Gone = 30 * time.Second
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Member{o: o, log: o.Logger, entries: make(map[string]entry)}
}

// Run beats and watches until ctx ends, and then takes its leave.
func (m *Member) Run(ctx context.Context) error {
	if err := m.findEpoch(ctx); err != nil {
		return err
	}
	var watching sync.WaitGroup
	watching.Go(func() { m.watchAgain(ctx) })
	tick := time.NewTicker(m.o.Beat)
	defer tick.Stop()
	for number := 0; ; number++ {
		m.beat(ctx, number)
		if number%64 == 63 {
			m.forget(ctx, time.Now())
		}
		select {
		case <-ctx.Done():
			watching.Wait()
			gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.o.Gone)
			defer cancel()
			_ = m.o.Bucket.Delete(gone, memberPrefix+m.o.ID) // without it the others wait
			return nil
		case <-tick.C:
		}
	}
}

func (m *Member) beat(ctx context.Context, number int) {
	sent := time.Now()
	ctx, cancel := context.WithTimeout(ctx, m.o.Gone)
	defer cancel()
	if _, err := m.o.Bucket.Put(ctx, memberPrefix+m.o.ID, []byte(strconv.Itoa(number))); err != nil {
		m.log.Debug("cluster: no beat", "error", err)
		return
	}
	m.mu.Lock()
	m.acked = sent
	m.mu.Unlock()
}

// findEpoch reads when the bucket was made, or notes it. A bucket that is made anew counts
// its revisions from 1, and yet no token may be given twice.
func (m *Member) findEpoch(ctx context.Context) error {
	made := strconv.FormatInt(time.Now().Unix(), 10)
	_, err := m.o.Bucket.Create(ctx, epochKey, []byte(made))
	if err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("cluster: epoch: %w", err)
	}
	got, err := m.o.Bucket.Get(ctx, epochKey)
	if err != nil {
		return fmt.Errorf("cluster: epoch: %w", err)
	}
	seconds, err := strconv.ParseUint(string(got.Value()), 10, 33)
	if err != nil {
		return fmt.Errorf("cluster: the bucket's epoch is %q, want unix seconds", got.Value())
	}
	m.mu.Lock()
	m.epoch = seconds * epochRoom
	m.mu.Unlock()
	return nil
}

func (m *Member) watchAgain(ctx context.Context) {
	for ctx.Err() == nil {
		if err := m.watch(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("cluster: watching stopped; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(m.o.Beat):
		}
	}
}

func (m *Member) watch(ctx context.Context) error {
	w, err := m.o.Bucket.WatchFiltered(ctx, []string{memberPrefix + ">", leasePrefix + ">"})
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case update, open := <-w.Updates():
			if !open {
				return errors.New("the watch has ended")
			}
			m.saw(update, time.Now())
		}
	}
}

// saw notes an update; nil says that all there was has been shown.
func (m *Member) saw(update jetstream.KeyValueEntry, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if update == nil {
		m.ready = true
		return
	}
	if update.Operation() != jetstream.KeyValuePut {
		delete(m.entries, update.Key())
		return
	}
	if update.Key() == memberPrefix+m.o.ID {
		if last := m.entries[update.Key()].seen; m.healthy.IsZero() || now.Sub(last) > m.o.Gone/2 {
			m.healthy = now
		}
	}
	m.entries[update.Key()] = entry{string(update.Value()), update.Revision(), now}
}

// well reports whether this member sees anything: its own beats have come back of late.
func (m *Member) well(now time.Time) bool {
	return m.ready && !m.healthy.IsZero() && now.Sub(m.entries[memberPrefix+m.o.ID].seen) <= m.o.Gone/2 &&
		now.Sub(m.acked) <= m.o.Gone/2
}

// alive reports whether a member may be: it has been heard of late, or this member has
// not seen anything for long enough to tell.
func (m *Member) alive(id string, now time.Time) bool {
	if id == m.o.ID || m.o.Alone {
		return id == m.o.ID
	}
	e, ok := m.entries[memberPrefix+id]
	return ok && (now.Sub(e.seen) <= m.o.Gone || now.Sub(m.healthy) <= m.o.Gone)
}

// forget removes the keys of members that died long ago.
func (m *Member) forget(ctx context.Context, now time.Time) {
	m.mu.Lock()
	var old []string
	for key, e := range m.entries {
		if strings.HasPrefix(key, memberPrefix) && now.Sub(e.seen) > 20*m.o.Gone && m.well(now) {
			old = append(old, key)
		}
	}
	m.mu.Unlock()
	for _, key := range old {
		_ = m.o.Bucket.Delete(ctx, key) // or at the next time
	}
}

// members are the ids of those alive, in order, this one among them.
func (m *Member) members(now time.Time) []string {
	ids := []string{m.o.ID}
	for key := range m.entries {
		if id, ok := strings.CutPrefix(key, memberPrefix); ok && id != m.o.ID && m.alive(id, now) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// ID is this member's.
func (m *Member) ID() string { return m.o.ID }

// Members are the ids of those alive, in order, this one among them.
func (m *Member) Members() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.members(time.Now())
}

// Owner is who holds a lease, "" for nobody.
func (m *Member) Owner(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[leasePrefix+name].value
}

// Token is that of a lease's present holder, whoever it is; 0 where nobody holds it.
func (m *Member) Token(name string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[leasePrefix+name]; ok {
		return m.epoch + e.revision
	}
	return 0
}
