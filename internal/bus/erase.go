package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Find lists the sequences of a stream's messages that a caller looks for.
func (b *Bus) Find(ctx context.Context, stream string, wanted func(subject string, sequence uint64, data []byte) bool) (found []uint64, err error) {
	reading, done := context.WithCancel(ctx)
	defer done()
	err = b.Follow(reading, FollowOptions{Stream: stream, Reader: "find", CaughtUp: done}, func(_ context.Context, m *Message) error {
		if wanted(m.Subject(), m.Sequence(), m.Data()) {
			found = append(found, m.Sequence())
		}
		return nil
	})
	return found, errors.Join(err, ctx.Err())
}

// Overwrite deletes messages, and writes noise where they stood on disk.
func (b *Bus) Overwrite(ctx context.Context, stream string, sequences []uint64) error {
	if len(sequences) == 0 {
		return nil
	}
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return b.where(fmt.Errorf("stream %s: %w", stream, err))
	}
	for _, sequence := range sequences {
		if err := s.SecureDeleteMsg(ctx, sequence); err != nil && !gone(err) {
			return b.where(fmt.Errorf("stream %s: delete message %d: %w", stream, sequence, err))
		}
	}
	return nil
}

// gone reports whether a message was there no more: of a subject of which one is kept, it
// has been replaced.
func gone(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrMsgNotFound) || errors.As(err, &api) && api.ErrorCode == sequenceNotFound
}

// sequenceNotFound is the server's code for it (JSSequenceNotFoundErrF).
const sequenceNotFound = 10043

// Settled is the sequence up to which everybody who reads a stream has read it, and its durable
// readers have acknowledged; 0 while one of those that a caller names is not there.
func (b *Bus) Settled(ctx context.Context, stream string, durables ...string) (uint64, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return 0, b.where(fmt.Errorf("stream %s: %w", stream, err))
	}
	settled, there := s.CachedInfo().State.LastSeq, 0
	readers := s.ListConsumers(ctx)
	for c := range readers.Info() {
		if slices.Contains(durables, c.Config.Durable) {
			there++
		}
		switch {
		case c.NumPending+uint64(c.NumAckPending) == 0:
		case c.Config.AckPolicy == jetstream.AckNonePolicy:
			settled = min(settled, c.Delivered.Stream)
		default:
			settled = min(settled, c.AckFloor.Stream)
		}
	}
	if there < len(durables) {
		settled = 0
	}
	return settled, readers.Err()
}

// Bytes of the files that a stream's messages stand in, by the bytes that it may hold: as
// the server chooses them (nats-server, filestore.go, dynBlkSize).
const (
	largeBlock  = 8 << 20
	mediumBlock = 4 << 20
	fillerBytes = 256 << 10
)

// SnapshotStream is the stream behind the bucket of snapshots.
const SnapshotStream = "KV_" + SnapshotBucket

// Renew writes the newest message of each subject of a stream once more, and removes the
// files in which they stood, with all that stood in them before and was deleted or replaced:
// that is otherwise there until more than half of a file is. Subject is one of the stream's
// that nobody reads: what fills the last of those files goes there for a moment.
func (b *Bus) Renew(ctx context.Context, stream, subject string) error {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return b.where(fmt.Errorf("stream %s: %w", stream, err))
	}
	block, most := int64(largeBlock), s.CachedInfo().Config.MaxBytes
	if most > 0 && most/4 < largeBlock {
		block = mediumBlock
	}
	if used := int64(s.CachedInfo().State.Bytes); most > 0 && most < 2*used+block+1<<20 {
		return b.where(fmt.Errorf("stream %s holds %d bytes of %d: too many to be written anew; give nats.disk more", stream, used, most))
	}
	before := s.CachedInfo().State.LastSeq
	filler := make([]byte, fillerBytes)
	last := before
	for i := int64(0); i*fillerBytes <= block; i++ {
		if last, err = b.publish(ctx, message(subject+"."+strconv.FormatInt(i, 10), "", filler)); err != nil {
			return err
		}
	}
	if err := b.rewrite(ctx, s, before); err != nil {
		return b.where(fmt.Errorf("stream %s: %w", stream, err))
	}
	return s.Purge(ctx, jetstream.WithPurgeSequence(last+1))
}

// rewrite publishes each message up to a sequence once more, but for those that another has
// replaced meanwhile, and for what says that a key was deleted.
func (b *Bus) rewrite(ctx context.Context, s jetstream.Stream, upTo uint64) error {
	state := s.CachedInfo().State
	for sequence := state.FirstSeq; sequence <= upTo; sequence++ {
		m, err := s.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if m.Header.Get("KV-Operation") != "" {
			continue
		}
		fresh := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: []string{strconv.FormatUint(sequence, 10)}}}
		_, err = b.publish(ctx, fresh)
		var api *jetstream.APIError
		if err != nil && (!errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence) {
			return err
		}
	}
	return nil
}
