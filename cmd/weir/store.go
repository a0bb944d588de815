package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/internal/embedded"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// storing writes all that goes over the bus into ClickHouse.
//
//	WEIR_REQUESTS, one writer a partition  -> requests
//	WEIR_INCIDENTS, WEIR_DECISIONS         -> incidents, decisions
//	weir.panes.signals                     -> signals
//	WEIR_VITALS                            -> vitals
//	metrics, NATS's account, edges' reports -> figures
type storing struct {
	bus     *bus.Bus
	open    func(context.Context) (*clickhouse.DB, error)
	journal string // directory
	stream  string // names the stream's sequences, for ever
	config  config.ClickHouse
	privacy config.Privacy
	data    string // where the key of hashed addresses is
	log     *slog.Logger
	metrics prometheus.Gatherer // of this process
	process string              // its name
	ready   func()              // called once the tables are there
}

// run stores until ctx ends. ClickHouse being away is waited for.
func (r *storing) run(ctx context.Context) error {
	journal, err := clickhouse.NewFileJournal(r.journal)
	if err != nil {
		return err
	}
	db, err := r.connect(ctx)
	if err != nil {
		return ctxDone(ctx, err)
	}
	defer db.Close()
	privacy, err := writersPrivacy(r.privacy, r.data, r.log)
	if err != nil {
		return err
	}
	db.SetPrivacy(privacy)
	partitions := make([]int, schemas.Partitions)
	for i := range partitions {
		partitions[i] = i
	}
	writer := db.NewWriter(clickhouse.WriterOptions{
		Stream: r.stream, Partitions: partitions, Follow: r.follow, Journal: journal,
		Waiting: r.waiting(),
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return writer.Run(ctx) })
	group.Go(func() error { return r.events(ctx, db, schemas.StreamIncidents, schemas.SubjectIncidents) })
	group.Go(func() error { return r.events(ctx, db, schemas.StreamDecisions, schemas.SubjectDecisions) })
	group.Go(func() error { return r.panics(ctx, db) })
	group.Go(func() error { return r.signals(ctx, db) })
	group.Go(func() error { return r.vitals(ctx, db) })
	group.Go(func() error { return r.truncate(ctx, db) })
	figures := &figures{process: r.process, metrics: r.metrics, usage: r.bus.Usage, edges: newEdgeBoard(r.bus, r.log, nil), counted: make(map[string]float64)}
	group.Go(func() error { return figures.edges.run(ctx) })
	group.Go(func() error {
		figures.store(ctx, db, func(err error) { r.log.Debug("how weir is was not stored", "error", err) })
		return nil
	})
	return group.Wait()
}

// connect opens ClickHouse and brings its tables up to date, and tries until both
// have worked.
func (r *storing) connect(ctx context.Context) (db *clickhouse.DB, err error) {
	err = retry(ctx, func() error {
		if db, err = r.open(ctx); err != nil {
			return err
		}
		if err := errors.Join(db.Migrate(ctx), r.retain(ctx, db)); err != nil {
			return errors.Join(err, db.Close())
		}
		return nil
	}, func(err error) { r.log.Error("requests wait in NATS until ClickHouse can be used", "error", err) })
	if err == nil {
		r.ready()
	}
	return db, err
}

// retain makes the tables keep their rows for as long as the configuration says.
func (r *storing) retain(ctx context.Context, db *clickhouse.DB) error {
	c := r.config
	return db.Retain(ctx, map[string]time.Duration{
		"requests": c.Retention, "rollup_10s": c.Rollups.Tens, "rollup_1m": c.Rollups.Minutes, "rollup_1h": c.Rollups.Hours,
		"decision_hits": c.Rollups.Minutes,
	})
}

// waitingPace is how often the stream is asked how full it is.
const waitingPace = 5 * time.Second

// waiting is the share of the request stream's room that waits to be stored, as the
// stream said a few seconds ago. Called from several goroutines.
func (r *storing) waiting() func(context.Context, uint64) float64 {
	var mu sync.Mutex
	var state bus.Room
	var asked time.Time
	return func(ctx context.Context, after uint64) float64 {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(asked) > waitingPace {
			asked = time.Now()
			if now, err := r.bus.Room(ctx, schemas.StreamRequests); err == nil { // else what it said before
				state = now
			}
		}
		return state.After(after)
	}
}

// follow is one partition of the request stream, as the writer wants it.
func (r *storing) follow(ctx context.Context, partition int, from uint64, handle func(context.Context, clickhouse.Message) error) error {
	return r.bus.Follow(ctx, bus.FollowOptions{
		Stream: schemas.StreamRequests, Subjects: []string{schemas.SubjectRequests(partition)}, From: from,
		Reader: fmt.Sprintf("store-%d", partition),
	}, func(ctx context.Context, m *bus.Message) error { return handle(ctx, m) })
}

// events stores a stream of events. Each message is acknowledged once it is stored.
// What a detector publishes that another has replaced is left out.
func (r *storing) events(ctx context.Context, db *clickhouse.DB, stream, subject string) error {
	newest := uint64(0)
	return r.consume(ctx, stream, subject, "events", func(ctx context.Context, token string, m *bus.Message) error {
		header, events, err := schemas.DecodeEvents(m.Data())
		if err == nil && header.Revision < newest {
			err = fmt.Errorf("revision %d after %d: %w", header.Revision, newest, schemas.ErrStale)
		}
		newest = max(newest, header.Revision)
		if err != nil {
			r.log.Warn("a message of events was passed over", "stream", stream, "sequence", m.Sequence(), "error", err)
			return nil
		}
		return db.RecordEvents(ctx, token, events)
	})
}

