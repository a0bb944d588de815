package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-project/weir/sinks/clickhouse"
)

// codecTrials are the codecs that a column is measured with, by the kind of its type.
func codecTrials(kind string) []string {
	switch {
	case strings.HasPrefix(kind, "LowCardinality"), kind == "String", strings.HasPrefix(kind, "IPv6"), strings.HasPrefix(kind, "Enum"):
		return []string{"LZ4", "ZSTD(1)", "ZSTD(3)"}
	case strings.HasPrefix(kind, "Float"):
		return []string{"LZ4", "ZSTD(1)", "Gorilla, ZSTD(1)"}
	}
	return []string{"LZ4", "ZSTD(1)", "T64, ZSTD(1)", "Delta, ZSTD(1)", "DoubleDelta, ZSTD(1)"}
}

// measureColumns merges all requests into as few parts as there can be, and reads what
// each column takes, as it is and by other codecs in the same order of rows.
func measureColumns(ctx context.Context, db *clickhouse.DB, round *storeRound) error {
	write := func(sql string) error {
		return db.Query(ctx, sql, clickhouse.QueryOptions{Write: true, Settings: map[string]any{"mutations_sync": 2}}, io.Discard)
	}
	for _, sql := range []string{
		"ALTER TABLE requests MODIFY SETTING min_bytes_for_wide_part = 0", // a part of one file does not say what a column takes
		"OPTIMIZE TABLE requests FINAL", "OPTIMIZE TABLE rollup_10s FINAL", "OPTIMIZE TABLE rollup_1m FINAL", "OPTIMIZE TABLE rollup_1h FINAL",
	} {
		if err := write(sql); err != nil {
			return err
		}
	}
	kinds := map[string]string{}
	err := db.Rows(ctx, columnSizes+"'requests' GROUP BY column ORDER BY Bytes DESC, Name", func(d *json.Decoder) error {
		var row struct {
			Name, Kind string
			Bytes, Raw float64
		}
		err := d.Decode(&row)
		round.Columns = append(round.Columns, columnSize{Name: row.Name, Bytes: row.Bytes, Raw: row.Raw, Codecs: map[string]float64{}})
		kinds[row.Name] = row.Kind
		return err
	})
	if err != nil {
		return err
	}
	for i := range round.Columns {
		if err := tryCodecs(ctx, db, write, &round.Columns[i], kinds[round.Columns[i].Name]); err != nil {
			return err
		}
	}
	err = db.Rows(ctx, "SELECT name AS Name, compression_codec AS Codec FROM system.columns WHERE database = currentDatabase() AND table = 'requests'", func(d *json.Decoder) error {
		var row struct{ Name, Codec string }
		err := d.Decode(&row)
		if i := slices.IndexFunc(round.Columns, func(c columnSize) bool { return c.Name == row.Name }); i >= 0 {
			round.Columns[i].Codec = row.Codec
		}
		return err
	})
	if err != nil {
		return err
	}
	return db.Rows(ctx, "SELECT table AS Name, sum(bytes_on_disk) AS Bytes, sum(rows) AS Raw FROM system.parts WHERE database = currentDatabase() AND active AND table LIKE 'rollup%' GROUP BY table ORDER BY table",
		func(d *json.Decoder) error {
			var row columnSize
			err := d.Decode(&row)
			round.Rollup = append(round.Rollup, row)
			return err
		})
}

// columnSizes asks for what the columns of a table take.
const columnSizes = `SELECT column AS Name, any(type) AS Kind, sum(column_data_compressed_bytes) / sum(rows) AS Bytes, sum(column_data_uncompressed_bytes) / sum(rows) AS Raw
FROM system.parts_columns WHERE database = currentDatabase() AND active AND table = `

// trialRows is how many rows codecs are tried on.
const trialRows = 500_000

// tryCodecs measures one column with each of its codecs, in a table that has it once
// for each. What was merged is read in its order.
func tryCodecs(ctx context.Context, db *clickhouse.DB, write func(string) error, column *columnSize, kind string) error {
	trials := codecTrials(kind)
	var columns, values []string
	for i, codec := range trials {
		columns = append(columns, fmt.Sprintf("c%d %s CODEC(%s)", i, kind, codec))
		values = append(values, "`"+column.Name+"`")
	}
	for _, sql := range []string{
		"CREATE OR REPLACE TABLE trials (" + strings.Join(columns, ", ") + ") ENGINE = MergeTree ORDER BY tuple() SETTINGS min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0",
		fmt.Sprintf("INSERT INTO trials SELECT %s FROM requests LIMIT %d SETTINGS max_threads = 1, max_insert_threads = 1", strings.Join(values, ", "), trialRows),
	} {
		if err := write(sql); err != nil {
			return err
		}
	}
	return db.Rows(ctx, columnSizes+"'trials' GROUP BY column", func(d *json.Decoder) error {
		var row struct {
			Name  string
			Bytes float64
		}
		if err := d.Decode(&row); err != nil {
			return err
		}
		i, err := strconv.Atoi(row.Name[1:])
		if err == nil {
			column.Codecs[trials[i]] = row.Bytes
		}
		return err
	})
}

