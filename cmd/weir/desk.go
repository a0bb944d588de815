package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
)

// desk is through which every event goes out and comes in: it keeps the board by reading
// the streams of events, whoever publishes them, and sees to it that a snapshot and the
// changes around it are in one order.
//
// Every message has the token of the detector's lease, and a reader refuses one that is
// older than it has seen. A new detector first publishes its token with nothing, waits
// until it has read that itself, and from then on nothing of the one before counts: what
// has been published by then, and only that, it leaves out.
type desk struct {
	bus   *bus.Bus
	board *board
	token func() uint64 // that of the detector's lease at this moment; nil is 0
	log   *slog.Logger

	publishing sync.Mutex // held while publishing

	mu       sync.Mutex        // all that follows
	revision map[string]uint64 // the greatest seen in each stream
	reached  map[string]uint64 // how far each stream was read
	news     chan struct{}     // closed when something was read
	seen     map[string]bool   // events that were published
	order    []string          // of seen
}

// seenEvents bounds the events that are remembered as published.
const seenEvents = 50_000

// eventStreams are those that the desk reads.
var eventStreams = [...]string{schemas.StreamIncidents, schemas.StreamDecisions}

func newDesk(b *bus.Bus, log *slog.Logger) *desk {
	return &desk{
		bus: b, board: newBoard(), log: log,
		revision: make(map[string]uint64), reached: make(map[string]uint64), seen: make(map[string]bool), news: make(chan struct{}),
	}
}

// restore fills the board from what the streams hold, and returns once it is there.
func (d *desk) restore(ctx context.Context) error {
	// From the oldest on, and not from the newest snapshot: that has no evidence.
	for _, stream := range eventStreams {
		reading, done := context.WithCancel(ctx)
		err := d.read(reading, stream, done)
		done()
		if err != nil {
			return err
		}
	}
	return nil
}

// follow keeps the board until ctx ends.
func (d *desk) follow(ctx context.Context) error {
	both := make(chan error, len(eventStreams))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, stream := range eventStreams {
		go func() {
			err := d.read(ctx, stream, nil)
			cancel() // one ends both
			both <- err
		}()
	}
	var all error
	for range eventStreams {
		all = errors.Join(all, <-both)
	}
	return all
}

// read reads a stream on from where it was read to.
func (d *desk) read(ctx context.Context, stream string, caughtUp func()) error {
	d.mu.Lock()
	sets := schemas.EventSets{Revision: d.revision[stream]}
	from := d.reached[stream] + 1
	d.mu.Unlock()
	return d.bus.Follow(ctx, bus.FollowOptions{Stream: stream, From: from, Reader: "desk", CaughtUp: caughtUp}, func(_ context.Context, m *bus.Message) error {
		header, events, err := schemas.DecodeEvents(m.Data())
		if err == nil {
			// A decision that is refused because an incident of a newer detector came in
			// between was refused by every edge too.
			events, _, err = sets.Add(header, events)
		}
		if err != nil {
			d.log.Warn("a message of events was passed over", "stream", stream, "sequence", m.Sequence(), "error", err)
		}
		d.take(stream, m.Sequence(), &header, events, err == nil)
		return nil
	})
}

// take notes what was read.
func (d *desk) take(stream string, sequence uint64, header *schemas.EventsHeader, events []schemas.Event, counts bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if counts {
		for _, e := range events {
			d.board.apply(e)
			if !header.Snapshot {
				d.remember(identity(&e))
			}
		}
		d.revision[stream] = max(d.revision[stream], header.Revision)
	}
	d.reached[stream] = sequence
	close(d.news)
	d.news = make(chan struct{})
}

func (d *desk) remember(id string) {
	if d.seen[id] {
		return
	}
	d.seen[id] = true
	if d.order = append(d.order, id); len(d.order) > seenEvents {
		for _, old := range d.order[:seenEvents/10] {
			delete(d.seen, old)
		}
		d.order = append([]string(nil), d.order[seenEvents/10:]...)
	}
}

// identity is what an event is told from all others by.
func identity(e *schemas.Event) string {
	name := e.Incident
	if e.Decision != nil && e.ID != "" {
		name = e.ID
	}
	return fmt.Sprintf("%s/%s/%d", e.Type, name, e.Time.UnixMilli())
}

