package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ackTimeout is how long a published message may go unacknowledged.
const ackTimeout = 5 * time.Second

// Publish stores one message and waits until it is stored: nil means that the
// stream has it, and that killing this process does not lose it. id is the
// message's deterministic id: within ten minutes the stream takes each id once,
// so that after an error publishing the same again is right; empty is none.
// After an error the message may or may not be stored.
func (b *Bus) Publish(ctx context.Context, subject, id string, data []byte) error {
	_, err := b.publish(ctx, message(subject, id, data))
	return err
}

// PublishAfter stores a message only if the newest on its subject is that of a sequence
// (0: there is none), and returns its own. Who writes so has the subject for itself: of
// two, one gets ErrNotLast. So does who publishes again what had been stored although an
// error came back: look at Last.
func (b *Bus) PublishAfter(ctx context.Context, subject string, last uint64, data []byte) (sequence uint64, err error) {
	m := message(subject, "", data)
	m.Header = nats.Header{jetstream.ExpectedLastSubjSeqHeader: []string{strconv.FormatUint(last, 10)}}
	sequence, err = b.publish(ctx, m)
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return 0, fmt.Errorf("publish %s: %w", subject, ErrNotLast)
	}
	return sequence, err
}

func (b *Bus) publish(ctx context.Context, m *nats.Msg) (sequence uint64, err error) {
	if err := b.room(); err != nil {
		b.metrics.publishErrors.Inc()
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	ack, err := b.js.PublishMsg(ctx, m)
	if err != nil {
		b.metrics.publishErrors.Inc()
		return 0, b.where(fmt.Errorf("publish %s: %w", m.Subject, err))
	}
	b.metrics.count(ack)
	return ack.Sequence, nil
}

func message(subject, id string, data []byte) *nats.Msg {
	m := &nats.Msg{Subject: subject, Data: data}
	if id != "" {
		m.Header = nats.Header{jetstream.MsgIDHeader: []string{headerValue(id)}}
	}
	return m
}

// headerValue keeps ids apart that a header would fold into one: it ends at a
// newline, and loses spaces at its ends.
func headerValue(id string) string {
	if strings.TrimSpace(id) == id && !strings.ContainsAny(id, "\r\n\"") {
		return id
	}
	return strconv.QuoteToASCII(id)
}

// Pipeline publishes without waiting for each message: as many as its window are
// on their way at once. Not for concurrent use.
type Pipeline struct {
	bus    *Bus
	window chan struct{}
}

// Pipeline makes one with a window of so many messages, at least 1.
func (b *Bus) Pipeline(window int) *Pipeline {
	return &Pipeline{bus: b, window: make(chan struct{}, max(window, 1))}
}

// Publish sends one message; it blocks while the window is full and until ctx
// ends. done is called once, from another goroutine, with the sequence under
// which the message is stored, or with the error; it must not block. Where
// Publish itself returns an error, done is not called. data must stay as it is
// until then.
func (p *Pipeline) Publish(ctx context.Context, subject, id string, data []byte, done func(sequence uint64, err error)) error {
	select {
	case p.window <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	b := p.bus
	release := func() { <-p.window }
	if err := b.room(); err != nil {
		release()
		b.metrics.publishErrors.Inc()
		return err
	}
	future, err := b.js.PublishMsgAsync(message(subject, id, data))
	if err != nil {
		release()
		b.metrics.publishErrors.Inc()
		return b.where(fmt.Errorf("publish %s: %w", subject, err))
	}
	go func() { // ends after ackTimeout at the latest
		defer release()
		select {
		case ack := <-future.Ok():
			b.metrics.count(ack)
			done(ack.Sequence, nil)
		case err := <-future.Err():
			b.metrics.publishErrors.Inc()
			done(0, b.where(fmt.Errorf("publish %s: %w", subject, err)))
		}
	}()
	return nil
}

// Wait blocks until every message has been acknowledged or has failed, and done
// has been called for each.
func (p *Pipeline) Wait(ctx context.Context) error {
	for held := range cap(p.window) {
		select {
		case p.window <- struct{}{}:
		case <-ctx.Done():
			p.release(held)
			return ctx.Err()
		}
	}
	p.release(cap(p.window))
	return nil
}

func (p *Pipeline) release(n int) {
	for range n {
		<-p.window
	}
}
