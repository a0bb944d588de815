// Package clickhouse holds the store's schema as numbered migrations. Files are
// never changed once released, only added; every statement can be repeated
// (IF NOT EXISTS, OR REPLACE), because several processes may apply one at once.
package clickhouse

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Migration is one step of the schema.
type Migration struct {
	Version    int    // from 1, without gaps
	Name       string // the file's, without the number and ".sql"
	Statements []string
}

// Migrations are all steps in their order.
func Migrations() ([]Migration, error) {
	entries, err := files.ReadDir(".") // sorted by name
	if err != nil {
		return nil, err
	}
	var all []Migration
	for i, entry := range entries {
		number, name, ok := strings.Cut(strings.TrimSuffix(entry.Name(), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want %04d_<name>.sql", entry.Name(), i+1)
		}
		text, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, Migration{Version: version, Name: name, Statements: statements(string(text))})
	}
	return all, nil
}

// statements splits at semicolons that end a line.
func statements(text string) []string {
	var all []string
	for _, part := range strings.SplitAfter(text, ";\n") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, strings.TrimSuffix(part, ";"))
		}
	}
	return all
}
