package ship

import (
	"context"
	"time"

	"github.com/weir-project/weir/collectors/tail"
)

// shipment is the batches of one piece, from when they are made until the stream has
// them. It holds a bench for so long.
type shipment struct {
	bench  *bench
	intent State // to journal before
	done   chan error
	more   bool // was waiting behind it
}

// prepare makes the batches of a piece. Making them changes nothing but what comes
// next; their bench is still the caller's.
func (s *Ship) prepare(bench *bench, piece tail.Piece) (*shipment, error) {
	if s.state.Format == "" {
		s.state.Format = findFormat(piece.Data)
	}
	s.state.Position = piece.From
	made, err := s.pack(bench, s.intend(piece.To, time.Now()), piece.Data)
	if err == nil {
		made.more = len(piece.Data) >= full
	}
	return made, err
}

func (s *Ship) pack(bench *bench, intent *Intent, data []byte) (*shipment, error) {
	next := s.state
	next.Intent = intent
	k := bench.pack
	if err := k.pack(&s.o, &next, data); err != nil {
		return nil, err
	}
	intent.Next = k.after.Next
	s.state, s.saved = k.after, false
	now := time.Now()
	for _, m := range k.messages {
		s.sent[m.partition] = now
	}
	return &shipment{bench: bench, intent: next, done: make(chan error, 1)}, nil
}

// launch journals what a shipment is about to do, and does it, while the caller goes
// on. Every shipment that was launched is to be landed before the next is launched.
func (s *Ship) launch(ctx context.Context, t *shipment) *shipment {
	go func() {
		err := s.save(t.intent)
		if err == nil {
			err = s.publish(ctx, t.bench.pack)
		}
		if err == nil {
			s.publishDead(ctx, t.bench.pack)
		}
		t.done <- err
	}()
	return t
}

// land waits until the stream has all of a shipment, and gives its bench back. After
// an error the Ship starts anew from its journal.
func (s *Ship) land(t *shipment) error {
	err := <-t.done
	k := t.bench.pack
	if err == nil {
		s.count(k)
		if k.lines > k.refusals() {
			clock := t.intent.Intent.Clock
			s.live = k.newest >= clock-liveWithin
			s.metrics.lag.Set(max(0, float64(clock-k.newest)/1000))
			now := time.Now()
			s.resample(now, s.sampler.step(now, k.newest, t.more, s.retried.Swap(false)))
		}
	}
	s.o.Works.put(t.bench)
	return err
}

// ship makes batches of data as intent says, journals it, and publishes them. It
// gives the bench back.
func (s *Ship) ship(ctx context.Context, bench *bench, intent *Intent, data []byte) error {
	t, err := s.pack(bench, intent, data)
	if err != nil {
		s.o.Works.put(bench)
		return err
	}
	return s.land(s.launch(ctx, t))
}
