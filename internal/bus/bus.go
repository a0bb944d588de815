// Package bus is NATS as weir uses it: a server within the process or a cluster
// elsewhere, the streams of the pipeline, publishing that waits for the
// acknowledgement, and reading in which the acknowledgement travels with the
// message.
//
//	Open ─▶ Bus ─┬─ Publish, Pipeline     a message is stored when it returns nil
//	             ├─ Consume               durable, acknowledged message by message
//	             ├─ Follow                in order from a sequence that the reader keeps
//	             └─ State                 the bucket of leases and checkpoints
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// StateBucket is the key-value bucket of leases and checkpoints.
const StateBucket = "WEIR_STATE"

// SnapshotBucket is the key-value bucket of what processors have worked out.
const SnapshotBucket = "WEIR_SNAPSHOTS"

// Options say where NATS is. Either Dir (a server in this process) or URL (one
// elsewhere) is set.
type Options struct {
	// Dir is where the embedded server keeps its streams; made if missing.
	Dir string
	// Listen is a host:port on which the embedded server answers others too; empty
	// is no port at all. Other than on loopback it demands TLS with an authority,
	// and of every client a certificate of that authority.
	Listen string
	// MaxBytes bounds what the embedded streams take on disk in all; 0 is 4 GiB.
	MaxBytes int64
	// Reserve is how much free disk the embedded server leaves to others: with
	// less, publishing fails with ErrDiskFull, and nothing is lost. 0 is 64 MiB.
	Reserve int64

	// URL is one or several servers, "nats://a:4222,nats://b:4222".
	URL string
	// Credentials is a file as `nsc generate creds` writes it; empty is none.
	Credentials string
	// TLS is what both sides prove themselves with.
	TLS TLS
	// LeaveStreams says that this process may not create or change streams: an edge.
	LeaveStreams bool

	// StartTimeout is how long Open waits for an answer; 0 is 5 s. Once open, a
	// bus reconnects for ever.
	StartTimeout time.Duration
	// Name is what NATS calls this connection in its own lists; 0 is "weir".
	Name string

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// TLS names PEM files.
type TLS struct {
	CA   string // the authority that signed the other side; empty is the system's
	Cert string // with Key: this side's certificate; empty is none
	Key  string
}

// Errors that callers tell apart.
var (
	// ErrDiskFull is wrapped when the embedded server's disk has less free than
	// Options.Reserve. Trying again later is right.
	ErrDiskFull = errors.New("disk full")
	// ErrClosed is wrapped once the bus is closed.
	ErrClosed = errors.New("bus is closed")
	// ErrNotLast is wrapped by PublishAfter when another has published on the subject.
	ErrNotLast = errors.New("another message came in between")
)

// Bus is an open connection. Its methods may be used concurrently.
type Bus struct {
	options Options
	log     *slog.Logger
	metrics metrics
	server  *embedded // nil with a URL
	conn    *nats.Conn
	js      jetstream.JetStream
	state   jetstream.KeyValue
	// snapshots is nil with LeaveStreams
	snapshots jetstream.KeyValue
	resumed   sync.Map // durables that this process has begun to read
}

// Alone reports whether no other process can reach the streams: the server is in this one, and
// answers nobody else.
func (b *Bus) Alone() bool { return b.server != nil && b.options.Listen == "" }

// Open starts the embedded server or connects to the one at the URL, and makes
// the streams what they must be. It returns within about Options.StartTimeout;
// its error is one line that says where, and what to do. The bus lives until
// Close, not until ctx ends.
func Open(ctx context.Context, o Options) (*Bus, error) {
	if (o.Dir == "") == (o.URL == "") {
		return nil, errors.New("nats: want either a directory (embedded) or a URL, not both and not none")
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = 5 * time.Second
	}
	if o.Name == "" {
		o.Name = "weir"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, o.StartTimeout)
	defer cancel()

	b := &Bus{options: o, log: o.Logger}
	if err := b.metrics.register(o.Registerer); err != nil {
		return nil, fmt.Errorf("nats: metrics: %w", err)
	}
	if err := b.open(ctx); err != nil {
		_ = b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) (err error) {
	if b.options.Dir != "" {
		if b.server, err = startEmbedded(ctx, b.options); err != nil {
			return err
		}
	}
	if b.conn, err = b.connect(ctx); err != nil {
		return err
	}
	b.js, err = jetstream.New(b.conn,
		jetstream.WithPublishAsyncMaxPending(1<<20), // Pipeline bounds it itself
		jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		return b.where(err)
	}
	if b.options.LeaveStreams {
		return b.findState(ctx)
	}
	if _, err := b.js.AccountInfo(ctx); err != nil {
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			err = errors.New("it has no JetStream: start it with -js, or give this account JetStream")
		}
		return b.where(err)
	}
	return b.ensure(ctx)
}

// where says which NATS an error is about.
func (b *Bus) where(err error) error {
	if b.options.Dir != "" {
		return fmt.Errorf("embedded nats in %s: %w", b.options.Dir, err)
	}
	return fmt.Errorf("nats at %s: %w", redacted(b.options.URL), err)
}

// State is the bucket of leases and checkpoints; nil with Options.LeaveStreams
// where there is none, or none that this process may see.
func (b *Bus) State() jetstream.KeyValue { return b.state }

// Snapshots is the bucket of snapshots; nil with Options.LeaveStreams.
func (b *Bus) Snapshots() jetstream.KeyValue { return b.snapshots }

// Check says whether the bus can be used at this moment: for /readyz.
func (b *Bus) Check() error {
	if !b.conn.IsConnected() {
		return b.where(errors.New("not connected; trying again"))
	}
	return b.room()
}

// Close flushes what is on its way, disconnects, and stops the embedded server.
// It may be called twice.
func (b *Bus) Close() error {
	var err error
	if b.conn != nil {
		if b.conn.IsConnected() {
			// Acknowledgements are sent without waiting: let them arrive.
			err = b.conn.FlushTimeout(2 * time.Second)
		}
		b.conn.Close()
	}
	if b.server != nil {
		err = errors.Join(err, b.server.stop())
		b.server = nil
	}
	b.metrics.unregister()
	return err
}
