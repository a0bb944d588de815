package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
)

// revision is the fencing token in every message of events. There is one
// detector, so there is one revision.
const revision = 1

// desk is through which every event goes out: it keeps the board, and sees to it
// that a snapshot and the changes around it are in one order.
type desk struct {
	bus   *bus.Bus
	board *board
	log   *slog.Logger

	mu sync.Mutex // held while publishing
}

// restore fills the board from what the streams hold, and returns once it is there.
func (d *desk) restore(ctx context.Context) error {
	// From the oldest on, and not from the newest snapshot: that has no evidence.
	for _, stream := range []string{schemas.StreamIncidents, schemas.StreamDecisions} {
		if err := d.drain(ctx, stream); err != nil {
			return err
		}
	}
	return nil
}

func (d *desk) drain(ctx context.Context, stream string) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	return followEvents(ctx, d.bus, d.log, bus.FollowOptions{
		Stream: stream, Reader: "desk", CaughtUp: done,
	}, func(events []schemas.Event, _ bool) {
		for _, e := range events {
			d.board.apply(e)
		}
	})
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
		if len(events) > 0 || replace {
			handle(events, replace)
		}
		return nil
	})
}

// publish stores events in their streams, in order, and tries until it has, or
// ctx ends. ids are made of the events, so that publishing again is harmless.
func (d *desk) publish(ctx context.Context, events []schemas.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(events) > 0 {
		n := 1
		for n < len(events) && subjectOf(&events[n]) == subjectOf(&events[0]) {
			n++
		}
		if err := d.send(ctx, subjectOf(&events[0]), events[:n]); err != nil {
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

func (d *desk) send(ctx context.Context, subject string, events []schemas.Event) error {
	messages, err := schemas.EncodeEvents(revision, false, events)
	if err != nil {
		return err
	}
	first := &events[0]
	name := first.Incident
	if first.Decision != nil && first.ID != "" {
		name = first.ID
	}
	id := fmt.Sprintf("%s/%s/%d/%d", first.Type, name, first.Time.UnixMilli(), len(events))
	for i, message := range messages {
		if err := retry(ctx, func() error {
			return d.bus.Publish(ctx, subject, fmt.Sprintf("%s/%d", id, i), message)
		}, func(err error) { d.log.Error("events wait to be published", "error", err) }); err != nil {
			return err
		}
	}
	for _, e := range events {
		d.board.apply(e)
	}
	return nil
}

// snapshot publishes everything that is in force, so that an edge that starts
// need not read what went before.
func (d *desk) snapshot(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	inForce := d.board.inForce(time.Now())
	for i := range inForce { // an edge needs no evidence
		bare := *inForce[i].Decision
		bare.Evidence = nil
		inForce[i].Decision, inForce[i].Type = &bare, schemas.DecisionAdded
	}
	messages, err := schemas.EncodeEvents(revision, true, inForce)
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
