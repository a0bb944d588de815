package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/schemas"
	cookbook "github.com/weir-project/weir/schemas/clickhouse"
	"github.com/weir-project/weir/sinks/clickhouse"
)

type benchSQLCommand struct {
	Rows   int    `default:"100000000" help:"Requests that the store shall hold."`
	Runs   int    `default:"5" help:"How often each query is asked; the median is shown."`
	Folder string `placeholder:"DIR" help:"Where to make the temporary store; by default where temporary files are. A hundred million requests take some 4 GB."`
	Keep   string `placeholder:"DIR" help:"Make the store here and leave it; where it is already, only what it lacks is made."`
	Query  string `placeholder:"NAME" help:"Ask only this one, such as @traits; by default all."`
	Output string `default:"table" enum:"table,markdown,json" help:"table, markdown or json."`
}

// queryTime is how long a query took.
type queryTime struct {
	Query   string        `json:"query"`
	Kind    string        `json:"kind"` // cookbook or dashboard
	Median  time.Duration `json:"median_ns"`
	CPU     time.Duration `json:"cpu_ns"` // of ClickHouse, a run on average, to 10 ms in all
	Slowest time.Duration `json:"slowest_ns"`
	Error   string        `json:"error,omitempty"` // of a query that was refused, such as for memory
}

// Bounds that a query of each kind is to keep.
var queryBudgets = map[string]time.Duration{"cookbook": time.Second, "dashboard": 200 * time.Millisecond}

// Run fills a store of its own, and asks it every query of the cookbook, and what
// dashboards ask again and again.
func (c *benchSQLCommand) Run(ctx context.Context, s screen) (err error) {
	if c.Rows < 1 || c.Runs < 1 {
		return usagef("bench sql: --rows is %d and --runs %d; give at least 1 of each", c.Rows, c.Runs)
	}
	folder := c.Keep
	if folder == "" {
		if folder, err = os.MkdirTemp(c.Folder, "weir-bench-*"); err != nil {
			return unwrapPath(err)
		}
		defer os.RemoveAll(folder)
	}
	db, end, err := openData(ctx, folder, true, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	story := benchStory(c.Rows)
	attack := story.Start.Add(story.Ordinary)
	rows, err := c.fill(ctx, s.err, db, folder, story)
	if err != nil {
		return err
	}
	times, err := c.ask(ctx, db, attack)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return json.NewEncoder(s.out).Encode(struct {
			Machine string      `json:"machine"`
			Rows    int         `json:"rows"`
			Queries []queryTime `json:"queries"`
		}{machine(), rows, times})
	}
	return printTimes(printedTable{w: s.out, markdown: c.Output == "markdown"}, times, rows, c.Runs)
}

// fill makes what the store lacks, and says how many rows it has then.
func (c *benchSQLCommand) fill(ctx context.Context, progress io.Writer, db *clickhouse.DB, folder string, story simulate.Config) (rows int, err error) {
	if err := db.Migrate(ctx); err != nil {
		return 0, err
	}
	attack := story.Start.Add(story.Ordinary)
	if _, err := db.Case(ctx, "bench-2"); errors.Is(err, clickhouse.ErrNoIncident) {
		err = benchHistory(ctx, db, folder, story)
		if err != nil {
			return 0, err
		}
	} else if err != nil {
		return 0, err
	}
	if err := benchWatched(ctx, db, story, c.Rows); err != nil {
		return 0, err
	}
	if err := multiply(ctx, progress, db, c.Rows, attack, story.Ordinary); err != nil {
		return 0, err
	}
	if err := merged(ctx, db); err != nil {
		return 0, err
	}
	return askNumber(ctx, db, "SELECT count() FROM requests")
}

