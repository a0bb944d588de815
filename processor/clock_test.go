package processor

import (
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// edgeRow is a request as an edge logged it, and when it was.
type edgeRow struct {
	true int64
	edge string
	schemas.Request
}

// TestAnEdgeWithAWrongClock: the site of the edges that are right shows the same rates and
// the same incident, whatever the clock of a third edge says, which serves another site; and
// that edge is named.
func TestAnEdgeWithAWrongClock(t *testing.T) {
	const hour = 60 * minute
	epoch := func(year int) int64 {
		return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() - start
	}
	clocks := map[string]func(at int64) int64{
		"right":                     func(at int64) int64 { return at },
		"three hours behind":        func(at int64) int64 { return at - 3*hour },
		"of 1970":                   func(at int64) int64 { return at + epoch(1970) },
		"of 2100":                   func(at int64) int64 { return at + epoch(2100) },
		"back by an hour at minute": func(at int64) int64 { return at - hour*((at-start)/(20*minute)%2) },
	}
	type told struct {
		Signals []string
		Events  []string
	}
	results := make(map[string]told)
	for name, clock := range clocks {
		o := small
		var got told
		o.Signals = func(end time.Time, site string, signals []schemas.Signal) {
			for _, s := range signals {
				if site == "www.example.org" && (s.Name == "request_rate" || s.Name == "unique_clients" || s.Name == "path_entropy") {
					got.Signals = append(got.Signals, end.Format(time.TimeOnly)+" "+s.Name+" "+strings.TrimSpace(time.Duration(s.Value*1e9).String()))
				}
			}
		}
		registry := prometheus.NewRegistry()
		o.Registerer = registry
		p := make1(t, o)
		emit := func(e schemas.Event) {
			if e.Decision == nil && e.Sites[0] == "www.example.org" {
				got.Events = append(got.Events, e.Time.Format(time.TimeOnly)+" "+string(e.Type)+" "+string(e.Kind))
			}
		}
		for _, b := range ofEdges(clock) {
			p.Consume(b, nil, emit)
		}
		p.Advance(start+58*minute, emit)
		results[name] = got
		skews := p.Skews()
		switch {
		case name == "right" && len(skews) > 0:
			t.Errorf("all clocks are right: %+v", skews)
		case name != "right" && (len(skews) != 1 || skews[0].Edge != "third") && !strings.HasPrefix(name, "back"):
			t.Errorf("%s: skews %+v, want that of the third edge", name, skews)
		}
		if name == "three hours behind" {
			if got := gauge(t, registry, "weir_processor_clock_skew_seconds"); got > -3*3600+5 || got < -3*3600-5 {
				t.Errorf("the metric says %v s", got)
			}
		}
	}
	want := results["right"]
	if len(want.Events) == 0 || len(want.Signals) < 300 {
		t.Fatalf("%d signals, events %q: the test does not test it", len(want.Signals), want.Events)
	}
	for name, got := range results {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the other edges' site changed: %.2000s", name, diff)
		}
	}
}

func gauge(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.Metric) == 1 {
			return f.Metric[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// ofEdges is the opening story on two edges, and a third with another site and a clock of
// its own: batches in the order in which they would come.
func ofEdges(clock func(int64) int64) (out []*schemas.Batch) {
	tr, _ := story(3)
	other := newTraffic(4)
	other.site = "shop.example.org"
	other.people(0, 56*minute, 0.8)
	var rows []edgeRow
	for i, r := range tr.rows {
		rows = append(rows, edgeRow{r.Time, []string{"first", "second"}[i%2], r})
	}
	for _, r := range other.rows {
		row := edgeRow{r.Time, "third", r}
		if r.Time > start+2*minute { // the others are there by then
			row.Time = clock(r.Time)
		}
		rows = append(rows, row)
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].true < rows[j].true })
	for len(rows) > 0 { // batches of a second
		end := rows[0].true/1000 + 1
		builders := map[string]*schemas.Builder{}
		var order []string
		for len(rows) > 0 && rows[0].true/1000 < end {
			r := &rows[0]
			if builders[r.edge] == nil {
				builders[r.edge] = schemas.NewBuilder(r.edge, "access.log")
				order = append(order, r.edge)
			}
			builders[r.edge].Append(&r.Request)
			rows = rows[1:]
		}
		for _, edge := range order {
			out = append(out, builders[edge].Batch())
		}
	}
	return out
}
