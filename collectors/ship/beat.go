package ship

import (
	"context"
	"errors"
	"math/bits"
	"sync"
	"time"

	"github.com/weir-project/weir/collectors/tail"
)

// idle notes that all lines so far have arrived, and sends watermarks.
func (s *Ship) idle(ctx context.Context, at tail.Position) error {
	if at != s.state.Position && at != (tail.Position{}) { // in a new file, perhaps
		s.state.Position, s.saved = at, false
	}
	now := time.Now()
	s.resample(now, s.sampler.idle(now))
	due := s.due(now)
	if _, is := s.journal.(Lease); is && due != 0 {
		s.saved = false
	}
	if due != 0 {
		// Nothing that has rows waits for what has none.
		n := int64(bits.OnesCount(due))
		if s.late = !s.o.Works.beating.TryAcquire(n); s.late {
			due = 0
		} else {
			defer s.o.Works.beating.Release(n)
		}
	}
	if s.saved && due == 0 {
		return nil
	}
	var messages []message
	var memory []byte
	if err := s.o.Works.do(func() (err error) {
		if !s.saved {
			if err := s.save(s.state); err != nil {
				return err
			}
			s.saved = true
		}
		if due == 0 {
			return nil
		}
		if s.live {
			s.state.Watermark = max(s.state.Watermark, now.UnixMilli()-s.o.Delay.Milliseconds())
		}
		messages, memory, err = s.o.Works.beat(&s.o, due, s.state.Watermark)
		return err
	}); err != nil || due == 0 {
		return err
	}
	for p := range s.sent {
		if due&(1<<p) != 0 {
			s.sent[p] = now
		}
	}
	var running sync.WaitGroup
	failed := make([]error, len(messages))
	for i, m := range messages {
		running.Go(func() { failed[i] = s.publishOne(ctx, m, memory[m.from:m.to]) })
	}
	running.Wait()
	return errors.Join(failed...)
}

// due is the set of partitions that are to get a watermark by now.
func (s *Ship) due(now time.Time) (beats uint) {
	for p := range s.sent {
		if !now.Before(s.nextBeat(p)) {
			beats |= 1 << p
		}
	}
	return beats
}

// rowsWithin is how many Beats after its last row a partition gets a watermark every Beat:
// whoever reads it waits for one that is missing, but not for that of a source that has had
// no row for long. Of a thousand idle logs those would be all that is ever sent.
const rowsWithin = 4

func (s *Ship) nextBeat(p int) time.Time {
	beat := s.o.Beat
	if s.rows[p].IsZero() || s.sent[p].Sub(s.rows[p]) >= rowsWithin*beat {
		beat = max(beat, s.o.Works.idleBeat())
	}
	return s.sent[p].Add(beat)
}

// untilBeat is how long no partition needs a watermark.
func (s *Ship) untilBeat() time.Duration {
	first := s.nextBeat(0)
	for p := range s.sent {
		if at := s.nextBeat(p); at.Before(first) {
			first = at
		}
	}
	wait := time.Until(first)
	if s.late {
		wait = max(wait, lateBeat)
	}
	return wait
}

// lateBeat is when a Ship that was due and found too many others on their way tries again.
const lateBeat = 100 * time.Millisecond
