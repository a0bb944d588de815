package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// printedTable writes tables and the text between them, for a terminal or as Markdown.
type printedTable struct {
	w        io.Writer
	markdown bool

	rows [][]string // of the table at hand, with its heads
	err  error
}

func (t *printedTable) row(cells ...string) { t.rows = append(t.rows, cells) }

// text ends the table at hand.
func (t *printedTable) text(format string, args ...any) {
	t.table()
	t.print(strings.TrimLeft(fmt.Sprintf(format, args...), "\n") + "\n\n")
}

func (t *printedTable) print(text string) {
	if t.err == nil {
		_, t.err = io.WriteString(t.w, text)
	}
}

func (t *printedTable) table() {
	if len(t.rows) == 0 {
		return
	}
	if t.markdown {
		for i, row := range t.rows {
			t.print("| " + strings.Join(row, " | ") + " |\n")
			if i == 0 {
				t.print("|" + strings.Repeat("---|", len(row)) + "\n")
			}
		}
		t.print("\n")
	} else {
		aligned := tabwriter.NewWriter(t.w, 0, 0, 2, ' ', 0)
		for _, row := range t.rows {
			fmt.Fprintln(aligned, strings.Join(row, "\t")) // its error is kept, and comes with Flush
		}
		if err := aligned.Flush(); t.err == nil {
			t.err = err
		}
		t.print("\n")
	}
	t.rows = nil
}

// flush ends the last table, and says what went wrong.
func (t *printedTable) flush() error {
	t.table()
	return t.err
}
