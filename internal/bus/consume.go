package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ConsumerOptions name a durable consumer: one that NATS remembers, with what
// each of its messages has come to.
type ConsumerOptions struct {
	Stream  string
	Durable string // its name; readers of one name share the messages
	// Subjects are those wanted of the stream; empty is all.
	Subjects []string
	// MaxPending is how many messages may be unacknowledged at once; 0 is 64.
	MaxPending int
	// AckWait is after how long a message is delivered again whose reader is
	// gone; 0 is 10 s. A reader that lives may hold its messages for as long as
	// it wants.
	AckWait time.Duration
	// From is the first sequence that a new durable gets; 0 is the oldest. A
	// durable that exists goes on where it was.
	From uint64
}

// fetchWait is how long one request for messages stays open at the server. Each
// is asked for anew, so that no reader can be forgotten by it: a stalled one is
// back after this long at the latest.
const fetchWait = 5 * time.Second

// Consume hands the stream's messages to handle, one at a time, in the order of
// the stream (those delivered again come later), until ctx ends, which is not
// an error, or handle returns one, which Consume returns. Each message must be
// acknowledged, after handle has returned if need be and in any order; after a
// crash some that were acknowledged come again. Nothing
// else ends it: a lost connection or a consumer that someone removed is set up
// again.
func (b *Bus) Consume(ctx context.Context, o ConsumerOptions, handle func(context.Context, *Message) error) error {
	if o.MaxPending <= 0 {
		o.MaxPending = 64
	}
	if o.AckWait <= 0 {
		o.AckWait = 10 * time.Second
	}
	held := &held{messages: map[uint64]*Message{}}
	var beat sync.WaitGroup
	defer beat.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beat.Go(func() { held.beat(ctx, o.AckWait/3) })

	return b.again(ctx, o.Stream, o.Durable, func(progress func()) error {
		consumer, err := b.durable(ctx, o)
		if err != nil {
			return err
		}
		for ctx.Err() == nil {
			if err := b.batch(ctx, o, consumer, held, handle, progress); err != nil {
				return err
			}
		}
		return nil
	})
}

