package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/embedded"
	"github.com/weir-project/weir/schemas"
)

func TestQueryFormatsAndRefusals(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("the secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	db := client(t, home(t, dir))
	made := filepath.Join(dir, "made")
	for _, c := range []struct{ sql, format, want string }{
		{"SELECT 1 AS a, 'x' AS b", "", "1\tx\n"},
		{"SELECT 1 AS a, 'x' AS b;\n", "TSVWithNames", "a\tb\n1\tx\n"},
		{"SELECT 1 AS a, 'x' AS b", "JSONEachRow", "{\"a\":1,\"b\":\"x\"}\n"},
		{"SELECT 1 AS a, 'x' AS b", "CSVWithNames", "\"a\",\"b\"\n1,\"x\"\n"},
		{"SHOW TABLES LIKE 'req%'", "TSV", "requests\nrequests_readable\n"},
		{"SELECT count() FROM requests", "TSV", "0\n"},
		{"SELECT path LIKE '%/file/%', 'it\\'s a file, \\\\' FROM (SELECT '/a/file/b' AS path)", "TSV", "1\tit\\'s a file, \\\\\n"},
		{"SELECT * APPLY(toString), arrayMap(upper, ['x']) FROM (SELECT 1 AS filed)", "TSV", "1\t['X']\n"},
		{"WITH 1 AS a SELECT a -- file", "TSV", "1\n"},
		{"EXISTS requests", "TSV", "1\n"},
		{"SELECT sum(number), any(a) FROM numbers(3) AS n, (SELECT * FROM values('a UInt8', 7)) AS v", "TSV", "3\t7\n"},
	} {
		var out bytes.Buffer
		if err := db.Query(t.Context(), c.sql, QueryOptions{Format: c.format}, &out); err != nil || out.String() != c.want {
			t.Errorf("%s as %s: %q, %v, want %q", c.sql, c.format, out.String(), err, c.want)
		}
	}
	for _, sql := range []string{
		"SELECT * FROM file('" + secret + "', 'LineAsString')", "SELECT file('" + secret + "')",
		"SELECT `file`/**/('" + secret + "')", "WITH (SELECT file('" + secret + "')) AS a SELECT length(a)",
		"SELECT arrayMap(x -> file(x), ['" + secret + "'])", "EXPLAIN SELECT file('" + secret + "')",
		"SELECT arrayMap(file, ['" + secret + "'])", "SELECT arrayMap(`f\\x69le`, ['" + secret + "'])", "SELECT * APPLY(file) FROM (SELECT '" + secret + "')",
		"SELECT * APPLY(\"file\") FROM (SELECT '" + secret + "')", "SELECT * APPLY(x -> file(x)) FROM (SELECT '" + secret + "')",
		"SELECT COLUMNS('.*') APPLY file FROM (SELECT '" + secret + "')", "SELECT 'a\\'', * APPLY(file), '\\\\' FROM (SELECT '" + secret + "')",
		"SELECT encrypt('aes-256-ofb', (SELECT * APPLY(file) FROM (SELECT '" + secret + "')), 'key')",
		"SELECT 1 FROM system.one ORDER BY 1 WITH FILL FROM 0 TO 2 INTERPOLATE (dummy AS file('" + secret + "'))",
		"SELECT 1 AS `a'`, * APPLY(file), 2 AS `b'` FROM (SELECT '" + secret + "')", "SELECT 1 AS \"a'\", * APPLY(file), 2 AS \"b'\" FROM (SELECT '" + secret + "')",
		"SELECT 1 AS `a\\``, * APPLY(file), 2 AS `b\\`` FROM (SELECT '" + secret + "')",
		"FROM (SELECT throwIf(1, file('" + secret + "')) AS EXPLAIN)", "FROM (SELECT 'SelectWithUnionQuery' AS EXPLAIN, * APPLY(file) FROM (SELECT '" + secret + "'))",
		"FROM (SELECT 'SelectWithUnionQuery' AS EXPLAIN) AS a, sqlite('" + made + "', 't') AS b", "SELECT throwIf(1, file('" + secret + "'))", "FROM requests", "1 + 1",
		"SELECT * FROM sqlite('" + made + "', 't')", "DESCRIBE TABLE sqlite('" + made + "', 't')", "SELECT 1 FROM numbers(1) JOIN sqlite('" + made + "', 't') ON 1",
		"SELECT 1 IN (SELECT 1 FROM `sqlite`('" + made + "', 't'))", "SELECT * FROM eval('SELECT 1')",
		"KILL QUERY WHERE 1", "SYSTEM STOP MERGES", "SYSTEM FLUSH LOGS", "USE system", "SELECT 1 PARALLEL WITH SELECT 2",
		"SELECT * FROM url('http://127.0.0.1:8123/', 'LineAsString')",
		"SELECT * FROM executable('/bin/true', 'TSV', 'a String')", "SELECT * FROM remote('127.0.0.1', system.one)",
		"DROP TABLE requests", "INSERT INTO requests (site) VALUES ('x')", "TRUNCATE TABLE requests",
		"ALTER TABLE requests DELETE WHERE 1", "CREATE TABLE t (a Int8) ENGINE = Memory", "SYSTEM SHUTDOWN",
		"SELECT 1 SETTINGS readonly = 0", "SET readonly = 0", "SELECT * FROM requests INTO OUTFILE '/tmp/x'",
		"CREATE TEMPORARY TABLE t (a Int8)", "SELECT 1; SELECT 2", "SELEC 1", "SELECT nothing",
		"SELECT throwIf(number = 1000000) FROM numbers(10000000)",
	} {
		var out bytes.Buffer
		err := db.Query(t.Context(), sql, QueryOptions{}, &out)
		if err == nil || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error()+out.String(), "the secret") {
			t.Errorf("%s: answered %.60q, error %v; want an error of one line", sql, out.String(), err)
			continue
		}
		t.Log(err)
	}
	if _, err := os.Stat(made); err == nil {
		t.Error("a query made a file")
	}
	if err := db.Query(t.Context(), "CREATE TABLE notes (a Int8) ENGINE = MergeTree ORDER BY a", QueryOptions{Write: true}, &bytes.Buffer{}); err != nil {
		t.Errorf("with Write: %v", err)
	}
}

