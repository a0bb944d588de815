package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// Pace of the processing role.
const (
	idleTick     = 250 * time.Millisecond // how often the clock closes windows when nothing comes
	signalTick   = 10 * time.Second
	stateTick    = 30 * time.Second
	snapshotTick = time.Minute
	sourceGone   = 10 * time.Second // all sources this silent: the clock moves event time
)

// processing turns the request stream into incidents and decisions.
//
//	WEIR_REQUESTS -> processor -> desk -> WEIR_INCIDENTS, WEIR_DECISIONS
//	                     |
//	                     +-> signals, state file
type processing struct {
	bus    *bus.Bus
	desk   *desk
	engine *processor.Processor
	file   string // the state, kept over restarts
	log    *slog.Logger

	mu       sync.Mutex // all that follows, and engine
	position position   // as read; what is saved leaves out what waits in order
	order    *order
	pending  []schemas.Event // emitted, on their way to the desk
	signals  []schemas.SignalRow
}

// position is how far the stream has been processed.
type position struct {
	Sequence uint64            `json:"sequence"`
	Stream   string            `json:"stream"`
	Secret   secret            `json:"secret"`
	Numbers  map[string]uint64 `json:"numbers"` // by partition, edge and source: the last batch seen
}

// openProcessing makes the role as it was saved in file, or, where nothing was, from
// the baseline given, if any, or from nothing.
func openProcessing(file, stream, baseline string, c config.Config, metrics prometheus.Registerer) (*processing, error) {
	r := &processing{
		file: file, order: newOrder(),
		position: position{Stream: stream, Numbers: make(map[string]uint64)},
	}
	o := processor.Options{Registerer: metrics, Signals: func(end time.Time, site string, signals []schemas.Signal) {
		r.signals = appendSignals(r.signals, end, site, signals)
	}}
	saved, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		r.engine, r.position.Secret, err = fromBaseline(c, baseline, newSecret(), o)
		return r, err
	}
	if err != nil {
		return nil, fmt.Errorf("state %s: %w", file, unwrapPath(err))
	}
	defer saved.Close()
	in := bufio.NewReader(saved)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("state %s is cut short: move it away to begin anew", file)
	}
	var was position
	if err := json.Unmarshal(line, &was); err != nil {
		return nil, fmt.Errorf("state %s is damaged: move it away to begin anew: %w", file, err)
	}
	if r.engine, err = newProcessor(c, was.Secret, o); err != nil {
		return nil, err
	}
	if err := r.engine.Load(in); err != nil {
		return nil, fmt.Errorf("state %s: %w: move it away to begin anew", file, err)
	}
	r.position.Secret = was.Secret
	if was.Stream == stream && was.Numbers != nil {
		r.position = was
	}
	return r, nil
}

// run processes until ctx ends, and then saves where it is.
func (r *processing) run(ctx context.Context) error {
	var aside sync.WaitGroup
	defer aside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	aside.Go(func() { every(ctx, idleTick, r.tick) })
	aside.Go(func() { every(ctx, signalTick, r.publishSignals) })
	aside.Go(func() { every(ctx, stateTick, r.saveOrSay) })
	aside.Go(func() { every(ctx, snapshotTick, r.snapshot) })
	err := r.bus.Follow(ctx, bus.FollowOptions{
		Stream: schemas.StreamRequests, From: r.position.Sequence + 1, Reader: "process",
	}, r.message)
	cancel()
	aside.Wait()
	return errors.Join(err, r.save())
}

// every calls f at a pace until ctx ends.
func every(ctx context.Context, pace time.Duration, f func(context.Context)) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f(ctx)
		}
	}
}

// message takes one batch. A batch that cannot be read is passed over: it will
// never be better.
func (r *processing) message(ctx context.Context, m *bus.Message) error {
	b, err := schemas.DecodeBatch(m.Data())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.position.Sequence = m.Sequence()
	if err != nil {
		r.log.Error("a batch was passed over", "sequence", m.Sequence(), "error", err)
		return nil
	}
	key := m.Subject() + " " + b.Edge + " " + b.Source
	if r.repeated(key, b.Number) {
		return nil
	}
	now := time.Now()
	r.order.add(b, m.Sequence(), key, now)
	return r.release(ctx, now)
}