func askNumber(ctx context.Context, db *clickhouse.DB, sql string) (int, error) {
	var answer bytes.Buffer
	if err := db.Query(ctx, sql, clickhouse.QueryOptions{}, &answer); err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(answer.String()))
}

// usage is what a process has used so far.
type usage struct {
	cpu time.Duration
	mib float64 // resident at the most
}

// childUsage is of this process's children that live.
func childUsage() usage { return usageBelow(os.Getpid()) }

// usageBelow is of a process's children that live, by proc_pid_stat(5).
func usageBelow(parent int) (u usage) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest) // from field 3, the state
		if len(fields) < 13 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		u.cpu += time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
		u.mib += mostMiB(filepath.Base(filepath.Dir(path)))
	}
	return u
}

// mostMiB is VmHWM of a process, by proc_pid_status(5); 0 where that cannot be told.
func mostMiB(pid string) float64 {
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(data, []byte("VmHWM:"))
	fields := bytes.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseFloat(string(fields[0]), 64)
	return kib / 1024
}

func withRollups(views bool) string {
	if views {
		return "with the rollups"
	}
	return "without rollups"
}

// print shows the medians of both kinds of rounds, and the columns.
func (r *benchStoreReport) print(w io.Writer, output string) error {
	if output == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	t := printedTable{w: w, markdown: output == "markdown"}
	t.text("Storing on %s; %s. Medians of %d rounds each.", r.Machine, r.From, len(r.Rounds)/2)
	t.row("", "rows/s", "weir, CPU-s a million", "ClickHouse", "and the merges after", "weir, MiB at most", "ClickHouse", "both")
	for _, views := range []bool{false, true} {
		of := func(f func(*storeRound) float64) float64 {
			var all []float64
			for i := range r.Rounds {
				if r.Rounds[i].Rollups == views {
					all = append(all, f(&r.Rounds[i]))
				}
			}
			slices.Sort(all)
			return all[len(all)/2]
		}
		figure := func(f func(*storeRound) float64) string { return fmt.Sprintf("%.2f", of(f)) }
		memory := func(f func(*storeRound) float64) string { return fmt.Sprintf("%.0f", of(f)) }
		t.row(withRollups(views), count(int(of(func(s *storeRound) float64 { return float64(s.Rows) / s.Seconds }))),
			figure(func(s *storeRound) float64 { return s.Weir }), figure(func(s *storeRound) float64 { return s.Engine }), figure(func(s *storeRound) float64 { return s.Merged }),
			memory(func(s *storeRound) float64 { return s.WeirMiB }), memory(func(s *storeRound) float64 { return s.EngineMiB }),
			memory(func(s *storeRound) float64 { return s.WeirMiB + s.EngineMiB }))
	}
	last := &r.Rounds[len(r.Rounds)-1]
	var total, raw float64
	for _, c := range last.Columns {
		total, raw = total+c.Bytes, raw+c.Raw
	}
	t.text("Bytes a row of `requests` on disk, merged: %.1f of %.0f. In brackets, by other codecs in the same order of rows.", total, raw)
	t.row("column", "bytes", "uncompressed", "codec", "by others")
	for _, c := range last.Columns {
		var others []string
		for _, name := range codecNames(c.Codecs) {
			others = append(others, fmt.Sprintf("%s %.2f", name, c.Codecs[name]))
		}
		codec := strings.TrimSuffix(strings.TrimPrefix(c.Codec, "CODEC("), ")")
		if codec == "" {
			codec = "LZ4"
		}
		t.row(c.Name, fmt.Sprintf("%.2f", c.Bytes), fmt.Sprintf("%.2f", c.Raw), codec, strings.Join(others, "; "))
	}
	t.text("The rollups, merged:")
	t.row("table", "rows", "bytes a row")
	for _, c := range last.Rollup {
		t.row(c.Name, count(int(c.Raw)), fmt.Sprintf("%.0f", c.Bytes/max(c.Raw, 1)))
	}
	return t.flush()
}

func codecNames(codecs map[string]float64) []string {
	var names []string
	for name := range codecs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if codecs[a] != codecs[b] {
			return int(1e6 * (codecs[a] - codecs[b]))
		}
		return strings.Compare(a, b)
	})
	return names
}
