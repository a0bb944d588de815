package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/vitals"
	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// newVitals makes the part of the collecting role that reads how this machine is; nil
// where the configuration wants none.
func newVitals(c config.Config, to vitals.Publisher, metrics prometheus.Registerer, log *slog.Logger) (run func(context.Context) error, err error) {
	if c.Vitals.Every == 0 {
		return nil, nil
	}
	r, err := vitals.New(vitals.Options{
		Edge: c.Edge.Name, NginxStatus: c.Vitals.NginxStatus, Every: c.Vitals.Every, Registerer: metrics, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return r.Run(ctx, to) }, nil
}

// edgesVitals are the latest vitals of every edge. Safe for concurrent use.
type edgesVitals struct {
	bus *bus.Bus
	log *slog.Logger

	mu     sync.Mutex
	latest map[string]*schemas.Vitals
}

// Bounds of what is kept of edges.
const (
	maxEdges = 1000
	edgeGone = 10 * time.Minute // without vitals
)

func newEdgesVitals(b *bus.Bus, log *slog.Logger) *edgesVitals {
	return &edgesVitals{bus: b, log: log, latest: make(map[string]*schemas.Vitals)}
}

// run follows the vitals, from the newest on, until ctx ends. each, where it is not nil,
// is told of them in the order of the stream, by one goroutine.
func (e *edgesVitals) run(ctx context.Context, each func(*schemas.Vitals)) error {
	newest, _, err := e.bus.Last(ctx, schemas.StreamVitals, schemas.SubjectVitalsAll)
	if err != nil {
		return ctxDone(ctx, err)
	}
	return e.bus.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamVitals, From: newest, Reader: "vitals"}, func(_ context.Context, m *bus.Message) error {
		v, err := schemas.DecodeVitals(m.Data())
		if err != nil || m.Subject() != schemas.SubjectVitals(v.Edge) {
			e.log.Warn("vitals were passed over", "subject", m.Subject(), "sequence", m.Sequence(), "error", err)
			return nil
		}
		if e.put(v); each != nil {
			each(v)
		}
		return nil
	})
}

// put takes an edge's newest vitals, and forgets edges that fell silent.
func (e *edgesVitals) put(v *schemas.Vitals) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old := e.latest[v.Edge]; old != nil && old.Time.After(v.Time) {
		return
	}
	for edge, old := range e.latest {
		if v.Time.Sub(old.Time) > edgeGone {
			delete(e.latest, edge)
		}
	}
	if _, known := e.latest[v.Edge]; known || len(e.latest) < maxEdges {
		e.latest[v.Edge] = v
	}
}

// all are the edges' latest vitals, by their names; none where e is nil.
func (e *edgesVitals) all() []*schemas.Vitals {
	if e == nil {
		return []*schemas.Vitals{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*schemas.Vitals, 0, len(e.latest))
	for _, v := range e.latest {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b *schemas.Vitals) int { return strings.Compare(a.Edge, b.Edge) })
	return list
}

// Bounds of what is stored at once: rows come one a second and edge, and ClickHouse
// wants few inserts.
const (
	vitalsRows  = 5000
	vitalsPause = 10 * time.Second
)

// vitals stores how edges are.
func (r *storing) vitals(ctx context.Context, db *clickhouse.DB) error {
	var mu sync.Mutex
	var waiting []*bus.Message
	flush := func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		var rows []*schemas.Vitals
		for _, m := range waiting {
			if v, err := schemas.DecodeVitals(m.Data()); err == nil {
				rows = append(rows, v)
			} else {
				r.log.Warn("vitals were passed over", "subject", m.Subject(), "error", err)
			}
		}
		err := retry(ctx, func() error { return db.RecordVitals(ctx, rows) },
			func(err error) { r.log.Error("vitals wait in NATS to be stored", "error", err) })
		if err != nil {
			return ctxDone(ctx, err)
		}
		for _, m := range waiting {
			_ = m.Ack() // one that is lost is stored again, in its own place
		}
		waiting = waiting[:0]
		return nil
	}
	var aside sync.WaitGroup
	defer aside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	aside.Go(func() { every(ctx, vitalsPause, func(ctx context.Context) { _ = flush(ctx) }) }) // it fails only when ctx ends
	return r.bus.Consume(ctx, bus.ConsumerOptions{
		Stream: schemas.StreamVitals, Durable: "store-vitals", MaxPending: 2 * vitalsRows,
	}, func(ctx context.Context, m *bus.Message) error {
		mu.Lock()
		waiting = append(waiting, m)
		full := len(waiting) >= vitalsRows
		mu.Unlock()
		if full {
			return flush(ctx)
		}
		return nil
	})
}