// release processes the rows that are in order by now.
func (r *processing) release(ctx context.Context, now time.Time) error {
	reached := r.order.release(now, func(b *schemas.Batch) {
		r.engine.Consume(b, nil, r.emit)
		if len(r.signals) >= signalRows { // a backlog brings days of them within seconds
			r.sendSignals(ctx, r.signals)
			r.signals = nil
		}
	})
	if reached > 0 {
		r.engine.Advance(reached, r.emit)
	}
	return r.flush(ctx)
}

// repeated reports whether a batch was here before: its source has sent a later one of
// this partition, or this one.
func (r *processing) repeated(key string, number uint64) bool {
	if number == 0 {
		return false
	}
	if last, ok := r.position.Numbers[key]; ok && number <= last {
		return true
	} else if !ok && len(r.position.Numbers) >= maxSources*schemas.Partitions {
		return false
	}
	r.position.Numbers[key] = number
	return false
}

// tick releases what has settled, and moves event time by the clock where every source
// has fallen silent, so that incidents close and decisions end.
func (r *processing) tick(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.release(ctx, now) != nil {
		return // ctx has ended
	}
	newest, silent := r.order.heardOf(now, sourceGone)
	if silent && now.Sub(time.UnixMilli(newest)) < time.Hour { // a log of long ago ends when it ends
		r.engine.Advance(now.Add(-sourceGone).UnixMilli(), r.emit)
		_ = r.flush(ctx) // it fails only when ctx ends
	}
}

func (r *processing) emit(e schemas.Event) { r.pending = append(r.pending, e) }

func (r *processing) flush(ctx context.Context) error {
	if len(r.pending) == 0 {
		return nil
	}
	for _, e := range r.pending {
		logEvent(r.log, e)
	}
	if err := r.desk.publish(ctx, r.pending); err != nil {
		return err
	}
	r.pending = r.pending[:0]
	return nil
}

// logEvent says what happened, for whoever reads the log.
func logEvent(log *slog.Logger, e schemas.Event) {
	if e.Decision == nil || e.ID == "" {
		log.Info(string(e.Type), "incident", e.Incident, "kind", e.Kind, "sites", e.Sites, "cause", e.Cause)
		return
	}
	log.Info(string(e.Type), "decision", e.ID, "action", e.Action, "scope", e.Scope, "value", e.Value, "collateral", e.Collateral)
}

// publishSignals publishes the signals of the windows that have ended.
func (r *processing) publishSignals(ctx context.Context) {
	r.mu.Lock()
	rows := r.signals
	r.signals = nil
	r.mu.Unlock()
	r.sendSignals(ctx, rows)
}

func (r *processing) sendSignals(ctx context.Context, rows []schemas.SignalRow) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	for i, row := range rows {
		if err := encoder.Encode(row); err != nil {
			r.log.Warn("a signal was left out", "site", row.Site, "signal", row.Name, "error", err)
		}
		if body.Len() < schemas.MaxMessage/2 && i < len(rows)-1 {
			continue
		}
		if err := r.bus.Publish(ctx, schemas.SubjectSignals, "", body.Bytes()); err != nil && ctx.Err() == nil {
			r.log.Warn("signals were not published", "error", err)
		}
		body.Reset()
	}
}

func (r *processing) snapshot(ctx context.Context) {
	if err := r.desk.snapshot(ctx); err != nil && ctx.Err() == nil {
		r.log.Warn("no snapshot of the decisions was published", "error", err)
	}
}

func (r *processing) saveOrSay(context.Context) {
	if err := r.save(); err != nil {
		r.log.Error("the processor's state was not saved", "error", err)
	}
}

// errNotSettled says that there is nothing to save just now.
var errNotSettled = errors.New("events are on their way")

// save writes position and state as of one moment.
func (r *processing) save() error {
	err := writeFile(r.file, func(w io.Writer) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.pending) > 0 { // the state before is the one whose events were all published
			return errNotSettled
		}
		settled := r.position
		settled.Sequence, settled.Numbers = r.order.oldest(r.position.Sequence), r.order.numbers(r.position.Numbers)
		line, err := json.Marshal(settled)
		if err == nil {
			_, err = w.Write(append(line, '\n'))
		}
		if err == nil {
			err = r.engine.Save(w) // as a stream: a million clients are not to stand in memory twice
		}
		return err
	})
	if err != nil && !errors.Is(err, errNotSettled) {
		return fmt.Errorf("state %s: %w", r.file, err)
	}
	return nil
}
