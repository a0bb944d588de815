package clickhouse

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// The rollups' sums are the rows', exactly; distinct counts and quantiles are within
// the error that the columns' comments state.
func TestRollupsEqualTheRows(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	d, err := db.NewDirect(t.Context(), DirectOptions{Stream: "replay:rollups"})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range traffic(8, 10000) {
		if err := d.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, level := range []struct{ table, view, start string }{
		{"rollup_10s", "traffic_10s", "toStartOfInterval(time, INTERVAL 10 SECOND)"},
		{"rollup_1m", "traffic_1m", "toStartOfMinute(time)"}, {"rollup_1h", "traffic_1h", "toStartOfHour(time)"},
	} {
		exact := ask(t, db, "SELECT site, "+level.start+` AS start, sum(weight), sum(bytes), sum(upstream_duration) / 1e6, countIf(status BETWEEN 200 AND 399),
			countIf(status = 404) FROM requests GROUP BY site, start ORDER BY site, start`)
		rolled := ask(t, db, "SELECT site, time, requests, bytes, upstream_seconds, successes, not_found FROM "+level.view+" ORDER BY site, time")
		if exact != rolled {
			t.Errorf("%s:\n%.400s\nthe rows:\n%.400s", level.view, rolled, exact)
		}
		off := ask(t, db, `SELECT max(abs(v.clients / e.clients - 1)), max(abs(v.paths / e.paths - 1)), max(abs(v.user_agents / e.agents - 1)), countIf(v.median_seconds < 0.985 * e.below OR v.median_seconds > 1.015 * e.above)
			FROM `+level.view+` AS v JOIN (SELECT site, toDateTime(`+level.start+`) AS start, uniqExact(client) AS clients, uniqExact(path) AS paths, uniqExact(user_agent) AS agents,
				quantileExact(0.47)(duration) / 1e6 AS below, quantileExact(0.53)(duration) / 1e6 AS above FROM requests WHERE duration > 0 GROUP BY site, start) AS e ON e.site = v.site AND e.start = v.time`)
		within(t, level.view, off, 0.03, 0.03, 0.06, 0) // four standard errors
	}
}

// within compares tab-separated numbers with their bounds.
func within(t *testing.T, what, line string, bounds ...float64) {
	t.Helper()
	for i, text := range strings.Split(line, "\t") {
		if x, err := strconv.ParseFloat(text, 64); err != nil || math.IsNaN(x) || x > bounds[i] {
			t.Errorf("%s: error %d is %s, at most %v are stated", what, i, text, bounds[i])
		}
	}
}

// An insert that is cut short between a table and the next is completed when it is
// repeated, and what was complete counts once.
func TestARepeatedBlockCompletesEveryTable(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	const sums = `SELECT (SELECT count() FROM requests), (SELECT sum(requests) FROM rollup_10s), (SELECT sum(requests) FROM rollup_1m),
		(SELECT sum(requests) FROM rollup_1h), (SELECT sum(requests) FROM decision_hits)`
	b := batchOf(1, time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC), time.Second, 1000)
	decided := schemas.NewBuilder("edge-2", "log")
	var rows schemas.Rows
	var r schemas.Request
	for rows.Reset(b); rows.Next(&r); {
		r.Action, r.Decision, r.Fields = []byte("block"), []byte("d1"), r.Fields|schemas.FieldAction
		decided.Append(&r)
	}
	s := newSpan("TEST@1", 3, Privacy{})
	s.add(7, decided.Batch())
	for _, cut := range []string{"", "rollup_10s", "rollup_1m", "rollup_1h", "decision_hits", "requests"} {
		if cut != "" { // as if the process had died before that table had its block
			write(t, db, "TRUNCATE TABLE "+cut)
		}
		if err := db.store(t.Context(), s, cut != ""); err != nil {
			t.Fatal(err)
		}
		if got, want := ask(t, db, sums), strings.Repeat("1000\t", 4)+"1000"; got != want {
			t.Errorf("after a cut before %q: %s, want %s", cut, got, want)
		}
	}
}

// Where so many blocks have come since that the token may be forgotten, a block that is
// there is not stored again.
func TestABlockWhoseTokenIsForgotten(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	s := newSpan("TEST@1", 0, Privacy{})
	s.add(1, batchOf(1, time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC), time.Second, 10))
	if err := db.store(t.Context(), s, false); err != nil {
		t.Fatal(err)
	}
	id := s.identity(s.days()[0])
	if rows, forgotten, err := db.stored(t.Context(), id); err != nil || rows != 10 || forgotten {
		t.Errorf("stored says %d, %v, %v", rows, forgotten, err)
	}
	db.tokenBlocks = 3
	for i := range 4 {
		write(t, db, fmt.Sprintf("INSERT INTO requests (time, site, sequence) VALUES ('2026-11-22 00:00:00', 'other', %d)", i))
	}
	if rows, forgotten, err := db.stored(t.Context(), id); err != nil || rows != 10 || !forgotten {
		t.Errorf("stored says %d, %v, %v", rows, forgotten, err)
	}
}

func write(t testing.TB, db *DB, sql string) {
	t.Helper()
	if err := db.Query(t.Context(), sql, QueryOptions{Write: true}, t.Output()); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
