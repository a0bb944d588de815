package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/live"

	hub "github.com/weir-project/weir/dashboards/live"
	"github.com/weir-project/weir/dashboards/query"
	"github.com/weir-project/weir/schemas"
)

// channel is what a stream is about: the query, and the series that the panel has, in
// their order, for what follows is data without names.
type channel struct {
	Kind   query.Kind `json:"k"`
	By     string     `json:"b,omitempty"`
	Normal bool       `json:"n,omitempty"`
	// Sites are, of series a site, those; of outcomes, those that are summed up, none for all.
	Sites   []string `json:"s,omitempty"`
	Signals []string `json:"g,omitempty"`
}

// maxChannel is the longest name of a channel that Grafana takes.
const maxChannel = 160

// encode is the path of the channel, in characters that one may have.
func (c *channel) encode() (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return string(c.Kind) + "/" + base64.RawURLEncoding.EncodeToString(text), nil
}

// decodeChannel refuses what encode did not write.
func decodeChannel(path string) (*channel, error) {
	kind, rest, _ := strings.Cut(path, "/")
	text, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil || len(path) > maxChannel {
		return nil, fmt.Errorf("no stream is called %q", path[:min(len(path), 60)])
	}
	var c channel
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil || string(c.Kind) != kind || c.Kind != query.Traffic && c.Kind != query.Signals {
		return nil, fmt.Errorf("no stream is called %q", path[:min(len(path), 60)])
	}
	return &c, nil
}

// goOn names the channel on which the panel's rows go on. Where the series have too many
// names for a channel, the panel stays as it is, and says so.
func goOn(frame *data.Frame, q *query.Query, p backend.PluginContext) {
	c := channelOf(frame, q)
	path, err := c.encode()
	if err != nil || p.DataSourceInstanceSettings == nil {
		return
	}
	name := live.Channel{Scope: live.ScopeDatasource, Namespace: p.DataSourceInstanceSettings.UID, Path: path}.String()
	if len(name) > maxChannel {
		frame.AppendNotices(data.Notice{Severity: data.NoticeSeverityInfo, Text: "Not live: too many sites for one channel. Choose fewer, or all; the dashboard's refresh goes on."})
		return
	}
	frame.Meta.Channel = name
}

func channelOf(frame *data.Frame, q *query.Query) channel {
	c := channel{Kind: q.Kind, By: q.By, Sites: q.Sites}
	if q.Kind == query.Traffic && q.By == "outcome" {
		return c
	}
	c.Normal, c.Sites = q.Normal, nil
	for _, f := range frame.Fields[1:] {
		if site := f.Labels["site"]; !slices.Contains(c.Sites, site) {
			c.Sites = append(c.Sites, site)
		}
		if name := f.Labels["name"]; q.Kind == query.Signals && !slices.Contains(c.Signals, name) {
			c.Signals = append(c.Signals, name)
		}
	}
	// One that is missing somewhere would shift the columns.
	full := len(c.Sites) * max(len(c.Signals), 1)
	if c.Normal {
		full *= 2
	}
	if full != len(frame.Fields)-1 {
		fill(frame, &c)
	}
	return c
}

// fill adds the series that have no row yet, so that every site has every signal.
func fill(frame *data.Frame, c *channel) {
	have := map[string]*data.Field{}
	for _, f := range frame.Fields[1:] {
		have[f.Labels["site"]+"\n"+f.Labels["name"]+"\n"+f.Name] = f
	}
	q := &query.Query{Kind: c.Kind, By: c.By, Signals: c.Signals}
	fields := frame.Fields[:1:1]
	for _, s := range c.series() {
		f := have[s.site+"\n"+s.signal+"\n"+s.column]
		if f == nil {
			f = data.NewFieldFromFieldType(data.FieldTypeNullableFloat64, frame.Rows())
			f.Name, f.Labels = s.column, data.Labels{"site": s.site, "name": s.signal}
		}
		fields = append(fields, f)
	}
	frame.Fields = fields
	nameSeries(frame, q)
}

type series struct{ site, signal, column string }

// series are the columns after the time, as wide orders them.
func (c *channel) series() []series {
	var all []series
	for _, site := range c.Sites {
		if c.Kind == query.Traffic {
			all = append(all, series{site, "", "requests_rate"})
			continue
		}
		for _, signal := range c.Signals {
			all = append(all, series{site, signal, "value"})
			if c.Normal {
				all = append(all, series{site, signal, "normal"})
			}
		}
	}
	slices.SortFunc(all, func(a, b series) int {
		labels := func(s series) string { return data.Labels{"site": s.site, "name": s.signal}.String() }
		if n := strings.Compare(labels(a), labels(b)); n != 0 {
			return n
		}
		return strings.Compare(b.column, a.column)
	})
	return all
}