// fence makes sure that nothing counts any more that an earlier detector publishes, and
// that everything is known that it has.
func (d *desk) fence(ctx context.Context, token uint64) error {
	nothing, err := schemas.EncodeEvents(token, false, nil)
	if err != nil {
		return err
	}
	for i, subject := range []string{schemas.SubjectIncidents, schemas.SubjectDecisions} {
		if err := d.bus.Publish(ctx, subject, "", nothing[0]); err != nil {
			return err
		}
		newest, err := d.bus.LastSequence(ctx, eventStreams[i])
		if err != nil {
			return err
		}
		if err := d.await(ctx, eventStreams[i], newest); err != nil {
			return err
		}
	}
	return nil
}

// await returns when a stream has been read up to a message.
func (d *desk) await(ctx context.Context, stream string, sequence uint64) error {
	for {
		d.mu.Lock()
		there, news := d.reached[stream] >= sequence, d.news
		d.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// followEvents reads a stream of events in order until ctx ends. replace says that
// what it hands over is all that there is.
func followEvents(ctx context.Context, b *bus.Bus, log *slog.Logger, o bus.FollowOptions, handle func(events []schemas.Event, replace bool)) error {
	var sets schemas.EventSets
	return b.Follow(ctx, o, func(_ context.Context, m *bus.Message) error {
		header, events, err := schemas.DecodeEvents(m.Data())
		var replace bool
		if err == nil {
			events, replace, err = sets.Add(header, events)
		}
		if err != nil {
			log.Warn("a message of events was passed over", "stream", o.Stream, "sequence", m.Sequence(), "error", err)
			return nil
		}
		if header.Newer > 0 {
			log.Warn("events were passed over that only a newer weir knows", "stream", o.Stream, "sequence", m.Sequence(), "events", header.Newer)
		}
		if len(events) > 0 || replace {
			handle(events, replace)
		}
		return nil
	})
}

// publish stores a person's events in their streams, in order, and tries until it has, or
// ctx ends.
func (d *desk) publish(ctx context.Context, events []schemas.Event) error {
	d.mu.Lock()
	token := max(d.revision[schemas.StreamIncidents], d.revision[schemas.StreamDecisions])
	d.mu.Unlock()
	if d.token != nil {
		token = max(token, d.token())
	}
	return d.send(ctx, token, events)
}

// publishAs stores a detector's events likewise, but for those that were stored before.
func (d *desk) publishAs(ctx context.Context, token uint64, events []schemas.Event) error {
	var fresh []schemas.Event
	d.mu.Lock()
	for i := range events {
		if !d.seen[identity(&events[i])] {
			fresh = append(fresh, events[i])
		}
	}
	d.mu.Unlock()
	return d.send(ctx, token, fresh)
}

func (d *desk) send(ctx context.Context, token uint64, events []schemas.Event) error {
	d.publishing.Lock()
	defer d.publishing.Unlock()
	for len(events) > 0 {
		n := 1
		for n < len(events) && subjectOf(&events[n]) == subjectOf(&events[0]) {
			n++
		}
		if err := d.sendTo(ctx, subjectOf(&events[0]), token, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func subjectOf(e *schemas.Event) string {
	if e.Decision != nil && e.ID != "" {
		return schemas.SubjectDecisions
	}
	return schemas.SubjectIncidents
}

func (d *desk) sendTo(ctx context.Context, subject string, token uint64, events []schemas.Event) error {
	messages, err := schemas.EncodeEvents(token, false, events)
	if err != nil {
		return err
	}
	id := fmt.Sprintf("%d/%s/%d", token, identity(&events[0]), len(events))
	for i, message := range messages {
		if err := retry(ctx, func() error {
			return d.bus.Publish(ctx, subject, fmt.Sprintf("%s/%d", id, i), message)
		}, func(err error) { d.log.Error("events wait to be published", "error", err) }); err != nil {
			return err
		}
	}
	for _, e := range events { // not to wait for it to be read
		d.board.apply(e)
	}
	return nil
}

// snapshot publishes everything that is in force, so that an edge that starts
// need not read what went before.
func (d *desk) snapshot(ctx context.Context, token uint64) error {
	d.publishing.Lock()
	defer d.publishing.Unlock()
	inForce := d.board.inForce(time.Now())
	for i := range inForce { // an edge needs no evidence
		bare := *inForce[i].Decision
		bare.Evidence = nil
		inForce[i].Decision, inForce[i].Type = &bare, schemas.DecisionAdded
	}
	messages, err := schemas.EncodeEvents(token, true, inForce)
	if err != nil {
		return err
	}
	return d.bus.PublishSnapshot(ctx, schemas.SubjectSnapshot, messages)
}

// Pauses of retry.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
)

// retry calls f until it succeeds or ctx ends, which error it then returns; failed
// is told of the first failure of a row.
func retry(ctx context.Context, f func() error, failed func(error)) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if pause == firstPause {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