func TestQueryIsCancelled(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := db.Query(ctx, "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))", QueryOptions{}, &bytes.Buffer{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	for ask(t, db, "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%processes%'") != "0" {
		if t.Context().Err() != nil {
			t.Fatal("the query goes on")
		}
	}
}

func TestEventsAreRecordedOnce(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	at := time.Date(2015, 5, 18, 5, 8, 12, 345e6, time.UTC)
	hostile := "a\x00b'\"\\\n\t\xff`; DROP TABLE requests -- "
	events := []schemas.Event{
		{Type: schemas.IncidentOpened, Time: at, Sites: []string{"shop.example", hostile}, Incident: "i1", Kind: schemas.Flood, Opened: at,
			Cause: hostile, Signals: []schemas.Signal{{Name: "request_rate", Group: "volume", Value: 17, Normal: 2, Score: 9}}},
		{Type: schemas.IncidentClosed, Time: at.Add(time.Hour), Incident: "i1", Kind: schemas.Flood, Opened: at, Closed: at.Add(time.Hour)},
		{Type: schemas.DecisionAdded, Time: at, Incident: "i1", Decision: &schemas.Decision{ID: "i1-1", Action: schemas.Block,
			Scope: schemas.ScopeSignature, Value: hostile, Expires: at.Add(time.Hour), Collateral: 0.001, CollateralClients: 5000,
			Origin: "weir", Evidence: &schemas.Evidence{AttackShare: 0.9, Samples: []string{hostile}}}},
	}
	signals := []schemas.SignalRow{{Time: at, Site: "shop.example", Window: "10s",
		Signal: schemas.Signal{Name: "request_rate", Group: "volume", Value: 1.5}}}
	for range 2 {
		if err := db.RecordEvents(t.Context(), "TEST@1/7", events); err != nil {
			t.Fatal(err)
		}
		if err := db.RecordSignals(t.Context(), "TEST@1/8", signals); err != nil {
			t.Fatal(err)
		}
	}
	for sql, want := range map[string]string{
		"SELECT count() FROM incidents":                                                            "2",
		"SELECT incident, kind, closed, opened FROM incidents_latest":                              "i1\tflood\t2015-05-18 06:08:12.345\t2015-05-18 05:08:12.345",
		"SELECT count(), any(action), any(expires), any(collateral_clients) FROM decisions_latest": "1\tblock\t2015-05-18 06:08:12.345\t5000",
		"SELECT JSONExtractFloat(evidence, 'attack_share') FROM decisions":                         "0.9",
		"SELECT hex(value) FROM decisions":                                                         strings.ToUpper(hexOf(hostile)),
		"SELECT hex(cause), hex(sites[2]) FROM incidents WHERE type = 'incident.opened'":           strings.ToUpper(hexOf(hostile) + "\t" + hexOf(hostile)),
		"SELECT time, site, window, name, `group`, value FROM signals":                             "2015-05-18 05:08:12.345\tshop.example\t10s\trequest_rate\tvolume\t1.5",
	} {
		if got := ask(t, db, sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

func TestLoopbackHomeStoresAndAnswers(t *testing.T) {
	store := home(t, t.TempDir())
	ctx := t.Context()
	db, err := Open(ctx, Options{Dial: dialTo(store), HTTPOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d, err := db.NewDirect(ctx, DirectOptions{Stream: "replay:http"})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Write(ctx, batchOf(1, time.Unix(1.7e9, 0), time.Millisecond, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(t, db, everyRequest); got != "1000\t1000\t1000" {
		t.Errorf("rows, requests, weight are %s", got)
	}
	if err := db.RecordEvents(ctx, "", []schemas.Event{{Type: schemas.IncidentOpened, Time: time.Unix(1, 0), Incident: "i"}}); err != nil {
		t.Error(err)
	}
}

func TestOpenErrorsAreOneLineWithoutThePassword(t *testing.T) {
	for _, o := range []Options{
		{}, {DSN: "clickhouse://u:hunter2@127.0.0.1:1/db"}, {DSN: "http://u:hunter2@127.0.0.1:1/"},
		{DSN: "nonsense"}, {DSN: "clickhouse://u:hunter2@[::1/"}, {DSN: "ftp://u:hunter2@h/"},
		{DSN: "clickhouse://u:hunter2@127.0.0.1:1/db?dial_timeout=x"},
	} {
		_, err := Open(t.Context(), o)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: error is %v", o, err)
		}
		t.Log(err)
	}
}

var _ embedded.Home = (*embedded.Store)(nil)