// SubscribeStream lets everybody watch who may see the data source: Grafana has checked that.
func (d *source) SubscribeStream(_ context.Context, r *backend.SubscribeStreamRequest) (*backend.SubscribeStreamResponse, error) {
	status := backend.SubscribeStreamStatusOK
	if _, err := decodeChannel(r.Path); err != nil {
		status = backend.SubscribeStreamStatusNotFound
	} else if r.PluginContext.User == nil && d.wrong == nil {
		status = backend.SubscribeStreamStatusPermissionDenied
	}
	return &backend.SubscribeStreamResponse{Status: status}, nil
}

// PublishStream refuses: nobody publishes from a browser.
func (d *source) PublishStream(context.Context, *backend.PublishStreamRequest) (*backend.PublishStreamResponse, error) {
	return &backend.PublishStreamResponse{Status: backend.PublishStreamStatusPermissionDenied}, nil
}

// RunStream sends rows until nobody watches. Grafana runs it once for all viewers of a
// channel, and again where it fails.
func (d *source) RunStream(ctx context.Context, r *backend.RunStreamRequest, sender *backend.StreamSender) error {
	c, err := decodeChannel(r.Path)
	if err != nil {
		return nil // trying again would not help
	}
	h, _, _, err := d.nats()
	if err != nil {
		return err
	}
	watch, err := h.Watch()
	if err != nil {
		return err
	}
	defer watch.Close()
	return run(ctx, c, watch.Ticks(), func(frame *data.Frame) error { return sender.SendFrame(frame, data.IncludeDataOnly) })
}

// run makes a row of each tick that says something, and sends it.
func run(ctx context.Context, c *channel, ticks <-chan hub.Tick, send func(*data.Frame) error) error {
	make := rowsOf(c)
	for {
		select {
		case <-ctx.Done():
			return nil
		case tick, open := <-ticks:
			if !open {
				return hub.ErrClosed
			}
			if frame := make(&tick); frame != nil {
				if err := send(frame); err != nil {
					return err
				}
			}
		}
	}
}

// rowsOf is how a tick becomes a row of the channel: nil where it says nothing.
func rowsOf(c *channel) func(*hub.Tick) *data.Frame {
	if c.Kind == query.Signals {
		return signalRows(c)
	}
	if c.By == "site" {
		return func(t *hub.Tick) *data.Frame {
			frame := rowFrame(t.Time, len(c.Sites))
			for i, s := range c.series() {
				if t.Known {
					rate := t.Sites[s.site].All()
					frame.Fields[i+1].Set(0, &rate)
				}
			}
			return frame
		}
	}
	return func(t *hub.Tick) *data.Frame {
		frame := rowFrame(t.Time, 3)
		if !t.Known {
			return frame
		}
		sum := t.Total
		if len(c.Sites) > 0 {
			sum = hub.Rates{}
			for _, site := range c.Sites {
				n := t.Sites[site]
				sum.Served, sum.Failed, sum.Stopped = sum.Served+n.Served, sum.Failed+n.Failed, sum.Stopped+n.Stopped
			}
		}
		frame.Fields[1].Set(0, &sum.Served)
		frame.Fields[2].Set(0, &sum.Failed)
		frame.Fields[3].Set(0, &sum.Stopped)
		return frame
	}
}

// rowFrame is one row of numbers that are missing as yet.
func rowFrame(at time.Time, columns int) *data.Frame {
	at = at.UTC()
	frame := data.NewFrame("", data.NewField("time", nil, []*time.Time{&at}))
	for range columns {
		frame.Fields = append(frame.Fields, data.NewFieldFromFieldType(data.FieldTypeNullableFloat64, 1))
	}
	return frame
}

// signalRows makes a row of each window's end.
func signalRows(c *channel) func(*hub.Tick) *data.Frame {
	columns := c.series()
	index := make(map[series]int, len(columns))
	for i, s := range columns {
		index[s] = i + 1
	}
	return func(t *hub.Tick) *data.Frame {
		var frame *data.Frame
		rows := map[int64]int{}
		for i := range t.Signals {
			row := &t.Signals[i]
			if row.Window != "10s" {
				continue
			}
			column, wanted := index[series{row.Site, row.Name, "value"}]
			if !wanted {
				continue
			}
			frame = atRow(frame, rows, row, len(columns))
			n := rows[row.Time.UnixMilli()]
			frame.Fields[column].Set(n, &row.Value)
			if c.Normal {
				frame.Fields[index[series{row.Site, row.Name, "normal"}]].Set(n, &row.Normal)
			}
		}
		return frame
	}
}

func atRow(frame *data.Frame, rows map[int64]int, row *schemas.SignalRow, columns int) *data.Frame {
	at := row.Time.UnixMilli()
	if frame == nil {
		rows[at] = 0
		return rowFrame(row.Time, columns)
	}
	if _, ok := rows[at]; !ok {
		rows[at] = frame.Rows()
		frame.Extend(1)
		utc := row.Time.UTC()
		frame.Fields[0].Set(rows[at], &utc)
	}
	return frame
}
