package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"

	"github.com/weir-project/weir/dashboards/live"
	"github.com/weir-project/weir/dashboards/query"
	"github.com/weir-project/weir/schemas"
)

// forEver is a query that would take a day, with a name by which it is found.
func forEver(name string) string {
	text, err := json.Marshal(map[string]any{"kind": "sql", "sql": "SELECT count() FROM system.numbers AS " + name + " WHERE cityHash64(number) = 1"})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// running is how many queries with that name the server works on.
func (f *fixture) running(t *testing.T, name string) float64 {
	t.Helper()
	frame := f.plugin.one(t, attack(), `{"kind":"sql","sql":"SELECT count() FROM system.processes WHERE position(query, 'numbers AS `+name+`') > 0 AND position(query, 'system.processes') = 0"}`)
	return *frame.Fields[0].At(0).(*float64)
}

// TestTimeLimit ends a query in the server, and says what to do.
func TestTimeLimit(t *testing.T) {
	f := ready(t)
	settings := instance(map[string]any{"clickhouse": "http://" + f.address + "/api/sql", "nats": f.nats, "maxSeconds": 1, "maxRows": 3}, map[string]string{"clickhousePassword": f.token})
	settings.ID, settings.UID = 7, "short"
	short := f.plugin.as(settings, "alice", "Editor")
	answers, err := short.ask(t.Context(), attack(), forEver("limited"))
	if err != nil {
		t.Fatal(err)
	}
	if got := answers["A"].Error; got == nil || !strings.Contains(got.Error(), "not done within 1 s") {
		t.Errorf("the time limit: %v", got)
	}
	if err := eventually(func() error {
		if n := f.running(t, "limited"); n != 0 {
			return fmt.Errorf("%v still run", n)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	frame := short.one(t, attack(), `{"kind":"requests","limit":50}`)
	if frame.Rows() != 3 || len(frame.Meta.Notices) != 1 || !strings.Contains(frame.Meta.Notices[0].Text, "first 3 rows") {
		t.Errorf("the row limit: %d rows, %+v", frame.Rows(), frame.Meta.Notices)
	}
}

// TestCancelled closes a panel: the query ends in the server, long before its time is over.
func TestCancelled(t *testing.T) {
	f := ready(t)
	settings := instance(map[string]any{"clickhouse": "http://" + f.address + "/api/sql", "nats": f.nats, "maxSeconds": 300}, map[string]string{"clickhousePassword": f.token})
	settings.ID, settings.UID = 8, "long"
	long := f.plugin.as(settings, "alice", "Editor")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := long.ask(ctx, attack(), forEver("cancelled"))
		ended <- err
	}()
	if err := eventually(func() error {
		if f.running(t, "cancelled") == 0 {
			return errors.New("it does not run yet")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("a cancelled query was answered")
	}
	if err := eventually(func() error {
		if n := f.running(t, "cancelled"); n != 0 {
			return fmt.Errorf("%v still run", n)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestRows makes rows of ticks: unknown is missing and not zero, columns are in the order of
// the history's, and signals come as rows of their windows.
func TestRows(t *testing.T) {
	now := time.Unix(1_795_237_200, 0)
	known := live.Tick{Time: now, Known: true, Total: live.Rates{Served: 5, Failed: 2, Stopped: 1}, Sites: map[string]live.Rates{"a": {Served: 3}, "b": {Failed: 2}}}
	unknown := known
	unknown.Known = false
	signals := live.Tick{Time: now, Known: true, Signals: []schemas.SignalRow{
		{Time: now, Site: "b", Window: "10s", Signal: schemas.Signal{Name: "request_rate", Value: 7, Normal: 4}},
		{Time: now, Site: "a", Window: "10s", Signal: schemas.Signal{Name: "request_rate", Value: 6, Normal: 3}},
		{Time: now, Site: "a", Window: "1m", Signal: schemas.Signal{Name: "request_rate", Value: 99}},
		{Time: now.Add(10 * time.Second), Site: "a", Window: "10s", Signal: schemas.Signal{Name: "request_rate", Value: 8, Normal: 3}},
		{Time: now, Site: "c", Window: "10s", Signal: schemas.Signal{Name: "request_rate", Value: 99}},
	}}
	for _, c := range []struct {
		channel channel
		tick    live.Tick
		want    string
	}{
		{channel{Kind: query.Traffic, By: "outcome"}, known, "5 2 1"},
		{channel{Kind: query.Traffic, By: "outcome", Sites: []string{"a", "b"}}, known, "3 2 0"},
		{channel{Kind: query.Traffic, By: "outcome"}, unknown, "- - -"},
		{channel{Kind: query.Traffic, By: "site", Sites: []string{"b", "a", "gone"}}, known, "3 2 0"},
		{channel{Kind: query.Signals, Sites: []string{"a", "b"}, Signals: []string{"request_rate"}, Normal: true}, signals, "6,8 3,3 7,- 4,-"},
		{channel{Kind: query.Signals, Sites: []string{"x"}, Signals: []string{"request_rate"}}, signals, ""},
	} {
		ticks := make(chan live.Tick, 1)
		ticks <- c.tick
		close(ticks)
		var got string
		err := run(t.Context(), &c.channel, ticks, func(frame *data.Frame) error {
			var columns []string
			for _, f := range frame.Fields[1:] {
				var values []string
				for i := range f.Len() {
					v, there := f.ConcreteAt(i)
					if text := fmt.Sprint(v); there {
						values = append(values, text)
					} else {
						values = append(values, "-")
					}
				}
				columns = append(columns, strings.Join(values, ","))
			}
			got = strings.Join(columns, " ")
			return nil
		})
		if got != c.want || !errors.Is(err, live.ErrClosed) {
			t.Errorf("%+v: %q, want %q; %v", c.channel, got, c.want, err)
		}
		path, err := c.channel.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeChannel(path); err != nil || fmt.Sprint(*back) != fmt.Sprint(c.channel) {
			t.Errorf("%s: %+v, %v", path, back, err)
		}
	}
}