func printTimes(t printedTable, times []queryTime, rows, runs int) error {
	t.text("Queries on %s; %s requests of %s. Medians of %d; the budget is %s for a query of the cookbook, and %s for a dashboard's.",
		machine(), count(rows), "a simulated estate", runs, queryBudgets["cookbook"], queryBudgets["dashboard"])
	t.row("query", "median", "slowest", "processor time", "")
	for _, q := range times {
		verdict := ""
		if q.Median > queryBudgets[q.Kind] {
			verdict = "above the budget"
		}
		if q.Error != "" {
			verdict = q.Error
		}
		t.row(q.Query, q.Median.Round(time.Millisecond).String(), q.Slowest.Round(time.Millisecond).String(), q.CPU.Round(time.Millisecond).String(), verdict)
	}
	return t.flush()
}

// benchStory is half an hour and an attack, of an estate of a size that fits.
func benchStory(rows int) simulate.Config {
	config := simulate.Default()
	config.Start = config.Start.Add(config.Ordinary - 30*time.Minute)
	config.Ordinary, config.Tail = 30*time.Minute, time.Minute
	if rows >= 1_000_000 {
		config.Scale, config.Attack.Requests, config.Attack.Addresses = 20, 200_000, 60_000
	}
	return config
}

// benchHistory stores the story, with two incidents on the attacked site.
func benchHistory(ctx context.Context, db *clickhouse.DB, folder string, story simulate.Config) error {
	log := filepath.Join(folder, "story.log")
	err := writeFile(log, func(w io.Writer) error {
		_, err := simulate.Write(story, simulate.Output{Log: w})
		return err
	})
	if err != nil {
		return err
	}
	direct, err := db.NewDirect(ctx, clickhouse.DirectOptions{Stream: "bench"})
	if err != nil {
		return err
	}
	_, err = tail.Read(ctx, []tail.Input{{Path: log}}, tail.Options{Edge: "bench", Rows: benchMessage}, func(chunk *tail.Chunk) error {
		return direct.Write(ctx, chunk.Batch)
	})
	if err = errors.Join(err, direct.Close(ctx), os.Remove(log)); err != nil {
		return err
	}
	opened, sites := story.Start.Add(story.Ordinary), []string{story.AttackSite()}
	var events []schemas.Event
	for id, at := range map[string]time.Time{"bench-1": opened.Add(-2 * time.Hour), "bench-2": opened} {
		closed := at.Add(story.Attack.Duration)
		e := schemas.Event{Incident: id, Kind: schemas.Flood, Sites: sites, Opened: at, Cause: "bench",
			Signals: []schemas.Signal{{Name: "request_rate", Group: "volume", Value: 20, Normal: 1, Score: 8}}}
		e.Type, e.Time = schemas.IncidentOpened, at
		events = append(events, e)
		e.Type, e.Time, e.Closed = schemas.IncidentClosed, closed, closed
		events = append(events, e)
	}
	return db.RecordEvents(ctx, "", events)
}

// benchWatched stores what weir would have watched and done beside the requests, of a week
// where there are a million or more:
// signals of every site, and decisions of the attack with what they matched. Dashboards ask
// for those more than for requests.
func benchWatched(ctx context.Context, db *clickhouse.DB, story simulate.Config, rows int) error {
	if have, err := askNumber(ctx, db, "SELECT count() FROM signals"); err != nil || have > 0 {
		return err
	}
	attack := story.Start.Add(story.Ordinary)
	end := clickhouse.Instant(attack.Add(story.Attack.Duration))
	for _, sql := range []string{
		"INSERT INTO signals (time, site, window, name, `group`, value, normal, score) SELECT " + end + " - toIntervalSecond(10 * number), site, '10s', name, 'volume', 1 + rand() % 100 / 100, 1, rand() % 40 / 10 FROM " +
			"(SELECT DISTINCT site FROM requests) AS s CROSS JOIN (SELECT arrayJoin(['request_rate', 'unique_clients', 'path_entropy', 'not_found_share', 'error_share', 'abandoned_share', 'unserved_share', 'stopped_share', 'new_client_share', 'slow_share']) AS name) AS n " +
			fmt.Sprintf("CROSS JOIN numbers(%d) AS t", min(60_480, rows/16+1)), // a week, every ten seconds
		"INSERT INTO decisions (time, type, decision, incident, sites, action, scope, value, expires, collateral, origin, evidence) SELECT " + clickhouse.Instant(attack) + ", 'decision.added', 'bench-2-' || toString(number), 'bench-2', [" +
			clickhouse.Literal(story.AttackSite()) + "], 'block', 'client', '192.0.2.' || toString(number % 256), " + clickhouse.Instant(attack.Add(24*time.Hour)) + `, 0.001, 'weir', '{"samples":["GET / | x"]}' FROM numbers(2000)`,
		"INSERT INTO decision_hits (decision, site, time, action, requests) SELECT 'bench-2-' || toString(number % 2000), " + clickhouse.Literal(story.AttackSite()) + ", " + clickhouse.Instant(attack) +
			" + toIntervalSecond(10 * (number % 60)), if(number % 100 = 0, 'allow', 'block'), 1 FROM numbers(100000)",
	} {
		if err := db.Query(ctx, sql, clickhouse.QueryOptions{Write: true, Settings: map[string]any{"max_threads": 1}}, io.Discard); err != nil {
			return err
		}
	}
	return nil
}

