package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStoredEqualsCounted replays a log into a store and compares SQL with what awk
// counts in the log, exactly; again, and the replay adds nothing.
func TestStoredEqualsCounted(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	mustWeir(t, "simulate", log, "--format", "combined", "--site", "shop.example.org", "--hours", "2", "--tail", "1m", "--seed", "7")
	awk, err := exec.Command("awk", `{ n[$9]++; if (!(($9, $1) in seen)) { seen[$9, $1]; u[$9]++ } }
		END { for (s in n) printf "shop.example.org\t%d\t%d\t%d\n", s, n[s], u[s] }`, log).Output()
	if err != nil {
		t.Fatal(err)
	}
	sorted := exec.Command("sort")
	sorted.Stdin = strings.NewReader(string(awk))
	want, err := sorted.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{"first", "again"} {
		mustWeir(t, "replay", "-q", "--data", data, "shop.example.org="+log)
		got := mustWeir(t, "sql", "--data", data,
			"SELECT site, status, count(), uniqExact(client) FROM requests GROUP BY site, status ORDER BY toString(status)")
		if got != strings.TrimSpace(string(want)) {
			t.Errorf("%s: SQL says\n%s\nawk says\n%s", again, got, want)
		}
	}
	if out := mustWeir(t, "incidents", "--data", data); !strings.Contains(out, "shop.example.org") {
		t.Errorf("the incident is not in the store: %s", out)
	}
	// The cookbook's queries count the same.
	if got := mustWeir(t, "sql", "--data", data, "@sites"); !strings.HasPrefix(got, "site\trequests") || !strings.Contains(got, "shop.example.org\t") {
		t.Errorf("@sites: %s", got)
	}
	if got, want := mustWeir(t, "sql", "--data", data, "SELECT sum(requests) FROM traffic_1h"), mustWeir(t, "sql", "--data", data, "SELECT count() FROM requests"); got != want {
		t.Errorf("the rollups have %s requests, the rows are %s", got, want)
	}
	if got := mustWeir(t, "sql", "--data", data, "@abuse", "--incident", "latest"); strings.Count(got, "\n") < 100 {
		t.Errorf("@abuse: %.300s", got)
	}
	if out, err := weir(t, "sql", "--data", data, "@agents"); err == nil {
		t.Errorf("@agents without an incident: %s", out)
	}
}

// TestWhyFromTheStore: a store tells of an incident's worst moment after it has closed, not of its
// end, and the SQL of each decision's evidence finds requests there.
func TestWhyFromTheStore(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	mustWeir(t, "simulate", log, "--hours", "1", "--tail", "20m", "--seed", "7")
	mustWeir(t, "replay", "-q", "--data", data, log)
	last := mustWeir(t, "sql", "--data", data, "SELECT incident, type FROM incidents_latest")
	id, state, _ := strings.Cut(last, "\t")
	if state != "incident.closed" {
		t.Fatalf("the incident has not closed: %q", last)
	}
	why := mustWeir(t, "why", "--data", data, id)
	if !strings.Contains(why, "unknown_path_clients") || !strings.Contains(why, "bare_clients") {
		t.Errorf("not its worst moment: %s", why)
	}
	for _, query := range strings.Split(mustWeir(t, "sql", "--data", data, "SELECT JSONExtractString(evidence, 'sql') AS q FROM decisions_latest WHERE q != '' FORMAT TSVRaw"), "\n") {
		if got := mustWeir(t, "sql", "--data", data, query); got == "" {
			t.Errorf("finds nothing: %s", query)
		}
	}
}

// TestSignalsAreStored finds every signal of every ten seconds in the store.
func TestSignalsAreStored(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	mustWeir(t, "simulate", log, "--hours", "0.5", "--tail", "1m", "--seed", "9")
	mustWeir(t, "replay", "-q", "--data", data, log)
	got := mustWeir(t, "sql", "--data", data, `SELECT name FROM signals WHERE site = 'www.example.org' GROUP BY name HAVING count() > 100 ORDER BY name`)
	for _, name := range []string{"request_rate", "unique_clients", "path_entropy", "distinct_path_share", "not_found_share", "error_share", "new_client_share"} {
		if !strings.Contains("\n"+got+"\n", "\n"+name+"\n") {
			t.Errorf("no signal %s; there are %s", name, strings.ReplaceAll(got, "\n", ", "))
		}
	}
}

