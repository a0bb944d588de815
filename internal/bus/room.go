package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Room is how full a stream is.
type Room struct {
	first, last uint64  // sequences that it holds
	filled      float64 // share of what it may hold, 0 to 1; 0 where that is not bounded
}

// Room asks a stream.
func (b *Bus) Room(ctx context.Context, stream string) (Room, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return Room{}, b.where(err)
	}
	return roomOf(s.CachedInfo()), nil
}

func roomOf(info *jetstream.StreamInfo) Room {
	r := Room{first: info.State.FirstSeq, last: info.State.LastSeq}
	if most := info.Config.MaxBytes; most > 0 {
		r.filled = min(float64(info.State.Bytes)/float64(most), 1)
	}
	return r
}

// After is the share of the room that the messages after a sequence take, 0 to 1, as if
// all were equally long.
func (r Room) After(sequence uint64) float64 {
	if r.last <= sequence || r.last < r.first {
		return 0
	}
	from := max(sequence, max(r.first, 1)-1)
	return r.filled * float64(r.last-from) / float64(r.last-max(r.first, 1)+1)
}

// Usage is what NATS holds for all streams of its account, in bytes.
func (b *Bus) Usage(ctx context.Context) (memory, disk uint64, err error) {
	account, err := b.js.AccountInfo(ctx)
	if err != nil {
		return 0, 0, b.where(err)
	}
	return account.Memory, account.Store, nil
}

// readLooks is how often Read looks, and readPause how long it waits between: who reads asks
// for messages all the time but for moments.
const (
	readLooks = 5
	readPause = 200 * time.Millisecond
)

// Read reports whether somebody reads a durable now, on any machine. It takes a second.
func (b *Bus) Read(ctx context.Context, stream, durable string) (bool, error) {
	for range readLooks {
		consumer, err := b.js.Consumer(ctx, stream, durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return false, nil
		}
		if err != nil {
			return false, b.where(err)
		}
		if consumer.CachedInfo().NumWaiting > 0 {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(readPause):
		}
	}
	return false, nil
}
