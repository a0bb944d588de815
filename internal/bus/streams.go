package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/weir-project/weir/schemas"
)

// duplicates is how long a stream remembers message ids: longer than a
// collector takes to start again and publish anew what it had not got
// acknowledged.
const duplicates = 10 * time.Minute

// streamMessage bounds a stored message with its subject, id and headers.
const streamMessage = schemas.MaxMessage + 16<<10

// stream is what one stream must be. share is its part of the disk, of shares.
type stream struct {
	name, subject string
	about         string
	age           time.Duration
	share         int64
	newest        bool // of each subject the newest message alone is kept
}

// streams are all of them. Requests have most of the disk: they are what a
// stopped store or processor catches up from. Each discards its oldest.
func streams() []stream {
	const day = 24 * time.Hour
	return []stream{
		{schemas.StreamRequests, schemas.SubjectRequestsAll, "requests in batches, by partition", day, 20, false},
		{schemas.StreamIngest, schemas.SubjectIngestAll, "raw lines and objects of other shippers", day, 4, false},
		{schemas.StreamPanes, schemas.SubjectPanesAll, "panes, by partition", time.Hour, 3, false},
		{schemas.StreamIncidents, schemas.SubjectIncidentsAll, "events of incidents", 366 * day, 1, false},
		{schemas.StreamDecisions, schemas.SubjectDecisionsAll, "events of decisions, and snapshots of those in force", 7 * day, 3, false},
		{schemas.StreamDead, schemas.SubjectDeadAll, "a sample of lines that no parser took", 7 * day, 1, false},
		{schemas.StreamVitals, schemas.SubjectVitalsAll, "how edges are, once a second", 6 * time.Hour, 1, false},
		{schemas.StreamEdges, schemas.SubjectEdgesAll, "what edges hold, and whether anything is enforced: the newest of each", 30 * day, 1, true},
	}
}

// snapshotShare is the snapshots' part of the disk.
const snapshotShare = 3

// shares is how many parts of the disk there are: those of the streams, one
// for the state, and the snapshots'.
func shares() int64 {
	total := int64(1 + snapshotShare)
	for _, s := range streams() {
		total += s.share
	}
	return total
}

// storeBytes is what the embedded server may take on disk.
func (o Options) storeBytes() int64 {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return defaultMaxBytes
}

func (o Options) part(share int64) int64 { return o.storeBytes() / shares() * share }

// ensure makes the streams and the bucket what they must be. On a cluster of
// one's own, what its owner has set there is kept: replicas, placement, limits.
func (b *Bus) ensure(ctx context.Context) error {
	for _, s := range streams() {
		if err := b.ensureStream(ctx, s); err != nil {
			return b.where(fmt.Errorf("stream %s: %w", s.name, err))
		}
	}
	state, err := b.js.KeyValue(ctx, StateBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		state, err = b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: StateBucket, Description: "leases and checkpoints of weir",
			History: 1, Storage: jetstream.FileStorage, MaxBytes: b.options.part(1),
		})
	}
	if err != nil {
		return b.where(fmt.Errorf("bucket %s: %w", StateBucket, err))
	}
	b.state = state
	b.snapshots, err = b.js.KeyValue(ctx, SnapshotBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		b.snapshots, err = b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: SnapshotBucket, Description: "what weir's processors have worked out",
			History: 1, Storage: jetstream.FileStorage, MaxBytes: b.options.part(snapshotShare), MaxValueSize: streamMessage,
		})
	}
	if err != nil {
		return b.where(fmt.Errorf("bucket %s: %w", SnapshotBucket, err))
	}
	return nil
}

// findState looks for the bucket without insisting on it.
func (b *Bus) findState(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if state, err := b.js.KeyValue(ctx, StateBucket); err == nil {
		b.state = state
	}
	return nil
}

func (b *Bus) ensureStream(ctx context.Context, s stream) error {
	want := jetstream.StreamConfig{
		Name:        s.name,
		Description: s.about,
		Subjects:    []string{s.subject},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardOld,
		MaxAge:      s.age,
		MaxBytes:    b.options.part(s.share),
		MaxMsgSize:  streamMessage,
		Duplicates:  min(duplicates, s.age),
		AllowDirect: true,
	}
	if s.newest {
		want.MaxMsgsPerSubject = 1
	}
	present, err := b.js.Stream(ctx, s.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = b.js.CreateStream(ctx, want)
		return err
	}
	if err != nil {
		return err
	}
	is := present.CachedInfo().Config
	if is.Retention != want.Retention {
		return fmt.Errorf("its retention is %v, weir needs %v: remove or rename that stream", is.Retention, want.Retention)
	}
	changed := is
	changed.Subjects, changed.Discard, changed.AllowDirect = want.Subjects, want.Discard, want.AllowDirect
	changed.MaxMsgSize = want.MaxMsgSize
	changed.Duplicates = max(is.Duplicates, want.Duplicates)
	if b.server != nil {
		changed.MaxAge, changed.MaxBytes, changed.Description = want.MaxAge, want.MaxBytes, want.Description
	}
	_, err = b.js.UpdateStream(ctx, changed)
	return err
}
