package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"

	"github.com/weir-project/weir/dashboards/query"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// golden are queries with the frames that they have always answered.
var golden = map[string]string{
	"sites":       `{"kind":"sites","refId":"A","datasource":{"uid":"weir"}}`,
	"traffic":     `{"kind":"traffic","sites":["` + site + `"]}`,
	"by-site":     `{"kind":"traffic","by":"site"}`,
	"signals":     `{"kind":"signals","signals":["request_rate","not_found_share"],"normal":true,"sites":["` + site + `"]}`,
	"traits":      `{"kind":"traits","incident":"latest","limit":10}`,
	"incidents":   `{"kind":"incidents"}`,
	"annotations": `{"kind":"incidents","annotations":true}`,
	"decisions":   `{"kind":"decisions","state":"all","limit":10}`,
	"effect":      `{"kind":"effect","incident":"latest"}`,
	"prefixes":    `{"kind":"prefixes","by":"8","limit":10}`,
	"map":         `{"kind":"prefixes","by":"map"}`,
	"evidence":    `{"kind":"evidence","incident":"latest","limit":20}`,
	"lag":         `{"kind":"lag"}`,
	"requests":    `{"kind":"requests","where":{"status":"404"},"limit":5}`,
	"agents":      `{"kind":"requests","by":"user_agent","limit":5}`,
	"values":      `{"kind":"values","of":"sites"}`,
	"sql":         `{"kind":"sql","sql":"SELECT $__timeInterval(time) AS time, status, count() AS requests FROM requests WHERE $__timeFilter(time) AND $__sites(site) GROUP BY time, status ORDER BY time, status LIMIT 8"}`,
}

func TestGoldenFrames(t *testing.T) {
	f := ready(t)
	for name, text := range golden {
		text = strings.Replace(text, `"of"`, `"by"`, 1)
		frame := f.plugin.one(t, attack(), text)
		if frame.Rows() == 0 {
			t.Errorf("%s: no rows", name)
		}
		got := plain(frame)
		compare(t, name, got)
	}
}

// compare compares with what was answered before, or, with -update, writes it.
func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: the frame is\n%s\nwant\n%s", name, got, want)
	}
}

// goldenNow are queries about this moment: their columns are compared, and of a table the
// texts that name its rows, for the numbers are others each time.
var goldenNow = map[string]struct{ text, names string }{
	"edges":   {`{"kind":"edges","edges":["edge-9"]}`, "part"},
	"vitals":  {`{"kind":"vitals","columns":["load","memory_used"],"edges":["edge-1"]}`, ""},
	"figures": {`{"kind":"figures","columns":["weir_memory","clickhouse_memory","nats_disk","lines_refused"]}`, ""},
	"loads":   {`{"kind":"figures","columns":["load_seconds","missing"],"edges":["edge-9"]}`, ""},
	"health":  {`{"kind":"health"}`, ""},
}

// always are the numbers of health that are there whatever has happened.
var always = []string{"nats_store", "nats_memory", "requests_bytes", "decisions_bytes", "clickhouse_memory", "clickhouse_disk", "signals_age", "weir_memory", "collector_lag", "detector_lag", "lines", "processed"}

