package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-project/weir/schemas"
)

// FollowOptions say what is read in order.
type FollowOptions struct {
	Stream string
	// Subjects are those wanted of the stream; empty is all.
	Subjects []string
	// From is the first sequence wanted; 0 and 1 are the oldest there is.
	From uint64
	// Reader names it in metrics and logs.
	Reader string
	// Read, if not nil, is told the sequence of each message, before it is handled.
	Read func(sequence uint64)
	// CaughtUp, if not nil, is called once: when everything that the stream held
	// has been handed over.
	CaughtUp func()
}

// Follow hands the stream's messages to handle, one at a time, in the order of
// the stream, each once, from a sequence on, until ctx ends, which is not an
// error, or handle returns one, which Follow returns. Nothing is to be
// acknowledged: the reader keeps what it has read up to, and starts from there
// when it is started again. Sequences that the stream has discarded meanwhile
// are logged and counted.
func (b *Bus) Follow(ctx context.Context, o FollowOptions, handle func(context.Context, *Message) error) error {
	next := max(o.From, 1)
	caughtUp := func() {
		if o.CaughtUp != nil {
			o.CaughtUp()
			o.CaughtUp = nil
		}
	}
	return b.again(ctx, o.Stream, o.Reader, func(progress func()) error {
		consumer, err := b.ephemeral(ctx, o, next)
		if err != nil {
			return err
		}
		defer b.remove(o.Stream, consumer)
		if consumer.CachedInfo().NumPending == 0 {
			caughtUp()
		}
		for count := uint64(0); ctx.Err() == nil; {
			err := fetch(ctx, consumer, followFetch, func(raw jetstream.Msg) error {
				if ctx.Err() != nil {
					return nil
				}
				m, err := newMessage(raw, nil)
				if err != nil {
					return err
				}
				if count++; m.number != count {
					return fmt.Errorf("message %d came as number %d: some were lost on the way", m.number, count)
				}
				b.metrics.deliver(o.Stream, o.Reader, m)
				if o.Read != nil {
					o.Read(m.sequence)
				}
				if err := handle(ctx, m); err != nil {
					return stop{err}
				}
				next = m.sequence + 1
				progress()
				if m.pending == 0 {
					caughtUp()
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// followFetch is how many messages are asked for at once.
const followFetch = 64

// ephemeral makes a consumer that the server forgets when nobody asks it.
func (b *Bus) ephemeral(ctx context.Context, o FollowOptions, from uint64) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if !b.options.LeaveStreams { // it may not be allowed to ask
		s, err := b.js.Stream(ctx, o.Stream)
		if err != nil {
			return nil, err
		}
		if first := s.CachedInfo().State.FirstSeq; from > 1 && first > from {
			b.metrics.lost.WithLabelValues(o.Stream, o.Reader).Add(float64(first - from))
			b.log.Warn("nats: the stream has discarded messages before they were read: give it more room, or look why the reader lags",
				"stream", o.Stream, "reader", o.Reader, "wanted", from, "first", first)
		}
	}
	return b.js.CreateConsumer(ctx, o.Stream, jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubjects:    o.Subjects,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		InactiveThreshold: time.Minute,
		MemoryStorage:     true,
		Replicas:          1,
	})
}

// remove tidies up; the server would do it by itself, later.
func (b *Bus) remove(stream string, consumer jetstream.Consumer) {
	if !b.conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = b.js.DeleteConsumer(ctx, stream, consumer.CachedInfo().Name)
}

// Headers of the messages of one snapshot.
const (
	headerPart  = schemas.HeaderPart
	headerParts = schemas.HeaderParts
	headerFirst = schemas.HeaderFirst
)

// PublishSnapshot stores the messages of one snapshot, in order, and waits until
// each is stored. Only then do readers take it: one that is cut short is passed
// over by SnapshotStart. One writer a subject.
func (b *Bus) PublishSnapshot(ctx context.Context, subject string, parts [][]byte) error {
	first := ""
	for i, data := range parts {
		m := message(subject, "", data)
		m.Header = nats.Header{
			headerPart:  []string{strconv.Itoa(i + 1)},
			headerParts: []string{strconv.Itoa(len(parts))},
		}
		if first != "" {
			m.Header[headerFirst] = []string{first}
		}
		sequence, err := b.publish(ctx, m)
		if err != nil {
			return fmt.Errorf("snapshot: part %d of %d: %w", i+1, len(parts), err)
		}
		if i == 0 {
			first = strconv.FormatUint(sequence, 10)
		}
	}
	return nil
}

// SnapshotStart is the sequence from which a reader that knows nothing reads on:
// the first message of the newest complete snapshot on the subject; where the
// newest is not complete, or there is none, 1, the oldest there is. What lies
// behind it are that snapshot's other parts and the changes since.
func (b *Bus) SnapshotStart(ctx context.Context, stream, subject string) (uint64, error) {
	m, err := b.last(ctx, stream, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 1, nil
	}
	if err != nil {
		return 0, b.where(fmt.Errorf("the newest snapshot of %s: %w", stream, err))
	}
	if m.Header.Get(headerPart) != m.Header.Get(headerParts) {
		return 1, nil
	}
	if first, err := strconv.ParseUint(m.Header.Get(headerFirst), 10, 64); err == nil && first < m.Sequence {
		return first, nil
	}
	return m.Sequence, nil
}

// Last is the newest message on a subject, with its sequence: 0 and nil where
// there is none.
func (b *Bus) Last(ctx context.Context, stream, subject string) (sequence uint64, data []byte, err error) {
	m, err := b.last(ctx, stream, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, b.where(fmt.Errorf("the newest message on %s: %w", subject, err))
	}
	return m.Sequence, m.Data, nil
}

func (b *Bus) last(ctx context.Context, stream, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	return s.GetLastMsgForSubject(ctx, subject)
}

// LastSequence is the sequence of the stream's newest message; 0 if it never had one.
func (b *Bus) LastSequence(ctx context.Context, stream string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return 0, b.where(fmt.Errorf("stream %s: %w", stream, err))
	}
	return s.CachedInfo().State.LastSeq, nil
}

// ClockBehind is by how much this machine's clock is behind NATS's, to within half of
// what an answer takes.
func (b *Bus) ClockBehind(ctx context.Context, stream string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	asked := time.Now()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return 0, b.where(fmt.Errorf("stream %s: %w", stream, err))
	}
	there := s.CachedInfo().TimeStamp
	if there.IsZero() { // a server before 2.10
		return 0, nil
	}
	return there.Sub(asked.Add(time.Since(asked) / 2).Round(0)), nil
}
