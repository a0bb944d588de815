package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// storeClaim is who stores what goes over a NATS: one process, from before it has opened
// ClickHouse until it ends. Two would share the events between them, and each ClickHouse
// would have a part of those.
//
// The claim is a key that its owner writes again and again. Whoever has not seen that change
// for a while, by the watch on its own wrist, takes it; the one before, if it only slept, sees
// so at its next beat, and ends.
type storeClaim struct {
	bucket jetstream.KeyValue
	// who is the data directory: its lock is held, so that who had the claim for it has ended.
	who        string
	beat, gone time.Duration // zero: storeBeat, storeGone
	log        *slog.Logger
}

const (
	storeKey  = "storing"
	storeBeat = 2 * time.Second
	storeGone = 15 * time.Second
)

var errStoreTaken = errors.New("another weir has begun to store what goes over this NATS, as this one was not heard of for a while")

// take waits until the claim is this process's. held ends with ctx, or where another takes the
// claim; release gives it back, and its error says which.
func (c *storeClaim) take(ctx context.Context) (held context.Context, release func() error, err error) {
	if c.beat == 0 {
		c.beat, c.gone = storeBeat, storeGone
	}
	revision, err := c.wait(ctx)
	if err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.keep(held, lose, revision)
	}()
	return held, func() error {
		lose(nil)
		<-ended
		if err := context.Cause(held); errors.Is(err, errStoreTaken) {
			return err
		}
		return nil
	}, nil
}

// wait is the revision under which the claim was taken.
func (c *storeClaim) wait(ctx context.Context) (uint64, error) {
	var seen uint64
	var since time.Time
	told := false
	for {
		entry, err := c.bucket.Get(ctx, storeKey)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			var revision uint64
			if revision, err = c.bucket.Create(ctx, storeKey, []byte(c.who)); err == nil {
				return revision, nil
			}
		case err == nil:
			if entry.Revision() != seen {
				seen, since = entry.Revision(), time.Now()
			}
			if string(entry.Value()) == c.who || time.Since(since) > c.gone {
				var revision uint64
				if revision, err = c.bucket.Update(ctx, storeKey, []byte(c.who), seen); err == nil {
					return revision, nil
				}
			} else if !told {
				told = true
				c.log.Warn("another weir stores what goes over this NATS; this one begins when that has ended", "other", string(entry.Value()))
			}
		}
		if err != nil && !wasFaster(err) && ctx.Err() == nil {
			c.log.Warn("who stores what goes over this NATS could not be asked; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(c.beat):
		}
	}
}

// keep beats until ctx ends, and then gives the claim back.
func (c *storeClaim) keep(ctx context.Context, lose context.CancelCauseFunc, revision uint64) {
	tick := time.NewTicker(c.beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.beat)
			defer cancel()
			_ = c.bucket.Delete(last, storeKey, jetstream.LastRevision(revision)) // without it the next one waits
			return
		case <-tick.C:
		}
		next, err := c.bucket.Update(ctx, storeKey, []byte(c.who), revision)
		switch {
		case err == nil:
			revision = next
		case wasFaster(err) && !c.mine(ctx, &revision):
			lose(errStoreTaken)
			return
		case ctx.Err() == nil:
			c.log.Debug("the claim to store was not renewed", "error", err)
		}
	}
}

// mine reports whether the claim is this process's after all: a beat may have counted of
// which the answer was lost. Where it cannot be asked it may be.
func (c *storeClaim) mine(ctx context.Context, revision *uint64) bool {
	entry, err := c.bucket.Get(ctx, storeKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		*revision, err = c.bucket.Create(ctx, storeKey, []byte(c.who)) // the bucket was made anew
		return err == nil || !wasFaster(err)
	case err != nil:
		return true
	case string(entry.Value()) != c.who:
		return false
	}
	*revision = entry.Revision()
	return true
}

// wasFaster reports whether another has changed a key meanwhile.
func wasFaster(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// storeName tells a data directory from those of other machines.
func storeName(host, data string) string { return fmt.Sprintf("%s:%s", host, data) }
