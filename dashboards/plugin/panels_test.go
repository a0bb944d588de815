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

	"github.com/goccy/go-yaml"

	"github.com/weir-project/weir/dashboards/query"
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
func chosen(text string) string {
	for name, value := range map[string]string{`"$site"`: `"` + site + `"`, `"$edge"`: `"*"`, `"$incident"`: `"latest"`} {
		text = strings.ReplaceAll(text, name, value)
	}
	for _, name := range []string{"client", "network", "agent", "path", "status", "decision"} {
		text = strings.ReplaceAll(text, `"$`+name+`"`, `""`)
	}
	return text
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
	// The vitals and the edge's report come with weir run's first second.
	if err := eventually(func() error {
		answers, err := f.plugin.ask(t.Context(), last(fiveMinutes), `{"kind":"vitals","columns":["load"]}`, `{"kind":"edges"}`)
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
				if q.Kind == query.Vitals {
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

// TestAlertRules runs the query of every rule that is shipped: it answers one number a row,
// as Grafana's expressions want it, and its runbook is there.
func TestAlertRules(t *testing.T) {
	f := ready(t)
	text, err := os.ReadFile("../grafana/provisioning/alerting/weir-rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				UID         string            `yaml:"uid"`
				Condition   string            `yaml:"condition"`
				Annotations map[string]string `yaml:"annotations"`
				Data        []struct {
					RefID  string         `yaml:"refId"`
					Source string         `yaml:"datasourceUid"`
					Model  map[string]any `yaml:"model"`
				} `yaml:"data"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	rules := file.Groups[0].Rules
	if len(rules) != 7 {
		t.Errorf("%d rules", len(rules))
	}
	for _, r := range rules {
		name := strings.TrimPrefix(r.UID, "weir-")
		runbook, err := os.ReadFile(filepath.Join("../../docs/runbooks", name+".md"))
		if err != nil || !strings.HasSuffix(r.Annotations["runbook_url"], "/docs/runbooks/"+name+".md") || len(runbook) < 400 {
			t.Errorf("%s: its runbook is %q: %d bytes, %v", r.UID, r.Annotations["runbook_url"], len(runbook), err)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Condition != "C" || len(r.Data) != 3 || r.Data[0].Source != uid {
			t.Errorf("%s: %+v", r.UID, r)
			continue
		}
		model, err := json.Marshal(r.Data[0].Model)
		if err != nil {
			t.Fatal(err)
		}
		frame := f.plugin.one(t, attack(), string(model))
		numbers, times := 0, 0
		for _, field := range frame.Fields {
			if field.Type().Numeric() {
				numbers++
			}
			if field.Type().Time() {
				times++
			}
		}
		// A series has as many as there are sites, a table one; none where there is no row.
		if times == 0 && numbers > 1 || numbers == 0 && frame.Rows() > 0 {
			t.Errorf("%s: %d numbers, %d times in %d rows", r.UID, numbers, times, frame.Rows())
		}
	}
}
