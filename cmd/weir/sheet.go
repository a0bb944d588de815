package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"github.com/weir-project/weir/schemas"
)

// sheet writes text for a person. On a terminal lines end where it does, and what matters is
// bold; elsewhere lines are as long as they are and nothing is coloured, so that others can
// search them. What strangers chose is made printable by whoever writes it.
type sheet struct {
	w     io.Writer
	width int // columns; 0: lines do not end
	bold  bool

	modes  modeTable       // how far decisions go; nil where nobody knows
	events []schemas.Event // all that are known, of decisions

	edges holding // what edges hold

	cap        string // what capLine says
	open       string // what openPaths says
	requestsOf asked  // of clients that are decided on
}

// leastWidth and mostWidth are the columns that are made use of.
const leastWidth, mostWidth = 40, 160

func newSheet(w io.Writer) *sheet {
	s := &sheet{w: w}
	if n := 0; os.Getenv("COLUMNS") != "" {
		if _, err := fmt.Sscan(os.Getenv("COLUMNS"), &n); err == nil && n > 0 {
			s.width = min(max(n, leastWidth), mostWidth)
		}
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	if n, _, err := term.GetSize(int(f.Fd())); s.width == 0 && err == nil && n > 0 {
		s.width = min(max(n, leastWidth), mostWidth)
	}
	_, plain := os.LookupEnv("NO_COLOR")
	s.bold = !plain && os.Getenv("TERM") != "dumb"
	return s
}

// strong is text that matters.
func (s *sheet) strong(text string) string {
	if !s.bold || strings.TrimSpace(text) == "" {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// head writes a heading: short, and not cut.
func (s *sheet) head(format string, args ...any) {
	for _, line := range wrap(fmt.Sprintf(format, args...), s.width, s.width) {
		fmt.Fprintln(s.w, s.strong(line))
	}
}

// say writes text behind an indent, which further lines have, too.
func (s *sheet) say(indent int, format string, args ...any) {
	s.item(strings.Repeat(" ", indent), format, args...)
}

// item writes text behind a label, whose width further lines are indented by.
func (s *sheet) item(label, format string, args ...any) {
	indent := runewidth.StringWidth(label)
	for i, line := range wrap(fmt.Sprintf(format, args...), s.width-indent, s.width) {
		if i > 0 {
			label = strings.Repeat(" ", indent)
		}
		fmt.Fprintln(s.w, s.strong(label)+line)
	}
}

// line writes one line, cut where the sheet ends.
func (s *sheet) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.width > 0 {
		text = runewidth.Truncate(text, s.width, "…")
	}
	fmt.Fprintln(s.w, strings.TrimRight(text, " "))
}

// narrow reports whether a table of many columns would not fit.
func (s *sheet) narrow() bool { return s.width > 0 && s.width < wideTable }

// wideTable is the columns that the widest tables want.
const wideTable = 130

func (s *sheet) gap() { fmt.Fprintln(s.w) }

// wrap breaks text between words into lines of at most width columns, and a word that is longer
// where it must. whole 0 breaks nothing.
func wrap(text string, width, whole int) []string {
	if whole <= 0 {
		return []string{text}
	}
	width = max(width, leastWidth/2)
	var lines []string
	line, columns := "", 0
	end := func() { lines, line, columns = append(lines, line), "", 0 }
	for _, word := range strings.Fields(text) {
		wide := runewidth.StringWidth(word)
		if columns > 0 && columns+1+wide > width {
			end()
		}
		for wide > width {
			part := runewidth.Truncate(word, width, "")
			line = part
			end()
			word = word[len(part):]
			wide = runewidth.StringWidth(word)
		}
		if columns > 0 {
			line, columns = line+" ", columns+1
		}
		line, columns = line+word, columns+wide
	}
	if columns > 0 || len(lines) == 0 {
		end()
	}
	return lines
}
