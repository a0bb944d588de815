// Package report writes one incident as a page that opens offline: charts are inline
// SVG, nothing runs, nothing is asked of anybody, and whatever strangers sent is text.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Report is what the page shows.
type Report struct {
	Incident, Kind, Cause string
	Sites                 []string
	Opened, Closed        time.Time // Closed is zero while it goes on
	Written               time.Time
	Weir                  string // the program's version

	Facts     []Fact
	Minutes   []Minute // the timeline, rising
	Shares    []Share  // before and during, the largest first
	Traits    []Trait  // the most telling first
	Networks  [256]int // attackers by the first byte of their IPv4 address
	Hours     []Hour   // what was stopped
	Tables    []Table
	Attackers int
}

// Fact is one figure with what it says.
type Fact struct{ Value, Name string }

// Minute is one of the timeline. All count requests.
type Minute struct {
	Time                    time.Time
	Served, Failed, Stopped float64
}

// Share is a value's percentage of the requests on the day before and during.
type Share struct {
	Name           string
	Before, During float64
}

// Trait is a value with the bits of evidence that one request with it gives.
type Trait struct {
	Name, Value string
	Bits        float64
}

// Hour is what decisions stopped in one.
type Hour struct {
	Time    time.Time
	Stopped float64
}

// Table is an answer of the cookbook.
type Table struct {
	Title, Query string
	Columns      []string
	Rows         [][]string
	More         bool // rows were left out
}

//go:embed page.gohtml
var pageText string

// Write writes the page.
func Write(w io.Writer, r Report) error {
	page, err := template.New("report").Funcs(template.FuncMap{
		"utc": utc, "text": inert, "sentences": func(text string) string { return inertUpTo(text, maxCause) }, "timeline": timeline, "shares": shares, "traits": traits, "prefixes": prefixes, "hours": hours, "join": strings.Join, "words": words, "whole": whole,
	}).Parse(pageText)
	if err != nil {
		return err
	}
	return page.Execute(w, r)
}

// words are the pieces of a column's name, which may be broken between them.
func words(name string) []string { return strings.SplitAfter(name, "_") }

// whole reports whether a cell is not to be broken: an IPv4 address, a number, a decision's id.
func whole(text string) bool {
	return len(text) <= len("i261121-050809-99") && !strings.Contains(text, " ")
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

const (
	// maxText bounds a text in a cell, in runes.
	maxText = 300
	// maxCause bounds what is said of the incident: what was seen, and why nothing is decided on a few of its sites.
	maxCause = 2000
)

// inert is a stranger's text as a line that shows what it is: what is not printable,
// and what changes the direction of writing, is escaped.
func inert(text string) string { return inertUpTo(text, maxText) }

func inertUpTo(text string, most int) string {
	var b strings.Builder
	n := 0
	for i := 0; i < len(text); n++ {
		if n == most {
			return b.String() + "…"
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size <= 1 || !unicode.IsPrint(r) {
			quoted := strconv.QuoteToASCII(text[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// number writes a figure for an axis: 1.2k, 3M.
func number(x float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if x >= unit.size {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", x/unit.size), ".0") + unit.name
		}
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
}
