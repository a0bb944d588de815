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
		settings["readonly"], settings[implicitSelect] = 1, 0
		settings["cancel_http_readonly_queries_on_client_close"] = 1
	}
	sql = strings.TrimRight(strings.TrimSpace(sql), "; \t\r\n")
	if !o.Write {
		if err := db.onlyReads(ctx, sql); err != nil {
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

// What the root of a syntax tree is called where the statement only tells something. Rights
// bar changes to data in any case, but not all that a reader could do to others, such as
// ending their queries.
var reads = regexp.MustCompile(`^(SelectWithUnionQuery|Explain|DescribeQuery|Show\w*|SHOW CREATE \w+ query|Exists\w*Query)\b`)

// The function file asks for no right, as the only one of all that reads files, and in
// clickhouse-local it knows no bounds. fileCall is how a call stands in a syntax tree, fileName
// how its name stands in the server's own writing of a query, where what is quoted is left out:
// arrayMap(file, ...) and * APPLY(file) call it, too, and of the latter a tree shows nothing.
var (
	fileCall = regexp.MustCompile(`(?m)^\s*(Function|Identifier) file( |$)`)
	quoted   = regexp.MustCompile(`(?s)'(\\.|[^\\'])*'` + "|`(\\\\.|[^\\\\`])*`|" + `"(\\.|[^\\"])*"`)
	fileName = regexp.MustCompile(`\bfile\b`)
)

// unquoted is a query as the server writes it without literals, and without names in quotes
// but file.
func unquoted(written string) string {
	return quoted.ReplaceAllStringFunc(written, func(s string) string {
		if s[0] != '\'' && s[1:len(s)-1] == "file" {
			return " file "
		}
		return "''"
	})
}

// implicitSelect is the setting by which clickhouse-local takes an expression for a query: so
// it would run "EXPLAIN AST FROM ..." as one that reads columns of these names.
const implicitSelect = "implicit_select"

// tableFunction is a function in a table's place. Rights are asked for all that reach out,
// but by some not before they have looked: sqlite makes the file that it is given.
var (
	tableFunction  = regexp.MustCompile(`\bTableExpression[^\n]*\n\s*Function (\S+)`)
	tableFunctions = map[string]bool{
		"format": true, "generateRandom": true, "generateSeries": true, "generate_series": true, "merge": true, "mergeTreeIndex": true,
		"null": true, "numbers": true, "numbers_mt": true, "primes": true, "values": true, "view": true, "zeros": true, "zeros_mt": true,
	}
)

// onlyReads has the server parse a query, without running it, and refuses one that does
// more than to read tables.
func (db *DB) onlyReads(ctx context.Context, sql string) error {
	return OnlyReads(sql, func(statement string) (io.ReadCloser, error) {
		settings := driver.WithSettings(driver.Settings{"readonly": 1, implicitSelect: 0})
		answer, err := db.reader.QueryFormat(driver.Context(ctx, settings), "TSVRaw", statement)
		if err != nil {
			return nil, db.queryError(ctx, err)
		}
		return answer, nil
	})
}

// OnlyReads is an error where a statement is none that reads, or names the function file.
// ask runs a statement that only parses it, with implicit_select=0, and answers in the format
// TSVRaw.
func OnlyReads(sql string, ask func(statement string) (io.ReadCloser, error)) error {
	written, err := parsed("SELECT formatQuery("+literal(sql)+")", ask)
	if err != nil { // said with the position in the query
		if _, treeErr := parsed(explain+sql, ask); treeErr != nil {
			err = unshifted(treeErr)
		}
		return err
	}
	if fileName.MatchString(unquoted(written)) {
		return errFile
	}
	tree, err := parsed(explain+sql, ask)
	if err != nil {
		return unshifted(err)
	}
	if !reads.MatchString(tree) {
		return errors.New("query: only SELECT, SHOW, DESCRIBE, EXISTS and EXPLAIN are answered here")
	}
	if fileCall.MatchString(tree) {
		return errFile
	}
	for _, call := range tableFunction.FindAllStringSubmatch(tree, -1) {
		if name := call[1]; !tableFunctions[name] {
			return fmt.Errorf("query: a query here reads tables only, and %.100q in a table's place may do more", name)
		}
	}
	return nil
}

var errFile = errors.New("query: the function file may not be called, and nothing may have its name: a query here reads tables only")

// parsed is what a statement that only parses another one answers.
func parsed(statement string, ask func(statement string) (io.ReadCloser, error)) (string, error) {
	answer, err := ask(statement)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(answer, maxTree))
	if err = errors.Join(err, answer.Close()); err != nil {
		return "", fmt.Errorf("query: %w", err)
	}
	if len(text) == maxTree {
		return "", errors.New("query: too long")
	}
	return string(text), nil
}

// literal is a text as ClickHouse's SQL writes one.
func literal(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
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

// maxTree bounds what a query may take as a syntax tree, and as the server writes it, in bytes.
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
