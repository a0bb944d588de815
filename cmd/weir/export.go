package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/weir-project/weir/sinks/clickhouse"
)

type exportCommand struct {
	Incident string `arg:"" help:"Its id, as weir incidents shows it, or latest."`
	File     string `arg:"" help:"Where to: FILE.parquet or FILE.ndjson; '-' is standard output, as NDJSON."`
	dataFlag
	ClickHouse string `name:"clickhouse" placeholder:"DSN" help:"Ask this ClickHouse instead."`
}

// Run writes every row of the incident's sites from a minute before it was noticed to
// its end.
func (c *exportCommand) Run(ctx context.Context, s screen, p *program) error {
	format := "JSONEachRow"
	switch extension := strings.ToLower(filepath.Ext(c.File)); {
	case extension == ".parquet":
		format = "Parquet"
	case extension != ".ndjson" && c.File != "-":
		return usagef("export to %s: want a name that ends in .parquet or .ndjson, or '-'", printable(c.File, 200))
	}
	open := &sqlCommand{dataFlag: c.dataFlag, ClickHouse: c.ClickHouse}
	db, end, err := open.open(ctx, p)
	if err != nil {
		return err
	}
	return errors.Join(c.write(ctx, db, format, s.out), end())
}

func (c *exportCommand) write(ctx context.Context, db *clickhouse.DB, format string, out io.Writer) error {
	incident, err := db.Case(ctx, c.Incident)
	if err != nil {
		return err
	}
	query := "SELECT * FROM requests_readable WHERE " + incident.Expressions()["during"] + " ORDER BY time"
	write := func(w io.Writer) error {
		return db.Query(ctx, query, clickhouse.QueryOptions{Format: format, Settings: map[string]any{"output_format_json_quote_64bit_integers": 0}}, w)
	}
	if c.File == "-" {
		return write(out)
	}
	// A file that weir makes is its user's alone, which this holds: addresses of people.
	if err := writeFile(c.File, write); err != nil {
		return fmt.Errorf("write %s: %w", c.File, err)
	}
	return nil
}
