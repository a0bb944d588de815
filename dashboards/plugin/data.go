package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"
	"golang.org/x/sync/errgroup"

	"github.com/weir-project/weir/dashboards/query"
)

// atOnce is how many queries of one request run at a time.
const atOnce = 4

// QueryData answers a panel's queries. What is wrong with one is said by that one.
func (d *source) QueryData(ctx context.Context, request *backend.QueryDataRequest) (*backend.QueryDataResponse, error) {
	answers := make([]backend.DataResponse, len(request.Queries))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range request.Queries {
		group.Go(func() error {
			answers[i] = d.answer(ctx, request.PluginContext, &request.Queries[i])
			return nil
		})
	}
	_ = group.Wait() // none fails as a whole
	response := backend.NewQueryDataResponse()
	for i, q := range request.Queries {
		response.Responses[q.RefID] = answers[i]
	}
	return response, nil
}

func (d *source) answer(ctx context.Context, p backend.PluginContext, asked *backend.DataQuery) backend.DataResponse {
	fail := func(err error) backend.DataResponse {
		status := backend.StatusInternal
		switch {
		case errors.Is(err, query.ErrQuery):
			status = backend.StatusBadRequest
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			status = backend.StatusTimeout
		}
		return backend.DataResponse{Error: errors.New(clean(err.Error())), Status: status, ErrorSource: backend.ErrorSourceDownstream}
	}
	if d.wrong != nil {
		return fail(d.wrong)
	}
	q, err := query.Parse(asked.JSON)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.settings.timeLimit()+turnWait+5*time.Second)
	defer cancel()
	frame, err := d.frame(ctx, &q, asked)
	if err != nil {
		return fail(err)
	}
	frame.RefID = asked.RefID
	if q.Live {
		goOn(frame, &q, p)
	}
	return backend.DataResponse{Frames: data.Frames{frame}, Status: backend.StatusOK}
}

func (d *source) frame(ctx context.Context, q *query.Query, asked *backend.DataQuery) (*data.Frame, error) {
	switch q.Kind {
	case query.Edges:
		return d.edges(ctx, q)
	case query.Health:
		return d.health(ctx)
	}
	span := query.Span{From: asked.TimeRange.From.UTC(), To: asked.TimeRange.To.UTC()}
	if !span.To.After(span.From) {
		return nil, fmt.Errorf("%w: its time ends before it begins", query.ErrQuery)
	}
	moment := query.Moment{Span: span, Step: query.StepOf(span, asked.MaxDataPoints), Now: time.Now().UTC()}
	if q.Incident != "" {
		found, err := d.history.caseOf(ctx, q.Incident)
		if err != nil {
			return nil, err
		}
		moment.Case = found
		moment.Zoom(q)
		moment.Step = query.StepOf(moment.Span, asked.MaxDataPoints)
	}
	plan, err := q.Plan(moment)
	if err != nil {
		return nil, err
	}
	frame, more, err := d.history.ask(ctx, plan)
	if err != nil {
		return nil, err
	}
	frame = shape(frame, q, plan.Shape)
	if plan.Note != "" {
		frame.AppendNotices(data.Notice{Severity: data.NoticeSeverityInfo, Text: plan.Note})
	}
	if more {
		frame.AppendNotices(data.Notice{Severity: data.NoticeSeverityWarning, Text: fmt.Sprintf("Only the first %d rows: narrow it down, or raise the limit.", frame.Rows())})
	}
	return frame, nil
}

// shape is the frame as a panel, an alert rule or an annotation takes it.
func shape(frame *data.Frame, q *query.Query, s query.Shape) *data.Frame {
	meta := &data.FrameMeta{TypeVersion: data.FrameTypeVersion{0, 1}}
	switch s {
	case query.Long:
		frame = wide(frame)
		if q.Kind == query.Figures {
			known(frame)
		}
		meta.Type = data.FrameTypeTimeSeriesWide
	case query.Wide:
		if len(frame.Fields) == 0 {
			frame = emptySeries(q)
		}
		frame.Fields[0].Name = "time"
		meta.Type = data.FrameTypeTimeSeriesWide
	default:
		meta.PreferredVisualization = data.VisTypeTable
	}
	if len(q.Columns) > 0 && q.Kind != query.Vitals && q.Kind != query.Figures {
		narrow(frame, q.Columns)
	}
	dress(frame, q)
	if s == query.Long {
		nameSeries(frame, q)
	}
	frame.Meta = meta
	return frame
}

// emptySeries has the columns of a series without a row: a live one goes on from there.
func emptySeries(q *query.Query) *data.Frame {
	frame := data.NewFrame("", data.NewField("time", nil, []*time.Time{}))
	names := map[query.Kind][]string{query.Traffic: {"served", "failed", "stopped"}, query.Lag: {"storing_lag", "stored"}}[q.Kind]
	for _, name := range names {
		frame.Fields = append(frame.Fields, data.NewField(name, nil, []*float64{}))
	}
	return frame
}

// narrow leaves of the numbers those that are asked for, beside what says whose they are: an
// alert rule takes one number a row.
func narrow(frame *data.Frame, columns []string) {
	frame.Fields = slices.DeleteFunc(frame.Fields, func(f *data.Field) bool {
		whose := slices.Contains([]string{"time", "site", "edge", "part", "number", "decision"}, f.Name)
		return !whose && !slices.Contains(columns, f.Name)
	})
}
