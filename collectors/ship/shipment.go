package ship

import (
	"context"
	"time"

	"github.com/weir-project/weir/collectors/tail"
)

// shipment is the batches of some pieces, from when they are made until the stream has
// them. It holds a bench for so long, or until it is detached.
type shipment struct {
	*packed
	bench *bench // nil once detached
	small int    // bytes that it holds outside of a bench
	state State  // to journal before
	done  chan error
	more  bool // was waiting behind it
}

// Bounds of a shipment: of the pieces whose intents are journaled at once, and of the
// bytes of their batches, with which none begins a further piece.
const (
	maxGathered = 8
	maxShipment = 2 << 20
)

func newShipment(b *bench) *shipment {
	b.pack.clear()
	return &shipment{packed: &b.pack.packed, bench: b, done: make(chan error, 1)}
}

func (t *shipment) pieces() int { return len(t.state.Intents) }

// full says that no piece is to be added.
func (t *shipment) full() bool {
	return t.pieces() >= maxGathered || len(t.memory) >= maxShipment
}

// gather adds the batches of a piece. Making them changes nothing but what comes next.
func (s *Ship) gather(t *shipment, piece tail.Piece) error {
	if s.state.Format == "" {
		s.state.Format = findFormat(piece.Data)
	}
	s.state.Position = piece.From
	intent := s.intend(piece.From, piece.To, time.Now())
	if err := s.pack(t, intent, piece.Data); err != nil {
		return err
	}
	t.more = len(piece.Data) >= full
	return nil
}

// pack adds the batches of an intent.
func (s *Ship) pack(t *shipment, intent Intent, data []byte) error {
	k := t.bench.pack
	if err := k.pack(&s.o, &s.state, &intent, data); err != nil {
		return err
	}
	intent.Next = k.after.Next
	if t.pieces() == 0 {
		t.state = s.state
		t.state.Intents = nil
	}
	t.state.Intents = append(t.state.Intents, intent)
	t.state.Past, t.state.Ledger = s.state.Past, s.state.Ledger
	s.state, s.saved = k.after, false
	now := time.Now()
	for _, m := range k.messages[k.first:] {
		s.sent[m.partition], s.rows[m.partition] = now, now
	}
	return nil
}

// detach copies what is small out of the bench and gives that back: others need not wait
// for it while this is journaled and published, be the stream ever so far away.
func (s *Ship) detach(t *shipment) {
	size := t.size()
	if size > maxSmall || !s.o.Works.small.TryAcquire(int64(size)) {
		return
	}
	copied := t.clone()
	s.o.Works.put(t.bench)
	t.packed, t.bench, t.small = &copied, nil, size
}

// release gives back what a shipment holds.
func (s *Ship) release(t *shipment) {
	if t.bench != nil {
		s.o.Works.put(t.bench)
	}
	s.o.Works.small.Release(int64(t.small))
	t.bench, t.small = nil, 0
}

// launch delivers a shipment while the caller goes on. Every shipment that was launched is
// to be landed before the next is launched.
func (s *Ship) launch(ctx context.Context, t *shipment) *shipment {
	go func() { t.done <- s.deliver(ctx, t) }()
	return t
}

// deliver journals what a shipment is about to do, and does it.
func (s *Ship) deliver(ctx context.Context, t *shipment) error {
	if err := s.o.Works.do(func() error { return s.save(t.state) }); err != nil {
		return err
	}
	err := s.publish(ctx, t.messages, t.memory)
	if err == nil {
		s.publishDead(ctx, t.packed)
	}
	return err
}

// landed says that land need not wait.
func (t *shipment) landed() bool { return len(t.done) > 0 }

// land waits until the stream has all of a shipment that was launched. After an error the
// Ship starts anew from its journal.
func (s *Ship) land(t *shipment) error { return s.landing(t, <-t.done) }

// landing ends a shipment that was delivered, or was not.
func (s *Ship) landing(t *shipment, err error) error {
	if err == nil {
		s.arrived(t)
	}
	s.release(t)
	return err
}

// arrived notes what a shipment brought.
func (s *Ship) arrived(t *shipment) {
	s.count(t.packed)
	if t.lines <= t.refusals() {
		return
	}
	clock := t.state.Intents[t.pieces()-1].Clock
	s.live = t.newest >= clock-liveWithin
	s.metrics.lag.Set(max(0, float64(clock-t.newest)/1000))
	now := time.Now()
	s.resample(now, s.sampler.step(now, t.newest, t.more, s.retried.Swap(false)))
}