// multiply puts the story's ordinary traffic before itself, again and again, until
// there are enough rows: history without other attacks.
func multiply(ctx context.Context, progress io.Writer, db *clickhouse.DB, rows int, attack time.Time, span time.Duration) error {
	ordinary := "time < " + clickhouse.Instant(attack) + " AND time >= " + clickhouse.Instant(attack.Add(-span))
	have, err := askNumber(ctx, db, "SELECT count() FROM requests")
	if err != nil {
		return err
	}
	// A kept store has some of the copies; the last of them may be in part.
	copies, err := askNumber(ctx, db, fmt.Sprintf("SELECT intDiv(toUnixTimestamp(%s) - toUnixTimestamp(min(time)), %d) FROM requests", clickhouse.Instant(attack), int(span.Seconds())))
	if err != nil {
		return err
	}
	for n, failed := copies+1, 0; have < rows; n++ {
		if err := copyBefore(ctx, db, ordinary, n*int(span.Seconds()), rows-have); err != nil {
			// Merges of large parts may have the memory for a while; some rows may be there.
			if failed++; failed > 10 || ctx.Err() != nil {
				return err
			}
			if err := merged(ctx, db); err != nil {
				return err
			}
		} else {
			failed = 0
		}
		if have, err = askNumber(ctx, db, "SELECT count() FROM requests"); err != nil {
			return err
		}
		fmt.Fprintf(progress, "\r%s of %s rows   ", count(have), count(rows))
	}
	fmt.Fprintln(progress)
	return nil
}

// copyBefore copies rows, and what the rollups have of them, to so many seconds before.
// A view hands the short rollup on to the longer ones.
func copyBefore(ctx context.Context, db *clickhouse.DB, where string, seconds, most int) error {
	for _, sql := range []string{
		"INSERT INTO requests SELECT * REPLACE (r.time - toIntervalSecond(%d) AS time) FROM (SELECT * FROM requests WHERE " + where + fmt.Sprintf(" LIMIT %d) AS r", most),
		"INSERT INTO rollup_10s SELECT * REPLACE (r.time - toIntervalSecond(%d) AS time) FROM (SELECT * FROM rollup_10s WHERE " + where + ") AS r",
	} {
		// Small blocks: the engine has a gigabyte for this and for the merges beside it.
		settings := map[string]any{"max_threads": 1, "max_partitions_per_insert_block": 1000, "max_block_size": 16384,
			"min_insert_block_size_rows": 131072, "min_insert_block_size_bytes": 0}
		if err := db.Query(ctx, fmt.Sprintf(sql, seconds), clickhouse.QueryOptions{Write: true, Settings: settings}, io.Discard); err != nil {
			return err
		}
	}
	return nil
}

// drawn are the columns of traffic that a dashboard draws.
const drawn = "time, requests, successes, not_found, abandoned, errors, throttled, challenged, blocked, clients"

