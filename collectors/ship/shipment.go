package ship

import (
	"context"
	"time"

	"github.com/weir-project/weir/collectors/tail"
)

// shipment is the batches of some pieces, from when they are made until the stream has
// them. It holds a bench for so long.
type shipment struct {
	bench *bench
	state State // to journal before
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
	return &shipment{bench: b, done: make(chan error, 1)}
}

func (t *shipment) pieces() int { return len(t.state.Intents) }

// full says that no piece is to be added.
func (t *shipment) full() bool {
	return t.pieces() >= maxGathered || len(t.bench.pack.memory) >= maxShipment
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
		s.sent[m.partition] = now
	}
	return nil
}

// launch journals what a shipment is about to do, and does it, while the caller goes
// on. Every shipment that was launched is to be landed before the next is launched.
func (s *Ship) launch(ctx context.Context, t *shipment) *shipment {
	go func() {
		err := s.save(t.state)
		if err == nil {
			err = s.publish(ctx, t.bench.pack.messages, t.bench.pack.memory)
		}
		if err == nil {
			s.publishDead(ctx, t.bench.pack)
		}
		t.done <- err
	}()
	return t
}

// landed says that land need not wait.
func (t *shipment) landed() bool { return len(t.done) > 0 }

// land waits until the stream has all of a shipment, and gives its bench back. After
// an error the Ship starts anew from its journal.
func (s *Ship) land(t *shipment) error {
	err := <-t.done
	if err == nil {
		s.arrived(t)
	}
	s.o.Works.put(t.bench)
	return err
}

// arrived notes what a shipment brought.
func (s *Ship) arrived(t *shipment) {
	k := t.bench.pack
	s.count(k)
	if k.lines <= k.refusals() {
		return
	}
	clock := t.state.Intents[t.pieces()-1].Clock
	s.live = k.newest >= clock-liveWithin
	s.metrics.lag.Set(max(0, float64(clock-k.newest)/1000))
	now := time.Now()
	s.resample(now, s.sampler.step(now, k.newest, t.more, s.retried.Swap(false)))
}
