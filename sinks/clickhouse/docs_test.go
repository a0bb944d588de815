package clickhouse

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	sqlDocument  = "../../docs/sql.md"
	tablesBegin  = "<!-- tables: written from the database by WEIR_UPDATE=1 go test ./sinks/clickhouse -run TestTables -->\n"
	tablesEnd    = "<!-- end of tables -->\n"
	describeView = "SELECT name, type, '' FROM system.columns WHERE database = currentDatabase() AND table = '%s' ORDER BY position"
	describeAll  = "SELECT name, type, comment FROM system.columns WHERE database = currentDatabase() AND table = '%s' ORDER BY position"
)

// TestTablesAreDocumented compares the tables in docs/sql.md with the database's own;
// with WEIR_UPDATE set it writes them anew. Every column of a table has a comment.
func TestTablesAreDocumented(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	var b strings.Builder
	for _, line := range lines(ask(t, db, `SELECT name, engine, comment FROM system.tables WHERE database = currentDatabase()
		AND engine != 'MaterializedView' ORDER BY engine = 'View', name`)) {
		f := strings.Split(line, "\t")
		describe := describeAll
		if f[1] == "View" {
			describe = describeView
		}
		if f[2] == "" {
			t.Errorf("%s has no comment", f[0])
		}
		fmt.Fprintf(&b, "### %s\n\n%s.\n\n| column | type | |\n|---|---|---|\n", f[0], upper(unescape(f[2])))
		for _, column := range lines(ask(t, db, fmt.Sprintf(describe, f[0]))) {
			c := strings.Split(column, "\t")
			if c[2] == "" && f[1] != "View" {
				t.Errorf("%s.%s has no comment", f[0], c[0])
			}
			fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", c[0], unescape(c[1]), strings.ReplaceAll(unescape(c[2]), "|", `\|`))
		}
		b.WriteString("\n")
	}
	text, err := os.ReadFile(sqlDocument)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tablesBegin)
	_, after, ok2 := strings.Cut(rest, tablesEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the tables", sqlDocument)
	}
	want := before + tablesBegin + "\n" + b.String() + tablesEnd + after
	if os.Getenv("WEIR_UPDATE") != "" {
		if err := os.WriteFile(sqlDocument, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s is not what the database is: WEIR_UPDATE=1 go test ./sinks/clickhouse -run TestTables", sqlDocument)
	}
}

func lines(text string) []string { return strings.Split(text, "\n") }

func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// unescape undoes what TSV does to a text of one line.
func unescape(text string) string { return strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(text) }
