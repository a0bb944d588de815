package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// figuresEvery is how often it is stored how weir is.
const figuresEvery = 10 * time.Second

// ownFigures are the metrics of this process that are kept as figures: gauges as they are,
// the greatest over their labels or the sum; counters by how much they went up.
var ownFigures = []struct {
	metric, name string
	counts       bool
	greatest     bool
}{
	{metric: "process_resident_memory_bytes", name: "weir_memory"},
	{metric: "weir_collector_lag_seconds", name: "collector_lag", greatest: true},
	{metric: "weir_detector_lag_seconds", name: "detector_lag", greatest: true},
	{metric: "weir_collector_lines_total", name: "lines", counts: true},
	{metric: "weir_processor_requests_total", name: "processed", counts: true},
	{metric: "weir_collector_lines_refused_total", name: "lines_refused", counts: true},
	{metric: "weir_listener_dropped_total", name: "listener_dropped", counts: true},
	{metric: "weir_bus_lost_total", name: "bus_lost", counts: true},
	{metric: "weir_panes_late_requests_total", name: "late_requests", counts: true},
	{metric: "weir_clickhouse_retries_total", name: "store_retries", counts: true},
}

// figures stores how this process, NATS, ClickHouse and the edges are, until ctx ends. What
// of it cannot be asked or stored is a gap in a curve.
//
//	this process's metrics ─┐
//	NATS's account ─────────┼─▶ every 10 s ─▶ figures
//	ClickHouse's own ───────┤
//	edges' reports ─────────┘
type figures struct {
	process string
	metrics prometheus.Gatherer
	usage   func(context.Context) (memory, disk uint64, err error) // of NATS
	edges   *edgeBoard
	counted map[string]float64 // what was counted when it was last looked at
}

func (f *figures) store(ctx context.Context, db *clickhouse.DB, failed func(error)) {
	every(ctx, figuresEvery, func(ctx context.Context) {
		hurry, cancel := context.WithTimeout(ctx, figuresEvery)
		defer cancel()
		rows := f.rows(hurry, db, time.Now())
		if err := db.RecordFigures(hurry, rows); err != nil && ctx.Err() == nil {
			failed(err)
		}
	})
}

// rows are the figures at a time.
func (f *figures) rows(ctx context.Context, db *clickhouse.DB, now time.Time) (rows []schemas.Figure) {
	add := func(name, process, part string, value float64) {
		rows = append(rows, schemas.Figure{Time: now, Name: name, Process: process, Part: part, Value: value})
	}
	for name, value := range f.own() {
		add(name, f.process, "", value)
	}
	if memory, disk, err := f.usage(ctx); err == nil {
		add("nats_memory", "nats", "", float64(memory))
		add("nats_disk", "nats", "", float64(disk))
	}
	if memory, disk, err := db.Footprint(ctx); err == nil {
		add("clickhouse_memory", "clickhouse", "", memory)
		add("clickhouse_disk", "clickhouse", "", disk)
	}
	for _, e := range f.edges.all() {
		for _, p := range e.Parts {
			add("loaded", e.Edge, p.Name, float64(p.Loaded))
			add("missing", e.Edge, p.Name, float64(max(p.Intended-p.Loaded-p.Refused, 0)))
			if p.Loads > 0 {
				add("load_seconds", e.Edge, p.Name, p.LoadSeconds)
			}
			add("loads", e.Edge, p.Name, f.since(fmt.Sprintf("loads of %q %q", e.Edge, p.Name), float64(p.Loads)))
			add("matched", e.Edge, p.Name, f.since(fmt.Sprintf("matched of %q %q", e.Edge, p.Name), float64(p.Matching)))
		}
	}
	return rows
}

// own are those of this process, by name.
func (f *figures) own() map[string]float64 {
	all := make(map[string]float64)
	families, err := f.metrics.Gather()
	if err != nil {
		return all // a collector that fails says so in /metrics
	}
	byName := make(map[string]*dto.MetricFamily, len(families))
	for _, family := range families {
		byName[family.GetName()] = family
	}
	for _, o := range ownFigures {
		family := byName[o.metric]
		if family == nil && !o.counts { // what is counted by label is not there until it happens
			continue
		}
		value := 0.0
		for _, m := range family.GetMetric() {
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			if o.greatest {
				value = max(value, v)
			} else {
				value += v
			}
		}
		if o.counts {
			value = f.since(o.name, value)
		}
		all[o.name] = value
	}
	return all
}

// maxCounted bounds what is remembered of counters: edges come and go.
const maxCounted = 10_000

// since is by how much a counter went up since it was last asked for: all of it where it
// began anew, nothing where it was never seen.
func (f *figures) since(name string, value float64) float64 {
	before, known := f.counted[name]
	if len(f.counted) >= maxCounted {
		clear(f.counted)
	}
	f.counted[name] = value
	switch {
	case !known:
		return 0
	case value < before:
		return value
	}
	return value - before
}