// TestOldLogsStay replays a log of 2015 and merges: it is still there.
func TestOldLogsStay(t *testing.T) {
	needClickHouse(t)
	testdata := os.Getenv("WEIR_TESTDATA")
	if testdata == "" {
		t.Skip("WEIR_TESTDATA is not set")
	}
	data := filepath.Join(t.TempDir(), "data")
	mustWeir(t, "replay", "-q", "--data", data, "old.example.org="+filepath.Join(testdata, "logs/elastic_apache_2015.log.gz"))
	mustWeir(t, "sql", "--data", data, "--write", "OPTIMIZE TABLE requests FINAL")
	if got := mustWeir(t, "sql", "--data", data, "SELECT count(), toYear(min(time)) FROM requests"); got != "9999\t2015" {
		t.Errorf("after merges: %s", got)
	}
}

// TestQueriesCannotChangeAnything asks for what a person who reads must not do.
func TestQueriesCannotChangeAnything(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	if err := os.WriteFile(log, []byte(`192.0.2.1 - - [21/Nov/2026:05:08:00 +0000] "GET / HTTP/1.1" 200 10 "-" "a"`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustWeir(t, "replay", "-q", "--data", data, log)
	for _, query := range []string{
		"DROP TABLE requests", "ALTER TABLE requests DELETE WHERE 1", "INSERT INTO requests (path) VALUES ('x')",
		"SELECT * FROM file('/etc/passwd', 'LineAsString')", "CREATE TABLE t (a Int8) ENGINE = Memory",
	} {
		if out, err := weir(t, "sql", "--data", data, query); err == nil {
			t.Errorf("%s: taken: %s", query, out)
		}
	}
	if got := mustWeir(t, "sql", "--data", data, "SELECT count() FROM requests"); got != "1" {
		t.Errorf("%s requests left, want 1", got)
	}
}

// TestEraseAndExport replays requests with secrets in their queries, exports an
// incident's rows, and erases one address everywhere.
func TestEraseAndExport(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	mustWeir(t, "simulate", log, "--format", "combined", "--site", "shop.example.org", "--hours", "2", "--tail", "1m", "--seed", "7")
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`192.0.2.99 - - [21/Nov/2026:05:10:00 +0000] "GET /reset?token=hunter2 HTTP/1.1" 200 10 "-" "a"` + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	mustWeir(t, "replay", "-q", "--data", data, "shop.example.org="+log)
	if got := mustWeir(t, "sql", "--data", data, "SELECT path, query FROM requests_readable WHERE client = '192.0.2.99'"); got != "/reset\ttoken=" {
		t.Errorf("stored: %s", got)
	}
	parquet, ndjson := filepath.Join(dir, "rows.parquet"), filepath.Join(dir, "rows.ndjson")
	mustWeir(t, "export", "latest", parquet, "--data", data)
	mustWeir(t, "export", "latest", ndjson, "--data", data)
	columnar, err := os.ReadFile(parquet)
	if err != nil || len(columnar) < 1000 || string(columnar[:4]) != "PAR1" || string(columnar[len(columnar)-4:]) != "PAR1" {
		t.Errorf("Parquet: %d bytes, %v", len(columnar), err)
	}
	// What another reader finds in it are rows of the table, each once, in all columns.
	readBack := "SELECT count() > 1000, uniqExact(tuple(*)) = count(), (SELECT count() FROM (SELECT * FROM file('" + parquet + "', Parquet) EXCEPT SELECT * FROM requests_readable)) " +
		"FROM file('" + parquet + "', Parquet)"
	if got := mustWeir(t, "sql", "--write", "--data", data, readBack); got != "1\t1\t0" {
		t.Errorf("read back: %s", got)
	}
	rows, err := os.ReadFile(ndjson)
	if err != nil || !strings.Contains(string(rows), "192.0.2.99") {
		t.Errorf("NDJSON: %d bytes, %v", len(rows), err)
	}
	page := filepath.Join(dir, "incident.html")
	mustWeir(t, "incident", "latest", "--report", page, "--data", data)
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "shop.example.org") || !strings.Contains(string(text), "<title>Incident i26") {
		t.Errorf("the report: %d bytes, %v", len(text), err)
	}
	if got := mustWeir(t, "erase", "192.0.2.99", "--data", data); !strings.HasPrefix(got, "Erased 192.0.2.99: 1 requests") {
		t.Errorf("erase: %s", got)
	}
	if got := mustWeir(t, "sql", "--data", data, "SELECT count() FROM requests_readable WHERE client = '192.0.2.99'"); got != "0" {
		t.Errorf("%s requests left", got)
	}
}

// TestReplayReport writes the page of a replay that is kept nowhere, and of one without an
// incident none.
func TestReplayReport(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	log, page := filepath.Join(dir, "access.log"), filepath.Join(dir, "page.html")
	mustWeir(t, "simulate", log, "--hours", "1", "--tail", "1m")
	mustWeir(t, "replay", "-q", "--report", page, log)
	text, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(text), "www.example.org") || !strings.Contains(string(text), "<title>Incident i261121-0508") {
		t.Errorf("the report: %d bytes, %v", len(text), err)
	}
	if info, err := os.Stat(page); err == nil && info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v", info.Mode())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "weir-replay-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	calm, none := filepath.Join(dir, "calm.log"), filepath.Join(dir, "none.html")
	mustWeir(t, "simulate", calm, "--hours", "0.1", "--tail", "1m", "--requests", "0")
	mustWeir(t, "replay", "-q", "--report", none, calm)
	if _, err := os.Stat(none); !os.IsNotExist(err) {
		t.Errorf("a page of nothing: %v", err)
	}
}

