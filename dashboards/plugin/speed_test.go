package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"github.com/weir-project/weir/dashboards/query"
	"github.com/weir-project/weir/internal/embedded"
)

// panelTime is within what a panel is to answer.
const panelTime = 200 * time.Millisecond

// BenchmarkPanels asks every panel of every dashboard, as it is shipped, of a store of many
// requests, by the plugin's gRPC, and fails where the median of one is above 200 ms. The
// store is what WEIR_PANELS names, made by
//
//	weir bench sql --rows 100000000 --keep DIR --query none
//
// Without it the attack that the tests have is asked: thirty thousand requests.
func BenchmarkPanels(b *testing.B) {
	f, at := ready(b), time.Time{}
	if dir := os.Getenv("WEIR_PANELS"); dir != "" {
		f, at = large(b, dir)
	}
	f.settled(b)
	span := attack()
	if !at.IsZero() {
		span = backend.TimeRange{To: at.Add(5 * time.Minute)}
	}
	site := f.plugin.one(b, backend.TimeRange{From: span.To.Add(-time.Hour), To: span.To}, `{"kind":"sql","limit":1,"sql":"SELECT sites[1] AS site, toString(sum(1)) FROM incidents GROUP BY site ORDER BY max(opened) DESC"}`)
	count := f.plugin.one(b, span, `{"kind":"sql","sql":"SELECT toString(count()) AS n FROM requests"}`)
	b.Logf("%s requests; site %s", cellText(count, 0, 0), cellText(site, 0, 0))
	files, err := filepath.Glob("../grafana/dashboards/*.json")
	if err != nil || len(files) != 6 {
		b.Fatalf("%d dashboards, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		var d struct {
			Title  string  `json:"title"`
			Panels []panel `json:"panels"`
			Time   struct{ From string }
		}
		if err := json.Unmarshal(text, &d); err != nil {
			b.Fatal(err)
		}
		length, err := time.ParseDuration(strings.Replace(strings.TrimPrefix(d.Time.From, "now-"), "7d", "168h", 1))
		if err != nil {
			b.Fatal(err)
		}
		span.From = span.To.Add(-length) // as the dashboard opens
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				asked := chosenFor(string(target), cellText(site, 0, 0))
				q, err := query.Parse([]byte(asked))
				if err != nil {
					b.Fatal(err)
				}
				when := span
				if q.Kind == query.Vitals || q.Kind == query.Figures {
					when = last(length)
				}
				b.Run(strings.TrimPrefix(d.Title, "weir: ")+"/"+p.Title, func(b *testing.B) {
					var all []time.Duration
					for b.Loop() {
						began := time.Now()
						f.plugin.one(b, when, asked)
						all = append(all, time.Since(began))
					}
					slices.Sort(all)
					b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "ms/median")
					if median := all[len(all)/2]; median > panelTime && !at.IsZero() {
						b.Errorf("%v at the median, want at most %v", median, panelTime)
					}
				})
			}
		}
	}
}

// large is weir run on a store that was made before, and when its attack began.
func large(b *testing.B, dir string) (*fixture, time.Time) {
	b.Helper()
	if _, err := embedded.FindLibrary(); err != nil {
		b.Skip(err)
	}
	f := &fixture{dir: b.TempDir(), token: strings.Repeat("t0ken", 8)}
	f.log = filepath.Join(f.dir, "live.log")
	weir, err := program(f.dir, "weir", "github.com/weir-project/weir/cmd/weir")
	if err != nil {
		b.Fatal(err)
	}
	binary, err := program(f.dir, "gpx_weir", "github.com/weir-project/weir/dashboards/plugin")
	if err != nil {
		b.Fatal(err)
	}
	opened, err := exec.Command(weir, "sql", "--data", dir, "SELECT toUnixTimestamp(max(opened)) FROM incidents").CombinedOutput()
	var second int64
	if _, scan := fmt.Sscan(string(opened), &second); err != nil || scan != nil {
		b.Fatal(errors.Join(err, scan, errors.New(string(opened))))
	}
	if err := f.start(weir, dir); err != nil {
		b.Fatal(err)
	}
	if f.plugin, err = startPlugin(binary); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(f.plugin.client.Kill)
	if err := f.plugin.settle(f.settings()); err != nil {
		b.Fatal(err)
	}
	return f, time.Unix(second, 0).UTC()
}
