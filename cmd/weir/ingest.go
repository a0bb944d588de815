package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/ingest"
	"github.com/weir-project/weir/collectors/intake"
	"github.com/weir-project/weir/collectors/ship"
	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
)

// ingestEdge is the edge of what came by weir.ingest: which machine's log it is the
// messages do not say, and whichever collector reads them makes the same batches.
const ingestEdge = "ingest"

// ingesting turns what others publish to one subject into batches. Where several
// collectors are told to, one does, and another takes over when it falls silent: what
// has been read is in NATS beside the messages, and only who has written it last may
// write again.
type ingesting struct {
	ship    *ship.Ship
	journal *sharedJournal
}

// newIngest makes the collector of a subject.
func (c *collecting) newIngest(subject string, source *config.Source) (*ingesting, error) {
	format, err := accesslog.ByName(source.Format)
	if err != nil {
		return nil, usageError{err}
	}
	last := subject[strings.LastIndexByte(subject, '.')+1:]
	if named, err := accesslog.ByName(last); err == nil && format == accesslog.Auto {
		format = named
	}
	name := "nats " + subject
	metrics, err := intake.NewMetrics(c.metrics, name)
	if err != nil {
		return nil, err
	}
	follow := func(ctx context.Context, from uint64, handle func(context.Context, ingest.Message) error) error {
		b, err := c.to.open()
		if err != nil {
			return err
		}
		return b.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamIngest, Subjects: []string{subject}, From: from, Reader: name},
			func(ctx context.Context, m *bus.Message) error { return handle(ctx, m) })
	}
	journal := &sharedJournal{open: c.to.open, key: "ingest." + last, owner: fmt.Sprintf("%s/%d/%d", c.config.Edge.Name, os.Getpid(), time.Now().UnixNano())}
	shipping := c.shipOptions(source.Site, format)
	shipping.Source, shipping.Edge, shipping.Resolve = name, ingestEdge, c.resolve()
	shipping.Open = func() ship.Input {
		return ingest.New(ingest.Options{Subject: subject, Follow: follow, Metrics: metrics, Logger: c.log})
	}
	s, err := ship.New(shipping, journal, c.to)
	return &ingesting{ship: s, journal: journal}, err
}

// run reads and ships until ctx ends, once nobody else does.
func (i *ingesting) run(ctx context.Context) error {
	if err := i.journal.wait(ctx); err != nil {
		return ctxDone(ctx, err)
	}
	return i.ship.Run(ctx)
}

// sharedJournal is a ship.Journal in NATS. Save fails where another has saved since.
type sharedJournal struct {
	open     func() (*bus.Bus, error)
	key      string
	owner    string
	revision uint64
}

// sharedState is what it holds.
type sharedState struct {
	Owner string     `json:"owner"`
	State ship.State `json:"state"`
}

// Times of a shared journal: a ship saves about once a second, also while it is idle.
const (
	journalTimeout = 5 * time.Second
	ownerGone      = 10 * time.Second
)

// wait returns when nobody else has saved for a while, or with ctx's error.
func (j *sharedJournal) wait(ctx context.Context) error {
	for {
		at, state, err := j.get(ctx)
		if err != nil {
			return err
		}
		rest := ownerGone - time.Since(at)
		if state.Owner == "" || state.Owner == j.owner || rest <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(rest, ownerGone)): // the clocks may differ
		}
	}
}

// get gives what was saved last, and when; the zero values where nothing was.
func (j *sharedJournal) get(ctx context.Context) (at time.Time, state sharedState, err error) {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	bucket, err := j.bucket()
	if err != nil {
		return at, state, err
	}
	entry, err := bucket.Get(ctx, j.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		j.revision = 0
		return at, state, nil
	}
	if err != nil {
		return at, state, fmt.Errorf("journal %s in NATS: %w", j.key, err)
	}
	if err := json.Unmarshal(entry.Value(), &state); err != nil {
		return at, state, fmt.Errorf("journal %s in NATS is damaged: %w", j.key, err)
	}
	j.revision = entry.Revision()
	return entry.Created(), state, nil
}

// bucket is where it lies.
func (j *sharedJournal) bucket() (jetstream.KeyValue, error) {
	b, err := j.open()
	if err != nil {
		return nil, err
	}
	if b.State() == nil {
		return nil, fmt.Errorf("journal %s in NATS: no bucket %s, or no permission to see it", j.key, bus.StateBucket)
	}
	return b.State(), nil
}

// Load implements ship.Journal.
func (j *sharedJournal) Load() (ship.State, error) {
	_, state, err := j.get(context.Background())
	if err != nil || j.revision == 0 {
		return ship.State{}, err
	}
	if err := state.State.Check(); err != nil {
		return ship.State{}, fmt.Errorf("journal %s in NATS: %w", j.key, err)
	}
	return state.State, nil
}

// Leased implements ship.Lease.
func (j *sharedJournal) Leased() {}

// Save implements ship.Journal.
func (j *sharedJournal) Save(state ship.State) error {
	value, err := json.Marshal(sharedState{Owner: j.owner, State: state.Saved()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), journalTimeout)
	defer cancel()
	bucket, err := j.bucket()
	if err != nil {
		return err
	}
	revision, err := bucket.Update(ctx, j.key, value, j.revision)
	if err != nil {
		return fmt.Errorf("journal %s in NATS: %w", j.key, err)
	}
	j.revision = revision
	return nil
}