// TestGoldenNow compares what is of this moment.
func TestGoldenNow(t *testing.T) {
	f := ready(t)
	f.settled(t)
	for name, c := range goldenNow {
		frame := f.plugin.one(t, last(fiveMinutes), c.text)
		if frame.Rows() == 0 || len(frame.Meta.Notices) > 0 {
			t.Errorf("%s: %d rows, %v", name, frame.Rows(), frame.Meta.Notices)
		}
		got := columnsOf(frame)
		for i, field := range frame.Fields {
			for row := 0; field.Name == c.names && row < frame.Rows(); row++ {
				got = append(got, cellText(frame, i, row)+"\n"...)
			}
		}
		compare(t, name, got)
	}
	numbers := map[string]bool{}
	health := f.plugin.one(t, last(fiveMinutes), goldenNow["health"].text)
	for i := range health.Rows() {
		numbers[cellText(health, 0, i)] = true
	}
	for _, name := range always {
		if !numbers[name] {
			t.Errorf("health has no number %s", name)
		}
	}
	kinds := map[query.Kind]bool{}
	for _, text := range slices.Concat(slices.Collect(maps.Values(golden)), []string{goldenNow["edges"].text, goldenNow["vitals"].text, goldenNow["figures"].text, goldenNow["health"].text}) {
		q, err := query.Parse([]byte(strings.Replace(text, `"of"`, `"by"`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		kinds[q.Kind] = true
	}
	for _, kind := range query.Kinds() {
		if !kinds[kind] {
			t.Errorf("the kind %s has no golden frame", kind)
		}
	}
}

// columnsOf is a line a field.
func columnsOf(frame *data.Frame) []byte {
	var out bytes.Buffer
	for _, f := range frame.Fields {
		fmt.Fprintf(&out, "%s\t%s\t%s\t%s\t%s\n", f.Name, f.Labels, f.Type().ItemTypeString(), f.Config.Unit, f.Config.DisplayNameFromDS)
	}
	return out.Bytes()
}

// plain is a frame as text: a line a field, and then its first rows.
func plain(frame *data.Frame) []byte {
	out := bytes.NewBuffer(columnsOf(frame))
	for row := range min(frame.Rows(), 20) {
		for i, f := range frame.Fields {
			if i > 0 {
				out.WriteByte('\t')
			}
			v, there := f.ConcreteAt(row)
			if !there {
				out.WriteByte('-')
				continue
			}
			switch v := v.(type) {
			case time.Time:
				out.WriteString(v.UTC().Format(time.RFC3339))
			case float64:
				out.WriteString(strconv.FormatFloat(v, 'g', 6, 64))
			default:
				fmt.Fprint(out, v)
			}
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// TestQueriesThatAreRefused are wrong, hostile, or both: each error says what is wrong, and
// the next query is answered.
func TestQueriesThatAreRefused(t *testing.T) {
	f := ready(t)
	for text, want := range map[string]string{
		`{"kind":"nonsense"}`:                                                      "has the kind",
		`{"kind":"traffic","sites":"x"}`:                                           "cannot unmarshal",
		`{"kind":"traffic","surprise":1}`:                                          "unknown field",
		`{"kind":"sites","live":true}`:                                             "is not live",
		`{"kind":"requests","where":{"1 OR 1":"x"}}`:                               "there are",
		`{"kind":"requests","where":{"client":"x' OR '1"}}`:                        "an address or a prefix",
		`{"kind":"requests","where":{"matches":"3 of user_agent:0 \"x\"=9 \"a…"}}`: "longer than a table's cell",
		`{"kind":"requests","limit":100000000}`:                                    "limit",
		`{"kind":"traits","incident":"no' OR '1'='1"}`:                             "no incident",
		`{"kind":"sql","sql":"DROP TABLE requests"}`:                               "ClickHouse",
		`{"kind":"sql","sql":"INSERT INTO requests (path) VALUES ('x')"}`:          "ClickHouse",
		`{"kind":"sql","sql":"SELECT * FROM file('/etc/passwd', LineAsString)"}`:   "ClickHouse",
		`{"kind":"sql","sql":"SELECT file('/etc/passwd')"}`:                        "function file",
		`{"kind":"sql","sql":"SELECT * FROM url('http://127.0.0.1/', CSV)"}`:       "ClickHouse",
		`{"kind":"sql","sql":"SELECT $__nothing"}`:                                 "macro",
		`{"kind":"sql","sql":"SELECT no_such_column FROM requests"}`:               "no_such_column",
		`{"kind":"sql","sql":"SELECT 1 SETTINGS readonly = 0"}`:                    "ClickHouse",
		// ClickHouse's own words with bytes that are no text, and cut within a letter.
		`{"kind":"sql","sql":"SELECT throwIf(1, unhex('48FFFE49'))"}`:                             "H\uFFFDI",
		`{"kind":"sql","sql":"SELECT throwIf(1, 'x` + strings.Repeat("☃", 400) + `')"}`:           "x☃☃",
		`{"kind":"sql","sql":"SELECT throwIf(1, 'xx` + strings.Repeat("☃", 400) + `')"}`:          "x☃☃",
		`{"kind":"sql","sql":"SELECT throwIf(1, '` + strings.Repeat("☃", 400) + `')"}`:            "☃☃",
		`{"kind":"requests","where":{"matches":"` + strings.Repeat("☃", 30) + `=\"1\" x` + `"}}`:  "the query",
		`{"kind":"requests","where":{"matches":"x` + strings.Repeat("☃", 30) + `=\"1\" x` + `"}}`: "the query",
	} {
		answers, err := f.plugin.ask(t.Context(), attack(), text, `{"kind":"sql","sql":"SELECT 1 AS one"}`)
		if err != nil {
			t.Fatal(err)
		}
		if got := answers["A"].Error; got == nil || !strings.Contains(got.Error(), want) {
			t.Errorf("%s: %v, want %q", text, got, want)
		}
		if b := answers["B"]; b.Error != nil || b.Frames[0].Rows() != 1 {
			t.Errorf("after %s: %v", text, b.Error)
		}
	}
}

// TestHostileStrings are values of filters and sites that would break out of SQL, and texts
// that would break a page: neither does anything.
func TestHostileStrings(t *testing.T) {
	f := ready(t)
	for _, evil := range []string{`'; DROP TABLE requests; --`, "\\' OR 1=1 -- ", "a\x00b\n\t\\", `"><script>alert(1)</script>`, "☃\u202e\\x27", "$__from", "%s%d", `{{.}}`} {
		name, err := json.Marshal(evil)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{
			`{"kind":"requests","where":{"path":` + string(name) + `}}`, `{"kind":"requests","where":{"user_agent":` + string(name) + `}}`,
			`{"kind":"traffic","sites":[` + string(name) + `]}`, `{"kind":"signals","signals":[` + string(name) + `]}`,
			`{"kind":"traits","sites":[` + string(name) + `]}`, `{"kind":"decisions","sites":[` + string(name) + `]}`, `{"kind":"edges","edges":[` + string(name) + `]}`,
		} {
			if frame := f.plugin.one(t, attack(), text); frame.Rows() != 0 {
				t.Errorf("%s: %d rows", text, frame.Rows())
			}
		}
	}
	frame := f.plugin.one(t, attack(), `{"kind":"sql","sql":"SELECT unhex('1B5B33316DE280AE00FF41') AS evil"}`)
	if got := *frame.Fields[0].At(0).(*string); !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\x00\u202e") || !strings.HasSuffix(got, "A") {
		t.Errorf("a hostile text came through as %q", got)
	}
}

func TestHealth(t *testing.T) {
	f := ready(t)
	good := f.settings()
	for name, c := range map[string]struct {
		change func(public map[string]any, secret map[string]string)
		want   []string
	}{
		"right":            {func(map[string]any, map[string]string) {}, []string{"ClickHouse answers: 1 sites", "NATS answers"}},
		"wrong token":      {func(_ map[string]any, s map[string]string) { s["clickhousePassword"] = "wrong" }, []string{"refuses the user, password or token", "NATS answers"}},
		"no NATS":          {func(p map[string]any, _ map[string]string) { p["nats"] = "nats://127.0.0.1:1" }, []string{"ClickHouse answers", "NATS at nats://127.0.0.1:1"}},
		"no ClickHouse":    {func(p map[string]any, _ map[string]string) { p["clickhouse"] = "http://127.0.0.1:1/api/sql" }, []string{"ClickHouse at http://127.0.0.1:1/api/sql does not answer", "NATS answers"}},
		"no address":       {func(p map[string]any, _ map[string]string) { p["nats"] = "" }, []string{"the address of NATS is empty"}},
		"secret in URL":    {func(p map[string]any, _ map[string]string) { p["clickhouse"] = "http://u:p@h/" }, []string{"their own fields"}},
		"too many seconds": {func(p map[string]any, _ map[string]string) { p["maxSeconds"] = 1e6 }, []string{"time limit"}},
	} {
		public, secret := map[string]any{}, map[string]string{}
		if err := json.Unmarshal(good.JSONData, &public); err != nil {
			t.Fatal(err)
		}
		for k, v := range good.DecryptedSecureJSONData {
			secret[k] = v
		}
		c.change(public, secret)
		other := instance(public, secret)
		other.UID = "weir-" + strings.ReplaceAll(name, " ", "-")
		other.ID = int64(100 + len(name))
		health, err := f.plugin.as(other, "alice", "Editor").health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if (health.Status == backend.HealthStatusOk) != (name == "right") {
			t.Errorf("%s: %v", name, health.Status)
		}
		for _, want := range c.want {
			if !strings.Contains(health.Message, want) {
				t.Errorf("%s: %q, want %q", name, health.Message, want)
			}
		}
	}
}
