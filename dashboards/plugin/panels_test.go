package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-project/weir/dashboards/query"
	"github.com/weir-project/weir/schemas"
)

const fiveMinutes = 5 * time.Minute

var errNoRows = errors.New("no rows yet")

// panel is what of a dashboard's JSON this test looks at.
type panel struct {
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Type        string            `json:"type"`
	Targets     []json.RawMessage `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

// chosen puts what a person would have chosen into a query, as the front end does.
func chosen(text string) string { return chosenFor(text, site) }

func chosenFor(text, site string) string {
	for name, value := range map[string]string{`"$site"`: `"` + site + `"`, `"$edge"`: `"*"`, `"$incident"`: `"latest"`} {
		text = strings.ReplaceAll(text, name, value)
	}
	for _, name := range []string{"client", "network", "agent", "path", "status", "decision", "matches"} {
		text = strings.ReplaceAll(text, `"$`+name+`"`, `""`)
	}
	return text
}

// publish sends a message as a part of weir would.
func (f *fixture) publish(t testing.TB, subject string, message []byte) {
	t.Helper()
	conn, err := nats.Connect(f.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), subject, message); err != nil {
		t.Fatal(err)
	}
}

// report says what an edge holds, as its weir would.
func (f *fixture) report(t testing.TB, edge string, parts ...schemas.EdgePart) {
	t.Helper()
	message, err := schemas.EncodeEdgeReport(&schemas.EdgeReport{Time: time.Now(), Edge: edge, Parts: parts})
	if err != nil {
		t.Fatal(err)
	}
	f.publish(t, schemas.SubjectEdge(edge), message)
}

// settled waits until there is something of everything: an edge with nginx reports, and the
// vitals and figures of weir run have come, which take ten seconds.
func (f *fixture) settled(t testing.TB) {
	t.Helper()
	f.report(t, "edge-9", schemas.EdgePart{Name: "nginx", Intended: 5, Loaded: 4, Refused: 1, Matching: 7, Loads: 3, LoadedAt: time.Now().UTC(), LoadSeconds: 0.25, Lease: time.Now().Add(time.Minute).UTC()})
	if err := eventually(func() error {
		answers, err := f.plugin.ask(t.Context(), last(fiveMinutes), `{"kind":"vitals","columns":["load"]}`, `{"kind":"edges"}`, `{"kind":"figures","columns":["load_seconds"]}`,
			`{"kind":"figures","columns":["clickhouse_memory"]}`, `{"kind":"figures","columns":["lines_refused"]}`)
		if err != nil {
			return err
		}
		for _, a := range answers {
			if a.Error != nil {
				return a.Error
			}
			if a.Frames[0].Rows() == 0 {
				return errNoRows
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestPanels walks the dashboards that are shipped: every panel's query is one, runs on the
// real store and the real NATS, and answers with rows; every panel has a unit and says what
// it shows; no two panels of a dashboard have one title.
func TestPanels(t *testing.T) {
	f := ready(t)
	files, err := filepath.Glob("../grafana/dashboards/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	f.settled(t)
	for _, to := range []string{"off", "on"} {
		if code, text := f.plugin.call(t, http.MethodPost, "panic/"+to, `{}`); code != http.StatusOK {
			t.Fatalf("panic %s: %d %s", to, code, text)
		}
	}
	if err := eventually(func() error {
		if f.plugin.one(t, last(fiveMinutes), `{"kind":"sql","sql":"SELECT by FROM panics WHERE NOT off"}`).Rows() == 0 {
			return errNoRows
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			UID    string  `json:"uid"`
			Title  string  `json:"title"`
			Panels []panel `json:"panels"`
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		titles := map[string]bool{}
		for _, p := range d.Panels {
			count++
			name := d.Title + " / " + p.Title
			if p.Title == "" || len(p.Description) < 20 || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || titles[p.Title] {
				t.Errorf("%s: wants a title of its own, a description, a unit and a query: %+v", name, p)
			}
			titles[p.Title] = true
			for _, target := range p.Targets {
				asked := chosen(string(target))
				q, err := query.Parse([]byte(asked))
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				span := attack()
				if q.Kind == query.Vitals || q.Kind == query.Figures {
					span = last(fiveMinutes)
				}
				frame := f.plugin.one(t, span, asked)
				if frame.Rows() == 0 {
					t.Errorf("%s: no rows: %s", name, asked)
				}
			}
		}
	}
	if count < 40 {
		t.Errorf("only %d panels", count)
	}
}
