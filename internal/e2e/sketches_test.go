package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// What sketches may err by, as docs/sketches.md and the tables' comments say: distinct counts
// 0.81 % (standard error; four of them here), those of networks 1.6 %, and the entropy of more
// than 4,096 paths 0.16 bit at the least.
const (
	distinctWithin, networksWithin, bitsWithin = 4 * 0.0081, 4 * 0.016, 0.16
	rounded                                    = 0.00051 // signals are told to three places
)

// windowsBesideRows is each window of ten seconds as weir's sketches told it, beside what SQL
// counts of its rows. A client of IPv6 is a /64. The windows of a site end in one of ten seconds.
const windowsBesideRows = `WITH (SELECT groupUniqArray((site, toUnixTimestamp(time) % 10)) FROM signals) AS phases,
said AS (SELECT site, toUnixTimestamp(time) AS end, maxIf(value, name = 'request_rate') * 10 AS n, maxIf(value, name = 'unique_clients') AS clients,
	maxIf(value, name = 'not_found_share') AS missing, maxIf(value, name = 'error_share') AS errors, maxIf(value, name = 'no_referer_share') AS bare,
	maxIf(value, name = 'distinct_path_share') AS pages, maxIf(value, name = 'path_entropy') AS bits FROM signals WHERE window = '10s' GROUP BY site, end HAVING n > 0),
counted AS (SELECT site, intDiv(toUnixTimestamp(time) - phase, 10) * 10 + 10 + phase AS end, count() AS n,
	uniqExact(if(isIPAddressInRange(toString(client), '::ffff:0.0.0.0/96'), client, tupleElement(IPv6CIDRToRange(client, 64), 1))) AS clients,
	countIf(status IN (404, 410)) / n AS missing, countIf(status >= 500) / n AS errors, countIf(referer IN ('', '-')) / n AS bare,
	uniqExact(path) AS paths, entropy(path) AS bits
	FROM (SELECT *, arrayFirst(p -> p.1 = requests.site, phases).2 AS phase FROM requests) GROUP BY site, end)
`

// TestSQLAndSketchesSayTheSame replays half an hour and a flood of ten thousands of clients and
// paths, and asks SQL for every signal of every window, and for the rollups. Counts and shares
// are equal; so are distinct counts and entropies of few; of many they differ by what is stated.
func TestSQLAndSketchesSayTheSame(t *testing.T) {
	needClickHouse(t)
	dir := t.TempDir()
	log, data := filepath.Join(dir, "access.log"), filepath.Join(dir, "data")
	mustWeir(t, "simulate", log, "--format", "combined", "--site", "www.example.org", "--hours", "0.5", "--tail", "1m", "--seed", "9",
		"--requests", "60000", "--addresses", "20000", "--duration", "20s")
	// Signals leave out whom nothing is decided against; SQL counts everybody.
	config := filepath.Join(dir, "weir.yaml")
	if err := os.WriteFile(config, []byte("crawlers: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustWeir(t, "replay", "-q", "--config", config, "--data", data, "www.example.org="+log)
	said := func(query string) string { return mustWeir(t, "sql", "--data", data, query) }
	for _, c := range []struct{ about, query, want string }{
		{"windows that one of them does not have, but for the log's last", "SELECT countIf(s.n = 0 AND end <= (SELECT max(end) FROM said)), countIf(c.n = 0) FROM said AS s FULL JOIN counted AS c USING (site, end)", "0\t0"},
		{"windows of few and of many clients and paths", "SELECT countIf(clients <= 1024 AND n > 0) > 100, countIf(clients > 10000) > 0, countIf(paths > 10000) > 0 FROM counted", "1\t1\t1"},
		{"counts and shares that differ", fmt.Sprintf("SELECT countIf(abs(s.n - c.n) > 1e-6), countIf(abs(s.missing - c.missing) > %[1]g), countIf(abs(s.errors - c.errors) > %[1]g), countIf(abs(s.bare - c.bare) > %[1]g) FROM said AS s JOIN counted AS c USING (site, end)", rounded), "0\t0\t0\t0"},
		{"distinct clients and paths of few that differ", fmt.Sprintf("SELECT countIf(c.clients <= 1024 AND s.clients != c.clients), countIf(c.paths <= 1024 AND abs(s.pages - c.paths / c.n) > %[1]g), countIf(c.paths <= 1024 AND abs(s.bits - c.bits) > %[1]g) FROM said AS s JOIN counted AS c USING (site, end)", rounded), "0\t0\t0"},
		{"distinct clients and paths, and entropies, of many that differ by more than is stated", fmt.Sprintf("SELECT countIf(abs(s.clients / c.clients - 1) > %g), countIf(abs(s.pages * c.n / c.paths - 1) > %g), countIf(abs(s.bits - c.bits) > %g) FROM said AS s JOIN counted AS c USING (site, end) WHERE c.clients > 1024 OR c.paths > 1024",
			distinctWithin, distinctWithin+rounded, bitsWithin), "0\t0\t0"},
	} {
		if got := said(windowsBesideRows + c.query); got != c.want {
			t.Errorf("%s: %q, want %q", c.about, got, c.want)
		}
	}
	for _, r := range []struct{ table, start string }{{"traffic_10s", "toStartOfInterval(requests.time, INTERVAL 10 SECOND)"}, {"traffic_1m", "toStartOfMinute(requests.time)"}, {"traffic_1h", "toStartOfHour(requests.time)"}} {
		got := said(fmt.Sprintf(`SELECT countIf(r.requests != c.n OR r.not_found != c.missing OR r.errors != c.errors OR r.bytes != c.bytes),
	countIf(abs(r.clients / c.clients - 1) > %[3]g OR abs(r.paths / c.paths - 1) > %[3]g OR abs(r.user_agents / c.agents - 1) > %[4]g OR abs(r.networks / c.networks - 1) > %[4]g), count() > 0
FROM %[1]s AS r FULL JOIN (SELECT site, %[2]s AS time, count() AS n, countIf(status IN (404, 410)) AS missing, countIf(status >= 500) AS errors, sum(requests.bytes) AS bytes,
	uniqExact(client) AS clients, uniqExact(network) AS networks, uniqExact(path) AS paths, uniqExact(user_agent) AS agents FROM requests GROUP BY site, time) AS c USING (site, time)`,
			r.table, r.start, distinctWithin, networksWithin))
		if got != "0\t0\t1" {
			t.Errorf("%s: counts that differ, sketches that differ by more than is stated, any at all: %s", r.table, got)
		}
	}
}
