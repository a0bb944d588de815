package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/weir-project/weir/dashboards/live"
	"github.com/weir-project/weir/dashboards/query"
)

// edges answers what edges hold, as they last reported it.
func (d *source) edges(ctx context.Context, q *query.Query) (*data.Frame, error) {
	_, state, _, err := d.nats()
	if err != nil {
		return nil, err
	}
	all, err := state.Edges(ctx)
	if err != nil {
		return nil, err
	}
	return edgesFrame(all, q, time.Now()), nil
}

func edgesFrame(all []live.EdgeSeen, q *query.Query, now time.Time) *data.Frame {
	frame := data.NewFrame("",
		data.NewField("edge", nil, []string{}), data.NewField("part", nil, []string{}),
		data.NewField("intended", nil, []float64{}), data.NewField("loaded", nil, []float64{}), data.NewField("missing", nil, []float64{}),
		data.NewField("refused", nil, []float64{}), data.NewField("matching", nil, []float64{}), data.NewField("off", nil, []bool{}),
		data.NewField("silent", nil, []float64{}), data.NewField("loads", nil, []float64{}), data.NewField("loaded_at", nil, []*time.Time{}), data.NewField("load_seconds", nil, []*float64{}), data.NewField("lease", nil, []*time.Time{}), data.NewField("error", nil, []string{}))
	for _, e := range all {
		if len(q.Edges) > 0 && !slices.Contains(q.Edges, e.Edge) {
			continue
		}
		silent := max(now.Sub(e.Received).Seconds(), 0)
		for _, p := range e.Parts {
			var took *float64
			if p.Loads > 0 {
				took = &p.LoadSeconds
			}
			frame.AppendRow(clean(e.Edge), clean(p.Name), float64(p.Intended), float64(p.Loaded), float64(max(p.Intended-p.Loaded-p.Refused, 0)), float64(p.Refused), float64(p.Matching), e.Off,
				silent, float64(p.Loads), when(p.LoadedAt), took, when(p.Lease), clean(p.Error))
		}
		if len(e.Parts) == 0 {
			frame.AppendRow(clean(e.Edge), "none", 0.0, 0.0, 0.0, 0.0, 0.0, e.Off, silent, 0.0, (*time.Time)(nil), (*float64)(nil), (*time.Time)(nil), "")
		}
	}
	return shape(frame, q, query.Table)
}

// when is missing where it was never.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// health answers how the pipeline is, as named numbers: what of it cannot be asked is left
// out, and said beside it.
func (d *source) health(ctx context.Context) (*data.Frame, error) {
	var all []live.Number
	var notices []data.Notice
	add := func(numbers []live.Number, err error) {
		all = append(all, numbers...)
		if err != nil {
			notices = append(notices, data.Notice{Severity: data.NoticeSeverityWarning, Text: oneLine(err)})
		}
	}
	if _, state, _, err := d.nats(); err != nil {
		add(nil, err)
	} else {
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		add(state.Numbers(short, time.Now()))
		cancel()
	}
	add(d.storeNumbers(ctx))
	if d.settings.Metrics != "" {
		add(d.ownNumbers(ctx))
	}
	if len(all) == 0 && len(notices) > 0 {
		return nil, fmt.Errorf("%s", notices[0].Text)
	}
	frame := data.NewFrame("", data.NewField("number", nil, []string{}), data.NewField("value", nil, []float64{}), data.NewField("unit", nil, []string{}), data.NewField("about", nil, []string{}))
	for _, n := range all {
		frame.AppendRow(n.Name, n.Value, n.Unit, n.About)
	}
	frame = shape(frame, &query.Query{Kind: query.Health}, query.Table)
	frame.Meta.Notices = notices
	return frame, nil
}