// TestBenchStore measures storing for a moment: every figure is there, and the columns
// take what a row takes.
func TestBenchStore(t *testing.T) {
	needClickHouse(t)
	log := filepath.Join(t.TempDir(), "access.log")
	mustWeir(t, "simulate", log, "--hours", "0.1", "--tail", "1m", "--requests", "1000", "--addresses", "300")
	var report struct {
		Rounds []struct {
			Rollups   bool
			Rows      int
			Seconds   float64
			Engine    float64 `json:"cpu_engine"`
			Weir      float64 `json:"mib_weir"`
			EngineMiB float64 `json:"mib_engine"`
			Columns   []struct {
				Bytes, Raw float64
				Codecs     map[string]float64
			}
		}
	}
	out := mustWeir(t, "bench", "store", "--rows", "5000", "--rounds", "1", "--output", "json", log)
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Rounds) != 2 {
		t.Fatalf("%v: %s", err, out)
	}
	for i, r := range report.Rounds {
		if r.Rollups != (i == 1) || r.Rows < 5000 || r.Seconds <= 0 || r.Engine <= 0 || r.Weir < 10 || r.EngineMiB < 100 {
			t.Errorf("round %d: %+v", i, r)
		}
	}
	row := 0.0
	for _, c := range report.Rounds[1].Columns {
		row += c.Bytes
		if len(c.Codecs) < 3 {
			t.Errorf("codecs: %v", c.Codecs)
		}
	}
	if row < 5 || row > 200 {
		t.Errorf("a row takes %v bytes", row)
	}
}

// TestBenchSQL asks every query of the cookbook of a small store: none is refused.
func TestBenchSQL(t *testing.T) {
	needClickHouse(t)
	var report struct {
		Rows    int
		Queries []struct {
			Query, Kind, Error string
			Median             float64 `json:"median_ns"`
		}
	}
	out := mustWeir(t, "bench", "sql", "--rows", "90000", "--runs", "1", "--output", "json")
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &report); err != nil || report.Rows != 90000 || len(report.Queries) < 30 {
		t.Fatalf("%v: %.500s", err, out)
	}
	for _, q := range report.Queries {
		if q.Error != "" || q.Median <= 0 || q.Kind != "cookbook" && q.Kind != "dashboard" {
			t.Errorf("%+v", q)
		}
	}
}

// TestReplaysOfStandardInput: another log is another one, though both come by standard input,
// and the same one again adds nothing.
func TestReplaysOfStandardInput(t *testing.T) {
	needClickHouse(t)
	data := filepath.Join(t.TempDir(), "data")
	for i, client := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"} {
		replay := exec.Command(program, "replay", "-q", "--data", data, "a.example.org=-")
		line := client + ` - - [30/Nov/2026:00:00:01 +0000] "GET / HTTP/1.1" 200 10 "-" "x"` + "\n"
		replay.Stdin = strings.NewReader(strings.Repeat(line, 1000))
		if out, err := replay.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got, want := mustWeir(t, "sql", "--data", data, "SELECT count() FROM requests"), []string{"1000", "2000", "2000"}[i]; got != want {
			t.Errorf("after the replay %d there are %s requests, want %s", i, got, want)
		}
	}
}
