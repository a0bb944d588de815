package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/nats-io/nats.go"

	"github.com/weir-project/weir/dashboards/live"
	"github.com/weir-project/weir/schemas"
)

// alertFile is what of the rules' file is looked at.
type alertFile struct {
	Groups []struct {
		Rules []alertRule `yaml:"rules"`
	} `yaml:"groups"`
}

type alertRule struct {
	UID         string            `yaml:"uid"`
	Condition   string            `yaml:"condition"`
	NoData      string            `yaml:"noDataState"`
	Annotations map[string]string `yaml:"annotations"`
	Data        []struct {
		RefID string `yaml:"refId"`
		Range struct {
			From int `yaml:"from"`
		} `yaml:"relativeTimeRange"`
		Source string         `yaml:"datasourceUid"`
		Model  map[string]any `yaml:"model"`
	} `yaml:"data"`
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	text, err := os.ReadFile("../grafana/provisioning/alerting/weir-rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file alertFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) != 7 {
		t.Fatalf("%d groups", len(file.Groups))
	}
	return file.Groups[0].Rules
}

// TestAlertRules looks at what each rule must have: a runbook that is there, texts, and the
// three steps of query, reduction and threshold.
func TestAlertRules(t *testing.T) {
	for _, r := range alertRules(t) {
		name := strings.TrimPrefix(r.UID, "weir-")
		runbook, err := os.ReadFile(filepath.Join("../../docs/runbooks", name+".md"))
		if err != nil || !strings.HasSuffix(r.Annotations["runbook_url"], "/docs/runbooks/"+name+".md") || len(runbook) < 400 {
			t.Errorf("%s: its runbook is %q: %d bytes, %v", r.UID, r.Annotations["runbook_url"], len(runbook), err)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Condition != "C" || len(r.Data) != 3 || r.Data[0].Source != uid ||
			r.Data[1].Model["type"] != "reduce" || r.Data[1].Model["expression"] != "A" || r.Data[2].Model["type"] != "threshold" || r.Data[2].Model["expression"] != "B" {
			t.Errorf("%s: %+v", r.UID, r)
		}
		// Grafana refuses a rule with one of the two, and with it all that is provisioned.
		var d struct{ Panels []struct{ ID int } }
		dashboard := strings.TrimPrefix(r.Annotations["__dashboardUid__"], "weir-")
		if err := json.Unmarshal([]byte(read(t, "../grafana/dashboards", dashboard+".json")), &d); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(d.Panels, func(p struct{ ID int }) bool { return fmt.Sprint(p.ID) == r.Annotations["__panelId__"] }) {
			t.Errorf("%s: %s has no panel %q", r.UID, dashboard, r.Annotations["__panelId__"])
		}
	}
}

// fires evaluates a rule as Grafana does: each series, or each row of a table with one
// number, is reduced without what is missing, and compared. It says for whose labels the
// rule fires; "no data" where there is nothing to compare and the rule fires then.
func (r *alertRule) fires(t *testing.T, f *fixture) []string {
	t.Helper()
	model, err := json.Marshal(r.Data[0].Model)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	frame := f.plugin.one(t, backend.TimeRange{From: now.Add(-time.Duration(r.Data[0].Range.From) * time.Second), To: now}, string(model))
	reducer, _ := r.Data[1].Model["reducer"].(string)
	condition := r.Data[2].Model["conditions"].([]any)[0].(map[string]any)["evaluator"].(map[string]any)
	limit := fmt.Sprint(condition["params"].([]any)[0])
	var above float64
	if _, err := fmt.Sscan(limit, &above); err != nil || condition["type"] != "gt" {
		t.Fatalf("%s: the condition %v", r.UID, condition)
	}
	firing, compared := []string{}, 0
	check := func(labels string, values []float64) {
		if len(values) == 0 {
			return
		}
		compared++
		if reduced(t, reducer, values) > above {
			firing = append(firing, labels)
		}
	}
	for labels, values := range samples(t, r.UID, frame) {
		check(labels, values)
	}
	if compared == 0 && r.NoData == "Alerting" {
		return []string{"no data"}
	}
	slices.Sort(firing)
	return firing
}

// samples are a frame's numbers by their labels, as Grafana's expressions take them: of a
// series all, of a table one a row, where it has one column of numbers.
func samples(t *testing.T, rule string, frame *data.Frame) map[string][]float64 {
	t.Helper()
	all := map[string][]float64{}
	var numbers, texts []*data.Field
	times := 0
	for _, field := range frame.Fields {
		switch {
		case field.Type().Time():
			times++
		case field.Type().Numeric():
			numbers = append(numbers, field)
		case field.Type() == data.FieldTypeNullableString || field.Type() == data.FieldTypeString:
			texts = append(texts, field)
		default:
			t.Errorf("%s: Grafana's expressions take no column of type %s", rule, field.Type())
		}
	}
	if times == 0 && len(numbers) > 1 {
		t.Errorf("%s: %d numbers a row", rule, len(numbers))
	}
	for _, field := range numbers {
		for row := range field.Len() {
			labels := field.Labels.String()
			if times == 0 {
				names := []string{}
				for _, text := range texts {
					v, _ := text.ConcreteAt(row)
					names = append(names, fmt.Sprintf("%s=%v", text.Name, v))
				}
				labels = strings.Join(names, ", ")
			}
			if v, err := field.NullableFloatAt(row); err != nil {
				t.Fatal(err)
			} else if v != nil {
				all[labels] = append(all[labels], *v)
			}
		}
	}
	return all
}

func reduced(t *testing.T, reducer string, values []float64) float64 {
	t.Helper()
	switch reducer {
	case "last":
		return values[len(values)-1]
	case "max":
		return slices.Max(values)
	case "mean":
		sum := 0.0
		for _, v := range values {
			sum += v
		}
		return sum / float64(len(values))
	}
	t.Fatalf("the reducer %q", reducer)
	return 0
}

// state is what NATS holds, and the revision with which events count, until the test ends.
func (f *fixture) state(t *testing.T) (state *live.State, revision uint64) {
	t.Helper()
	conn, err := nats.Connect(f.nats)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if state, err = live.NewState(conn, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if _, revision, err = state.InForce(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	return state, revision
}

// TestAlertsFire brings about what each rule is for, through weir run and the plugin: before
// it the rule is quiet, then it fires for what it should name, and it ends.
func TestAlertsFire(t *testing.T) {
	f := ready(t)
	rules := map[string]*alertRule{}
	for _, r := range alertRules(t) {
		rules[strings.TrimPrefix(r.UID, "weir-")] = &r
	}
	until := func(name, labels string, want bool) {
		t.Helper()
		if err := eventually(func() error {
			if got := rules[name].fires(t, f); slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, labels) }) != want {
				return fmt.Errorf("%s fires for %q, want %t for %q", name, got, want, labels)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	flood, crowd := fmt.Sprintf("i%d-1", now.UnixMilli()), fmt.Sprintf("i%d-2", now.UnixMilli()) // new ones each time, in one fixture
	events := func(subject string, all ...schemas.Event) {
		t.Helper()
		_, revision := f.state(t)
		messages, err := schemas.EncodeEvents(revision, false, all)
		if err != nil {
			t.Fatal(err)
		}
		f.publish(t, subject, messages[0])
	}
	signals := func(rows ...schemas.SignalRow) {
		t.Helper()
		var text []byte
		for _, row := range rows {
			line, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			text = append(append(text, line...), '\n')
		}
		f.publish(t, schemas.SubjectSignals, text)
	}
	served := func(site string, share float64) schemas.SignalRow {
		return schemas.SignalRow{Time: now, Site: site, Window: "10s", Signal: schemas.Signal{Name: schemas.UnservedShare, Group: "harm", Value: share}}
	}
	signals(served("well.example.org", 0.01), served("ill.example.org", 0.6))
	until("visitors-suffering", "ill.example.org", true)
	until("visitors-suffering", "well.example.org", false)
	until("no-data", "", false)

	incident := func(kind schemas.EventType, id string, what schemas.Kind, site string) schemas.Event {
		// Long ago, so that the attack of the other tests stays the latest incident.
		then := attack().From.Add(-24 * time.Hour)
		e := schemas.Event{Type: kind, Time: then, Sites: []string{site}, Incident: id, Kind: what, Opened: then, Cause: "a test"}
		if kind == schemas.IncidentClosed {
			e.Time, e.Closed = then.Add(time.Second), then.Add(time.Second)
		}
		return e
	}
	events(schemas.SubjectIncidents, incident(schemas.IncidentOpened, flood, schemas.Flood, "flooded.example.org"), incident(schemas.IncidentOpened, crowd, schemas.Crowd, "liked.example.org"))
	until("site-under-attack", "site=flooded.example.org", true)
	until("site-under-attack", "liked.example.org", false)
	events(schemas.SubjectIncidents, incident(schemas.IncidentClosed, flood, schemas.Flood, "flooded.example.org"), incident(schemas.IncidentClosed, crowd, schemas.Crowd, "liked.example.org"))
	until("site-under-attack", "flooded.example.org", false)

	until("decision-awaiting-review", "", false)
	decision := func(id, site string, action schemas.Action, collateral float64) schemas.Event {
		return schemas.Event{Type: schemas.DecisionAdded, Time: now, Sites: []string{site}, Incident: flood, Decision: &schemas.Decision{
			ID: id, Action: action, Scope: schemas.ScopeClient, Value: "192.0.2.200", Expires: now.Add(time.Hour), Collateral: collateral, Origin: schemas.OriginWeir,
		}}
	}
	dear, cheap, soft := decision(flood+"-1", "dear.example.org", schemas.Block, 0.02), decision(flood+"-2", "cheap.example.org", schemas.Block, 0.001), decision(flood+"-3", "soft.example.org", schemas.Challenge, 0.02)
	events(schemas.SubjectDecisions, dear, cheap, soft)
	until("decision-awaiting-review", "", true)
	until("collateral-above-budget", "site=dear.example.org", true)
	until("collateral-above-budget", "cheap.example.org", false)
	until("collateral-above-budget", "soft.example.org", false)
	events(schemas.SubjectDecisions, schemas.Lift(dear, "alice", now.Add(time.Second)), schemas.Lift(cheap, "alice", now.Add(time.Second)), schemas.Lift(soft, "alice", now.Add(time.Second)))
	until("decision-awaiting-review", "", false)
	until("collateral-above-budget", "dear.example.org", false)

	f.report(t, "edge-8", schemas.EdgePart{Name: "nginx", Intended: 5, Loaded: 5}, schemas.EdgePart{Name: "nftables", Intended: 9, Loaded: 6, Refused: 1, Error: "no"}, schemas.EdgePart{Name: "haproxy", Intended: 3, Loaded: 1, Refused: 2})
	until("edge-out-of-force", "edge=edge-8, part=nftables", true)
	until("edge-out-of-force", "edge=edge-8, part=nginx", false)
	until("edge-out-of-force", "edge=edge-8, part=haproxy", false)
	f.report(t, "edge-8", schemas.EdgePart{Name: "nftables", Intended: 9, Loaded: 9})
	until("edge-out-of-force", "edge-8", false)

	// A line of three minutes ago is stored three minutes late.
	if !f.late {
		until("pipeline-lagging", "", false)
	}
	f.late = true
	if err := f.requestAt(time.Now().Add(-3*time.Minute), "/late", "allow", 200); err != nil {
		t.Fatal(err)
	}
	until("pipeline-lagging", "", true)
}

// TestNoDataAlert asks a rule of a store in which nothing was ever measured.
func TestNoDataAlert(t *testing.T) {
	f := ready(t)
	for _, r := range alertRules(t) {
		if r.UID != "weir-no-data" {
			continue
		}
		sql, _ := r.Data[0].Model["sql"].(string)
		for change, want := range map[string]bool{
			"FROM signals": false, // as it is: measured just now
			"FROM (SELECT * REPLACE (time - INTERVAL 2 MINUTE AS time) FROM signals) AS signals": true, // the last two minutes ago
			"FROM (SELECT * FROM signals LIMIT 0) AS signals":                                    true, // never
		} {
			message, err := json.Marshal(schemas.SignalRow{Time: time.Now().UTC(), Site: site, Window: "10s", Signal: schemas.Signal{Name: schemas.RequestRate, Value: 1}})
			if err != nil {
				t.Fatal(err)
			}
			f.publish(t, schemas.SubjectSignals, message)
			asked := r
			asked.Data = slices.Clone(r.Data)
			asked.Data[0].Model = map[string]any{"kind": "sql", "sql": strings.Replace(sql, "FROM signals", change, 1)}
			if err := eventually(func() error {
				if got := asked.fires(t, f); (len(got) > 0) != want {
					return fmt.Errorf("%s: fires for %q, want %t", change, got, want)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
	}
}
