package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	driver "github.com/ClickHouse/clickhouse-go/v2"
)

// QueryOptions say how a query is answered.
type QueryOptions struct {
	// Format is one of ClickHouse's output formats, such as TSV, TSVWithNames, CSV,
	// JSON, JSONEachRow, Pretty, Vertical, Markdown, Parquet; "" is TSV.
	Format string
	// Write lets the query change things. Without it the query can only read, and
	// only tables: no files, addresses or programs.
	Write bool
	// Settings go with the query, such as max_execution_time in seconds.
	Settings map[string]any
}

var formatName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}$`)

// Query runs one statement and copies ClickHouse's own answer, in the format asked
// for, to out. Errors are one line; some of the answer may have been written by
// then. When ctx ends, the query is cancelled in the server.
func (db *DB) Query(ctx context.Context, sql string, o QueryOptions, out io.Writer) error {
	if o.Format == "" {
		o.Format = "TSV"
	}
	if !formatName.MatchString(o.Format) {
		return fmt.Errorf("format %q: want the name of one of ClickHouse's output formats, such as TSV, JSON or Pretty", o.Format)
	}
	settings := driver.Settings{}
	for name, value := range o.Settings {
		settings[name] = value
	}
	if !o.Write {
		settings["readonly"] = 1
		settings["cancel_http_readonly_queries_on_client_close"] = 1
	}
	sql = strings.TrimRight(strings.TrimSpace(sql), "; \t\r\n")
	answer, err := db.http.QueryFormat(driver.Context(ctx, driver.WithSettings(settings)), o.Format, sql)
	if err != nil {
		return db.queryError(ctx, err)
	}
	_, err = io.Copy(out, answer)
	if err = errors.Join(err, answer.Close()); err != nil {
		return db.queryError(ctx, err)
	}
	return nil
}

func (db *DB) queryError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("query: %s", oneLine(err))
}