// panics keeps who lifted everything everywhere. The stream holds the last one alone: of two
// while nothing could be stored, the first is in weir's log only.
func (r *storing) panics(ctx context.Context, db *clickhouse.DB) error {
	return r.consume(ctx, schemas.StreamEdges, schemas.SubjectPanic, "panics", func(ctx context.Context, token string, m *bus.Message) error {
		var p schemas.Panic
		if err := json.Unmarshal(m.Data(), &p); err != nil {
			r.log.Warn("a message of panic was passed over", "sequence", m.Sequence(), "error", err)
			return nil
		}
		return db.RecordPanic(ctx, token, p)
	})
}

func (r *storing) signals(ctx context.Context, db *clickhouse.DB) error {
	return r.consume(ctx, schemas.StreamPanes, schemas.SubjectSignals, "signals", func(ctx context.Context, token string, m *bus.Message) error {
		var rows []schemas.SignalRow
		lines := bufio.NewScanner(bytes.NewReader(m.Data()))
		lines.Buffer(nil, schemas.MaxMessage)
		for lines.Scan() {
			var row schemas.SignalRow
			if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
				r.log.Warn("a signal was passed over", "sequence", m.Sequence(), "error", err)
				continue
			}
			rows = append(rows, row)
		}
		return db.RecordSignals(ctx, token, rows)
	})
}

// consume hands messages to record, one at a time and each until it succeeds.
func (r *storing) consume(ctx context.Context, stream, subject, what string, record func(ctx context.Context, token string, m *bus.Message) error) error {
	return r.bus.Consume(ctx, bus.ConsumerOptions{
		Stream: stream, Durable: storeDurable(what, stream), Subjects: []string{subject},
	}, func(ctx context.Context, m *bus.Message) error {
		token := fmt.Sprintf("%s/%s/%d", r.stream, stream, m.Sequence())
		err := retry(ctx, func() error { return record(ctx, token, m) },
			func(err error) { r.log.Error(what+" wait in NATS to be stored", "error", err) })
		if err != nil {
			return ctxDone(ctx, err)
		}
		return m.Ack()
	})
}

// storeDurable names what NATS keeps of how far a stream was stored.
func storeDurable(what, stream string) string { return "store-" + what + "-" + stream }

// ctxDone is nil where an error came of ctx's end.
func ctxDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// openHome connects to a ClickHouse that can be dialled.
func openHome(ctx context.Context, home embedded.Home, log *slog.Logger, metrics prometheus.Registerer) (*clickhouse.DB, error) {
	access, err := home.Access(ctx)
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(ctx, clickhouse.Options{
		Dial: func(ctx context.Context, protocol string) (net.Conn, error) {
			return home.Dial(ctx, embedded.Protocol(protocol))
		},
		Reader: embedded.Reader, HTTPOnly: !access.Native, Logger: log, Metrics: metrics,
		Headers: func(ctx context.Context) (map[string]string, error) {
			access, err := home.Access(ctx) // another one after a restart
			return access.Headers(), err
		},
		Gone: func(err error) bool { return errors.Is(err, embedded.ErrGone) },
	})
}

// openData opens the store of a data directory for a command that comes and goes,
// whether or not weir run has it open.
func openData(ctx context.Context, data string, create bool, log *slog.Logger) (db *clickhouse.DB, closeAll func() error, err error) {
	options := embedded.Options{Dir: data, Logger: log}
	if create {
		if err := makeData(data); err != nil {
			return nil, nil, err
		}
	}
	home, closeHome, err := embedded.DialOrStart(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	db, err = openHome(ctx, home, log, nil)
	if err != nil {
		return nil, nil, errors.Join(err, closeHome())
	}
	return db, func() error { return errors.Join(db.Close(), closeHome()) }, nil
}

// makeData makes a data directory with a store's folder where there is none.
func makeData(data string) error {
	if err := os.MkdirAll(filepath.Join(data, "clickhouse"), 0o700); err != nil {
		return fmt.Errorf("data directory %s: %w; give another with --data", data, unwrapPath(err))
	}
	return nil
}

// streamName names the sequences of the request stream for ever: a bus that was
// thrown away counts from 1 again, under another name.
func streamName(ctx context.Context, b *bus.Bus) (string, error) {
	const key = "requests-stream"
	fresh := schemas.StreamRequests + "@" + time.Now().UTC().Format("20060102T150405.000")
	if _, err := b.State().Create(ctx, key, []byte(fresh)); err == nil {
		return fresh, nil
	} else if !errors.Is(err, jetstream.ErrKeyExists) {
		return "", fmt.Errorf("nats: name the request stream: %w", err)
	}
	entry, err := b.State().Get(ctx, key)
	if err != nil {
		return "", fmt.Errorf("nats: the request stream's name: %w", err)
	}
	return string(entry.Value()), nil
}

// storeDir is where the writer keeps its journal.
func storeDir(data string) string { return filepath.Join(data, "journal", "store") }