// batch hands over what one request for messages brings. What came and is not
// handed over any more goes back at once, or it would come again late and out
// of order.
func (b *Bus) batch(ctx context.Context, o ConsumerOptions, consumer jetstream.Consumer, held *held,
	handle func(context.Context, *Message) error, progress func()) error {
	var failed error
	err := fetch(ctx, consumer, o.MaxPending, func(raw jetstream.Msg) error {
		m, err := newMessage(raw, held)
		if err != nil {
			return err
		}
		if failed != nil || ctx.Err() != nil {
			return m.Nak(0)
		}
		b.metrics.deliver(o.Stream, o.Durable, m)
		if err := handle(ctx, m); err != nil {
			failed = stop{err}
			return nil
		}
		progress()
		return nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// fetch asks for up to most messages and hands them over as they come, until all have, fetchWait
// is over or ctx has ended. Each message that arrived is handed over, also after ctx has ended.
// It asks with time to wait also where messages are there: a request without any gives up after
// a second, and what a busy server sends later is lost.
func fetch(ctx context.Context, consumer jetstream.Consumer, most int, handle func(jetstream.Msg) error) error {
	ctx, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	batch, err := consumer.Fetch(most, jetstream.FetchContext(ctx))
	if err != nil {
		return err
	}
	return drain(batch, handle)
}

func drain(batch jetstream.MessageBatch, handle func(jetstream.Msg) error) (err error) {
	for raw := range batch.Messages() {
		if err == nil {
			err = handle(raw)
		}
	}
	if err == nil {
		err = batch.Error()
	}
	if err != nil && ended(err) {
		err = nil
	}
	return err
}

// ended tells the ordinary end of a request for messages from a failure.
func ended(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, jetstream.ErrNoMessages)
}

func (b *Bus) durable(ctx context.Context, o ConsumerOptions) (jetstream.Consumer, error) {
	config := jetstream.ConsumerConfig{
		Durable:        o.Durable,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        o.AckWait,
		MaxAckPending:  o.MaxPending,
		FilterSubjects: o.Subjects,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
	}
	if o.From > 0 {
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, o.From
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if present, err := b.js.Consumer(ctx, o.Stream, o.Durable); err == nil {
		// Where it starts is settled; the server refuses to hear of it again.
		is := present.CachedInfo().Config
		config.DeliverPolicy, config.OptStartSeq = is.DeliverPolicy, is.OptStartSeq
	}
	consumer, err := b.js.CreateOrUpdateConsumer(ctx, o.Stream, config)
	if err != nil {
		return nil, err
	}
	return consumer, b.resume(ctx, o, consumer)
}

// resume takes back, the first time a durable is read, what an earlier process
// had and did not acknowledge, in order and at once instead of after AckWait
// and behind newer messages. Only the embedded server is known to have no other
// reader.
func (b *Bus) resume(ctx context.Context, o ConsumerOptions, consumer jetstream.Consumer) error {
	key := o.Stream + " " + o.Durable
	if _, again := b.resumed.LoadOrStore(key, true); again || b.server == nil || consumer.CachedInfo().NumAckPending == 0 {
		return nil
	}
	if _, err := b.js.ResetConsumer(ctx, o.Stream, o.Durable); err != nil {
		b.resumed.Delete(key)
		return fmt.Errorf("take back what was not acknowledged: %w", err)
	}
	return nil
}

// stop carries an error of the caller's handle through again.
type stop struct{ error }

// again calls once until ctx ends or the caller's handle fails, waiting longer
// after each failure in a row; once calls progress whenever it got somewhere.
func (b *Bus) again(ctx context.Context, stream, reader string, once func(progress func()) error) error {
	failures := 0
	for ctx.Err() == nil {
		err := once(func() { failures = 0 })
		var stopped stop
		switch {
		case errors.As(err, &stopped):
			return stopped.error
		case err == nil || ctx.Err() != nil:
			continue
		case b.conn.IsClosed():
			return b.where(ErrClosed)
		}
		failures++
		b.metrics.restarts.WithLabelValues(stream, reader).Inc()
		wait := backoff(failures)
		b.log.Warn("nats: reading stopped; trying again", "stream", stream, "reader", reader, "wait", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return nil
}

// Message is one message of a stream. What Data returns is the reader's to keep.
type Message struct {
	raw      jetstream.Msg
	held     *held // nil where nothing is to be acknowledged
	sequence uint64
	number   uint64 // in the consumer's own count
	pending  uint64
	delivery uint64
	time     time.Time
}

func newMessage(raw jetstream.Msg, held *held) (*Message, error) {
	meta, err := raw.Metadata()
	if err != nil {
		return nil, fmt.Errorf("a message without its metadata: %w", err)
	}
	m := &Message{
		raw: raw, held: held, sequence: meta.Sequence.Stream, number: meta.Sequence.Consumer, pending: meta.NumPending,
		delivery: meta.NumDelivered, time: meta.Timestamp,
	}
	if held != nil {
		held.add(m)
	}
	return m, nil
}

// Data is the payload.
func (m *Message) Data() []byte { return m.raw.Data() }

// Subject is where it was published.
func (m *Message) Subject() string { return m.raw.Subject() }

// Sequence counts the messages of the stream from 1.
func (m *Message) Sequence() uint64 { return m.sequence }

// Time is when the stream stored it.
func (m *Message) Time() time.Time { return m.time }

// Pending is how many messages wait behind this one: 0 is caught up.
func (m *Message) Pending() uint64 { return m.pending }

// Delivered counts how often it was delivered, from 1.
func (m *Message) Delivered() uint64 { return m.delivery }

// Ack says that the message is done with. It does not wait for the server: one
// that is lost on the way means a message delivered again.
func (m *Message) Ack() error {
	if m.held == nil {
		return nil
	}
	m.held.remove(m)
	return m.raw.Ack()
}

// Nak asks for the message again, after a while.
func (m *Message) Nak(after time.Duration) error {
	if m.held == nil {
		return nil
	}
	m.held.remove(m)
	return m.raw.NakWithDelay(after)
}

// Term says that the message is never wanted again: it cannot be read.
func (m *Message) Term(reason string) error {
	if m.held == nil {
		return nil
	}
	m.held.remove(m)
	return m.raw.TermWithReason(reason)
}

// held are the messages that a reader has and has not acknowledged: at most
// MaxPending. It tells the server that they are being worked on.
type held struct {
	mutex    sync.Mutex
	messages map[uint64]*Message
}

func (h *held) add(m *Message) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.messages[m.sequence] = m
}

func (h *held) remove(m *Message) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.messages[m.sequence] == m {
		delete(h.messages, m.sequence)
	}
}

func (h *held) beat(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			h.mutex.Lock()
			for _, m := range h.messages {
				_ = m.raw.InProgress() // one that fails is delivered again
			}
			h.mutex.Unlock()
		}
	}
}

func (m *metrics) deliver(stream, reader string, message *Message) {
	m.delivered.WithLabelValues(stream, reader).Inc()
	if message.delivery > 1 {
		m.redelivered.WithLabelValues(stream, reader).Inc()
	}
}