// dashboardQueries are what panels ask, of the attacked site where they are of one.
func dashboardQueries(site string, attack time.Time) map[string]string {
	of := "site = " + clickhouse.Literal(site) + " AND time > " + clickhouse.Instant(attack.Add(-time.Hour)) + " AND time <= " + clickhouse.Instant(attack.Add(10*time.Minute))
	return map[string]string{
		"a site's last hour, every 10 s": "SELECT " + drawn + " FROM traffic_10s WHERE " + of + " ORDER BY time",
		"a site's last day, by minutes":  "SELECT " + drawn + " FROM traffic_1m WHERE " + strings.ReplaceAll(of, clickhouse.Instant(attack.Add(-time.Hour)), clickhouse.Instant(attack.Add(-24*time.Hour))) + " ORDER BY time",
		"all sites, all hours":           "SELECT site, " + drawn + " FROM traffic_1h ORDER BY site, time",
		"top paths of ten minutes":       "SELECT path, sum(weight) AS n FROM requests WHERE " + strings.ReplaceAll(of, clickhouse.Instant(attack.Add(-time.Hour)), clickhouse.Instant(attack)) + " GROUP BY path ORDER BY n DESC LIMIT 20",
		"top networks of ten minutes":    "SELECT network, sum(weight) AS n FROM requests WHERE " + strings.ReplaceAll(of, clickhouse.Instant(attack.Add(-time.Hour)), clickhouse.Instant(attack)) + " GROUP BY network ORDER BY n DESC LIMIT 20",
		"what decisions did":             "SELECT decision, action, sum(requests) FROM decision_effect WHERE " + of + " GROUP BY decision, action",
		"incidents":                      "SELECT * FROM incidents_latest ORDER BY time DESC LIMIT 100",
	}
}

func (c *benchSQLCommand) ask(ctx context.Context, db *clickhouse.DB, attack time.Time) ([]queryTime, error) {
	incident, err := db.Case(ctx, "bench-2")
	if err != nil {
		return nil, err
	}
	about := clickhouse.Subject{Incident: "bench-2", Other: "bench-1"}
	err = db.Rows(ctx, "SELECT toString(argMin(client, cityHash64(client))) AS C FROM requests WHERE "+incident.Expressions()["during"], func(d *json.Decoder) error {
		var row struct{ C string }
		err := d.Decode(&row)
		if err == nil {
			about.Client, err = netip.ParseAddr(row.C)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	recipes, err := cookbook.Cookbook()
	if err != nil {
		return nil, err
	}
	var times []queryTime
	for _, r := range recipes {
		sql, err := db.Recipe(ctx, r.Name, about)
		if err != nil {
			return nil, err
		}
		times = append(times, c.time(ctx, db, queryTime{Query: "@" + r.Name, Kind: "cookbook"}, sql))
	}
	for name, sql := range dashboardQueries(incident.Sites[0], attack) {
		times = append(times, c.time(ctx, db, queryTime{Query: name, Kind: "dashboard"}, sql))
	}
	times = slices.DeleteFunc(times, func(q queryTime) bool { return c.Query != "" && c.Query != q.Query })
	slices.SortFunc(times, func(a, b queryTime) int {
		if a.Kind != b.Kind {
			return strings.Compare(a.Kind, b.Kind)
		}
		return int(b.Median - a.Median)
	})
	return times, ctx.Err()
}

func (c *benchSQLCommand) time(ctx context.Context, db *clickhouse.DB, q queryTime, sql string) queryTime {
	if c.Query != "" && c.Query != q.Query {
		return q
	}
	var all []time.Duration
	used := childUsage().cpu
	for range c.Runs {
		began := time.Now()
		if err := db.Query(ctx, sql, clickhouse.QueryOptions{}, io.Discard); err != nil {
			q.Error = printable(err.Error(), 120)
			return q
		}
		all = append(all, time.Since(began))
	}
	q.CPU = (childUsage().cpu - used) / time.Duration(c.Runs)
	slices.Sort(all)
	q.Median, q.Slowest = all[len(all)/2], all[len(all)-1]
	return q
}
