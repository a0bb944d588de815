package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
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
	conn := db.http
	if !o.Write {
		conn = db.reader
		settings["readonly"] = 1
		settings["cancel_http_readonly_queries_on_client_close"] = 1
	}
	sql = strings.TrimRight(strings.TrimSpace(sql), "; \t\r\n")
	if !o.Write {
		if err := db.refuseFiles(ctx, sql); err != nil {
			return err
		}
	}
	answer, err := conn.QueryFormat(driver.Context(ctx, driver.WithSettings(settings)), o.Format, sql)
	if err != nil {
		return db.queryError(ctx, err)
	}
	_, err = io.Copy(out, answer)
	if err = errors.Join(err, answer.Close()); err != nil {
		return db.queryError(ctx, err)
	}
	return nil
}

// fileCall is how the function file stands in a syntax tree. Of all that reads files
// it alone asks for no right, and in clickhouse-local it knows no bounds.
var fileCall = regexp.MustCompile(`(?m)^\s*Function file( |$)`)

// refuseFiles has the server parse a query, without running it, and refuses one that
// calls file.
func (db *DB) refuseFiles(ctx context.Context, sql string) error {
	return RefuseFiles(sql, func(statement string) (io.ReadCloser, error) {
		settings := driver.WithSettings(driver.Settings{"readonly": 1})
		answer, err := db.reader.QueryFormat(driver.Context(ctx, settings), "TSVRaw", statement)
		if err != nil {
			return nil, db.queryError(ctx, err)
		}
		return answer, nil
	})
}

// RefuseFiles is an error where a query calls the function file. ask runs a statement
// that only parses it, and answers with the lines of the syntax tree.
func RefuseFiles(sql string, ask func(statement string) (io.ReadCloser, error)) error {
	tree, err := ask(explain + sql)
	if err != nil {
		return unshifted(err)
	}
	text, err := io.ReadAll(io.LimitReader(tree, maxTree))
	if err = errors.Join(err, tree.Close()); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	if len(text) == maxTree {
		return errors.New("query: too long")
	}
	if fileCall.Match(text) {
		return errors.New("query: the function file may not be called: a query here reads tables only")
	}
	return nil
}

const explain = "EXPLAIN AST "

var position = regexp.MustCompile(`failed at position \d+`)

// unshifted gives the position of a syntax error in the query as it was written.
func unshifted(err error) error {
	text := position.ReplaceAllStringFunc(err.Error(), func(s string) string {
		n, _ := strconv.Atoi(s[strings.LastIndexByte(s, ' ')+1:])
		return "failed at position " + strconv.Itoa(max(n-len(explain), 1))
	})
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// maxTree bounds what a query's syntax tree may take, in bytes.
const maxTree = 4 << 20

func (db *DB) queryError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("query: %s", serverText(err))
}

// What clickhouse-go puts around the server's own message.
var (
	before = regexp.MustCompile(`^(\[HTTP \d+\] )?code: \d+, message: `)
	after  = regexp.MustCompile(` \(version [0-9.]+\).*$`)
)

func serverText(err error) string {
	return after.ReplaceAllString(before.ReplaceAllString(oneLine(err), ""), "")
}