// storeSQL is how ClickHouse is: its memory, and how old the newest of each thing is.
const storeSQL = "SELECT 'clickhouse_memory' AS number, toFloat64(value) AS value, 'bytes' AS unit, 'What ClickHouse has allocated in memory.' AS about FROM system.metrics WHERE metric = 'MemoryTracking' " +
	"UNION ALL SELECT 'clickhouse_disk', toFloat64(sum(bytes_on_disk)), 'bytes', 'What the store takes on disk.' FROM system.parts WHERE active " +
	"UNION ALL SELECT 'signals_age', toFloat64(greatest(dateDiff('second', max(time), now()), 0)), 's', 'Since the last signals: of weir they come every 10 s.' FROM signals WHERE stored_at > now() - INTERVAL 1 DAY " +
	"UNION ALL SELECT 'stored_age', toFloat64(greatest(dateDiff('second', max(time) + INTERVAL 10 SECOND, now()), 0)), 's', 'Since the last requests that were stored.' FROM rollup_10s WHERE time > now() - INTERVAL 1 DAY"

func (d *source) storeNumbers(ctx context.Context) ([]live.Number, error) {
	frame, _, err := d.history.ask(ctx, query.Plan{SQL: storeSQL, Rows: 100})
	if err != nil {
		return nil, err
	}
	var all []live.Number
	for i := range frame.Rows() {
		value, _ := frame.Fields[1].At(i).(*float64)
		if value != nil {
			all = append(all, live.Number{Name: cellText(frame, 0, i), Value: *value, Unit: cellText(frame, 2, i), About: cellText(frame, 3, i)})
		}
	}
	return all, nil
}

func cellText(frame *data.Frame, column, row int) string {
	s, _ := frame.Fields[column].ConcreteAt(row)
	text, _ := s.(string)
	return text
}

// ownMetrics are those of weir's own that the dashboards show: their sum over all labels, or
// the greatest.
var ownMetrics = []struct {
	name, as, unit, about string
	greatest              bool
}{
	{"process_resident_memory_bytes", "weir_memory", "bytes", "What weir itself holds in memory, the embedded NATS included.", false},
	{"process_start_time_seconds", "weir_started", "s", "When weir was started, as seconds since 1970.", true},
	{"weir_collector_lag_seconds", "collector_lag", "s", "From a line's time to when it was read, of the slowest source.", true},
	{"weir_detector_lag_seconds", "detector_lag", "s", "How far the detector is behind.", true},
	{"weir_collector_lines_total", "lines", "short", "Lines read since the start.", false},
	{"weir_collector_lines_refused_total", "lines_refused", "short", "Lines that no parser took, since the start.", false},
	{"weir_listener_dropped_total", "listener_dropped", "short", "Messages that listeners dropped, since the start.", false},
	{"weir_bus_lost_total", "bus_lost", "short", "Messages that were discarded before they were read, since the start.", false},
	{"weir_clickhouse_retries_total", "store_retries", "short", "Inserts that were tried again, since the start.", false},
	{"weir_processor_requests_total", "processed", "short", "Requests that the processor has seen, since the start.", false},
}

// maxMetrics bounds what is read of weir's metrics, in bytes.
const maxMetrics = 16 << 20

func (d *source) ownNumbers(ctx context.Context) ([]live.Number, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.settings.Metrics, nil)
	if err != nil {
		return nil, err
	}
	answer, err := d.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("weir's metrics: %s", oneLine(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("weir's metrics at %s: %s", d.settings.Metrics, answer.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(answer.Body, maxMetrics))
	if err != nil {
		return nil, fmt.Errorf("weir's metrics: %s", oneLine(err))
	}
	var all []live.Number
	for _, m := range ownMetrics {
		family := families[m.name]
		if family == nil {
			continue
		}
		n := live.Number{Name: m.as, Unit: m.unit, About: m.about}
		for _, one := range family.GetMetric() {
			v := one.GetGauge().GetValue() + one.GetCounter().GetValue() + one.GetUntyped().GetValue()
			if m.greatest {
				n.Value = max(n.Value, v)
			} else {
				n.Value += v
			}
		}
		all = append(all, n)
	}
	slices.SortStableFunc(all, func(a, b live.Number) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
